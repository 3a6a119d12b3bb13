//! What a way of printing has to do.

use std::io;

use crate::decoder::Event;

/// A way of printing what was seen: as a [`Ladder`](crate::Ladder), or as [`Json`](crate::Json).
pub trait Printer {
    /// Says where clients connect, and where the server is.
    ///
    /// # Errors
    ///
    /// If writing fails.
    fn listening(&mut self, address: &str, server: &str) -> io::Result<()>;

    /// Prints an event, if it is to be shown.
    ///
    /// # Errors
    ///
    /// If writing fails.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Says that events were missed, because they came faster than they could be printed.
    ///
    /// # Errors
    ///
    /// If writing fails.
    fn missed(&mut self, events: u64) -> io::Result<()>;

    /// Passes on what is still in a buffer.
    ///
    /// # Errors
    ///
    /// If writing fails.
    fn flush(&mut self) -> io::Result<()>;
}
