//! A limit on waiting, in real time: a test may have paused tokio's clock.

use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Starts a thread that fires after `patience`, unless what is returned is dropped before.
pub(crate) fn alarm(patience: Duration) -> (Wake, oneshot::Receiver<()>) {
    let (fire, fired) = oneshot::channel();
    let sleeper = thread::spawn(move || {
        let end = Instant::now() + patience;
        while !fire.is_closed() {
            match end.checked_duration_since(Instant::now()) {
                Some(left) => thread::park_timeout(left),
                None => break,
            }
        }
        let _ = fire.send(());
    });
    (Wake(sleeper.thread().clone()), fired)
}

/// Ends the thread of an alarm that is not needed.
pub(crate) struct Wake(thread::Thread);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.unpark();
    }
}
