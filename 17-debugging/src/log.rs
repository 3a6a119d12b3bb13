//! The log: which lines are written, and where; and an error with all of its causes in one line.

use std::error::Error;
use std::{io, iter};

use conform::status::escape;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tonic::Status;
use tonic::codegen::StdError;
use tracing::{Subscriber, subscriber::set_global_default};
use tracing_subscriber::{EnvFilter, fmt};

/// What is logged unless `RUST_LOG` says otherwise: this lesson's own lines.
pub const DEFAULT: &str = "debugging=info";

/// Logs what `RUST_LOG` lets through. Gives the lines.
pub fn install() -> Result<Receiver<String>, StdError> {
    let filter = EnvFilter::builder().with_default_directive(DEFAULT.parse()?);
    let (log, lines) = channel(1024);
    set_global_default(subscriber(filter.from_env()?, log))?;
    Ok(lines)
}

/// If nobody reads `log`, lines are lost, and no call waits.
pub fn subscriber(filter: EnvFilter, log: Sender<String>) -> impl Subscriber + Send + Sync {
    let lines = fmt().with_env_filter(filter).with_ansi(false);
    let lines = lines.without_time();
    lines.with_writer(move || Lines(log.clone())).finish()
}

/// Takes one line at each write, as `fmt` makes them.
struct Lines(Sender<String>);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let _ = self.0.try_send(text.trim_end().to_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `error`, what caused it, what caused that, and so on.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let chain = iter::successors(Some(error), |&error| error.source());
    let text = |error: &(dyn Error + 'static)| match error.downcast_ref::<Status>() {
        Some(status) => format!("{:?}: {}", status.code(), status.message()),
        None => error.to_string(),
    };
    let mut chain: Vec<_> = chain.map(|error| escape(&text(error))).collect();
    // Some errors repeat what their source says.
    chain.dedup();
    chain.join(", because of ")
}
