//! What tells a program to stop.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;

/// What has told the program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// Ctrl-C: SIGINT on Unix, CTRL_C_EVENT on Windows.
    Interrupt,
    /// SIGTERM on Unix, which is how systemd, Docker and Kubernetes say it; Ctrl-Break on Windows.
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => platform::INTERRUPT,
            Self::Terminate => platform::TERMINATE,
        })
    }
}

/// SIGTERM and SIGINT on Unix, Ctrl-C and Ctrl-Break on Windows, as a stream without an end.
///
/// From its making on, none of them ends the process by itself, not even once it's dropped.
#[derive(Debug)]
pub struct Signals(platform::Signals);

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// If the system doesn't let it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime that has its IO on.
    pub fn new() -> io::Result<Self> {
        platform::Signals::new().map(Self)
    }
}

impl Stream for Signals {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Signal>> {
        if self.0.terminate.poll_recv(context).is_ready() {
            return Poll::Ready(Some(Signal::Terminate));
        }
        if self.0.interrupt.poll_recv(context).is_ready() {
            return Poll::Ready(Some(Signal::Interrupt));
        }
        Poll::Pending
    }
}

#[cfg(not(windows))]
mod platform {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    pub(super) const INTERRUPT: &str = "SIGINT";
    pub(super) const TERMINATE: &str = "SIGTERM";

    #[derive(Debug)]
    pub(super) struct Signals {
        pub(super) interrupt: Signal,
        pub(super) terminate: Signal,
    }

    impl Signals {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
            })
        }
    }
}

#[cfg(windows)]
mod platform {
    use std::io;

    use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

    pub(super) const INTERRUPT: &str = "Ctrl-C";
    pub(super) const TERMINATE: &str = "Ctrl-Break";

    #[derive(Debug)]
    pub(super) struct Signals {
        pub(super) interrupt: CtrlC,
        pub(super) terminate: CtrlBreak,
    }

    impl Signals {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self {
                interrupt: ctrl_c()?,
                terminate: ctrl_break()?,
            })
        }
    }
}
