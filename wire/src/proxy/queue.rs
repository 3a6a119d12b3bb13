//! Item is on its way in one direction, while it is delayed or stalled.

use std::collections::VecDeque;
use std::future::pending;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::faults::Control;

/// How much one direction may hold back while it is delayed or stalled. After that the sender has
/// to wait.
const HELD: usize = 8 * 1024 * 1024;

/// How many pieces it may hold back.
const HELD_PIECES: usize = 64 * 1024;

/// Item is on its way in one direction, oldest first.
pub(crate) struct Queue {
    held: VecDeque<Held>,
    bytes: usize,
    ended: bool,
    control: watch::Receiver<Control>,
}

struct Held {
    item: Item,
    /// Read while nothing was passed on: waits until the tap resumes.
    stalled: bool,
    due: Instant,
}

pub(crate) enum Item {
    Bytes(Vec<u8>),
    /// The sender has closed its half.
    End,
    /// The sender has reset the connection.
    Reset,
    /// The tap is to reset the connection here.
    ResetHere,
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

impl Queue {
    pub fn new(control: watch::Receiver<Control>) -> Self {
        Self {
            held: VecDeque::new(),
            bytes: 0,
            ended: false,
            control,
        }
    }

    pub fn has_room(&self) -> bool {
        !self.ended && self.bytes < HELD && self.held.len() < HELD_PIECES
    }

    pub fn push(&mut self, item: Item, stalled: bool, control: &Control) {
        self.ended |= !matches!(item, Item::Bytes(_));
        self.bytes += item.len();
        self.held.push_back(Held {
            item,
            stalled,
            due: Instant::now() + control.delay,
        });
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Waits for the oldest thing to be due, and takes it out. Can be dropped without losing
    /// anything.
    pub async fn next(&mut self, is_stalled: impl Fn(&Control) -> bool) -> Item {
        let Some(oldest) = self.held.front() else {
            return pending().await;
        };
        if oldest.stalled {
            let resumed = self.control.wait_for(|control| !is_stalled(control));
            if resumed.await.is_err() {
                return pending().await;
            }
        }
        if oldest.due > Instant::now() {
            sleep_until(oldest.due).await;
        }
        match self.held.pop_front() {
            Some(oldest) => {
                self.bytes -= oldest.item.len();
                oldest.item
            }
            None => pending().await,
        }
    }
}
