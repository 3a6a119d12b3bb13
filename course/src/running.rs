//! Programs that run until they are stopped.

use std::process::Command;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use crate::problem::Result;
use crate::processes::{Children, Event, Process, next};

/// A program that has said where it listens.
pub struct Running {
    pub process: Process,
    pub address: String,
}

/// Starts a program and waits until it says where it listens: `None` if it ends, or does not say so before
/// `deadline`. Whatever comes out of `events` meanwhile goes to `take`.
pub fn start(
    children: &Children,
    mut command: Command,
    name: &'static str,
    (sender, events): (Sender<Event>, &Receiver<Event>),
    deadline: Instant,
    mut take: impl FnMut(Event) -> Result<()>,
) -> Result<Option<Running>> {
    let process = children.spawn(&mut command, name, &sender)?;
    drop(sender);
    let mut ends = 0;
    while let Some(event) = next(events, deadline) {
        let is_own = event.from == name;
        let address = listening_on(&event).filter(|_| is_own);
        ends += usize::from(is_own && event.line.is_none());
        take(event)?;
        if let Some(address) = address {
            return Ok(Some(Running { process, address }));
        }
        if ends == 2 {
            break;
        }
    }
    Ok(None)
}

/// The address in the line by which a program says that it can be called.
pub fn listening_on(event: &Event) -> Option<String> {
    let rest = event.line.as_deref()?.strip_prefix("listening on ")?;
    let address = rest.split(',').next().unwrap_or(rest);
    Some(address.to_owned())
}
