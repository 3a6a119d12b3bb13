//! A chat room: everyone hears everyone else, and nobody waits for anyone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conform::status::escape;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tonic::Status;

use crate::proto::chat::Line;

/// How many lines wait for one guest at most, and how many guests there may be at once.
pub(crate) const WAITING: usize = 64;
pub(crate) const SEATS: usize = 100;

pub(crate) struct Room {
    // By name. While it's locked nobody else speaks, so all guests hear the same order of lines.
    queues: Mutex<BTreeMap<String, Queue>>,
    log: Sender<String>,
}

impl Room {
    pub(crate) fn new(log: Sender<String>) -> Self {
        let queues = Mutex::default();
        Self { queues, log }
    }

    /// Takes a seat. What is heard there ends when the seat is dropped.
    pub(crate) fn join(self: &Arc<Self>, name: String) -> Result<(Seat, Receiver<Line>), Status> {
        if name.trim().is_empty() || name.len() > 32 || escape(&name) != name {
            let why = "a name has 1 to 32 bytes, and no control characters";
            return Err(Status::invalid_argument(why));
        }
        let mut queues = self.queues();
        if queues.contains_key(&name) {
            return Err(Status::already_exists("someone here has that name"));
        }
        if queues.len() == SEATS {
            return Err(Status::resource_exhausted("the room is full"));
        }
        let (lines, heard) = mpsc::channel(WAITING);
        self.announce(&mut queues, format!("{name} joins"));
        queues.insert(name.clone(), Queue { lines, missed: 0 });
        let room = self.clone();
        Ok((Seat { room, name }, heard))
    }

    fn announce(&self, queues: &mut BTreeMap<String, Queue>, text: String) {
        tell(queues, &Line::new("", &text));
        let _ = self.log.try_send(text);
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<String, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the room under a name. Dropping it leaves the room.
pub(crate) struct Seat {
    room: Arc<Room>,
    name: String,
}

impl Seat {
    /// Says `said.text` to everyone else, escaped: a terminal would obey control characters.
    pub(crate) fn say(&self, said: &Line) -> Result<(), Status> {
        if said.text.len() > 1_000 {
            return Err(Status::invalid_argument("a line has at most 1000 bytes"));
        }
        let line = Line::new(&self.name, &escape(&said.text));
        tell(&mut self.room.queues(), &line);
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut queues = self.room.queues();
        let queue = queues.remove(&self.name);
        self.room
            .announce(&mut queues, format!("{} leaves", self.name));
        // Last: it ends the call, and whoever sees that can rely on the log.
        drop(queue);
    }
}

/// Everyone but the speaker hears `line`.
fn tell(queues: &mut BTreeMap<String, Queue>, line: &Line) {
    let others = queues.iter_mut().filter(|(name, _)| **name != line.speaker);
    others.for_each(|(_, queue)| queue.push(line.clone()));
}

/// The lines that wait for one guest, and how many found no room.
struct Queue {
    lines: Sender<Line>,
    missed: u64,
}

impl Queue {
    /// Never waits. A guest who listens too slowly misses lines, and is told how many.
    fn push(&mut self, line: Line) {
        if self.missed > 0 {
            let notice = Line::new("", &format!("you missed {} lines", self.missed));
            if self.lines.try_send(notice).is_ok() {
                self.missed = 0;
            }
        }
        if self.lines.try_send(line).is_err() {
            self.missed += 1;
        }
    }
}
