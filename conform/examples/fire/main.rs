//! A channel under fire: five backends that are killed, stalled, slowed, drained, added and removed at
//! random, and 500 calls a second with deadlines, for a minute.
//!
//! ```console
//! $ cargo run --release -p conform --example fire
//! $ cargo run --release -p conform --example fire -- --seed 7 --seconds 10
//! ```
//!
//! It prints its figures, and ends with an error if a promise was broken.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

mod fire;

use fire::{Plan, burn};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let mut plan = Plan::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match option.as_str() {
            "--seed" => plan.seed = value.parse()?,
            "--seconds" => plan.length = Duration::from_secs(value.parse()?),
            "--rate" => plan.rate = value.parse()?,
            _ => return Err(format!("{option} isn't --seed, --seconds or --rate").into()),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(burn(plan))?;
    print!("{report}");
    Ok(report.broken().is_empty())
}
