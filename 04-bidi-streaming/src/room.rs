//! A chat room: everyone hears everyone else, and nobody waits for anyone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, stream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc::UnboundedSender;
use tonic::Status;

use crate::chat::Line;

/// How many lines wait for one reader at most. When one more comes, the oldest is dropped.
pub const WAITING: usize = 64;

/// The longest name, in bytes.
pub const LONGEST_NAME: usize = 32;

/// The longest text of a line, in bytes.
pub const LONGEST_LINE: usize = 1_000;

/// The room, and who is in it.
#[derive(Debug)]
pub struct Room {
    // One queue a seat. It is a broadcast channel with a single reader because that is the kind that
    // drops its oldest line when it is full, and counts; the others make the speaker wait.
    seats: Mutex<BTreeMap<String, broadcast::Sender<Line>>>,
    journal: UnboundedSender<String>,
}

impl Room {
    /// An empty room. Writes a line to `journal` whenever someone joins or leaves.
    pub fn new(journal: UnboundedSender<String>) -> Arc<Self> {
        Arc::new(Self {
            seats: Mutex::default(),
            journal,
        })
    }

    /// Takes a seat. What is heard there ends when the seat is dropped, with the last line before that.
    ///
    /// A reader who is slower than the others talk is told how many lines were dropped meanwhile.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if no one can be called `name`, ALREADY_EXISTS if someone in the room is.
    pub fn join(
        self: &Arc<Self>,
        name: String,
    ) -> Result<(Seat, impl Stream<Item = Line> + Send + use<>), Status> {
        check(&name)?;
        let (queue, receiver) = broadcast::channel(WAITING);
        let mut seats = self.seats();
        if seats.contains_key(&name) {
            return Err(Status::already_exists(format!(
                "{name} is in the room already"
            )));
        }
        self.announce(&seats, format!("{name} joins"));
        seats.insert(name.clone(), queue);
        drop(seats);

        let room = self.clone();
        let heard = stream::unfold(receiver, |mut receiver| async {
            let line = match receiver.recv().await {
                Ok(line) => line,
                Err(RecvError::Lagged(1)) => room_says("you missed 1 line"),
                Err(RecvError::Lagged(lines)) => room_says(&format!("you missed {lines} lines")),
                Err(RecvError::Closed) => return None,
            };
            Some((line, receiver))
        });
        Ok((Seat { room, name }, heard))
    }

    fn leave(&self, name: &str) {
        let mut seats = self.seats();
        let queue = seats.remove(name);
        self.announce(&seats, format!("{name} leaves"));
        // Not before the announcement: whoever sees a call end can rely on the journal.
        drop(queue);
    }

    fn announce(&self, seats: &BTreeMap<String, broadcast::Sender<Line>>, text: String) {
        for queue in seats.values() {
            tell(queue, room_says(&text));
        }
        // An error here means that nobody keeps a journal.
        let _ = self.journal.send(text);
    }

    /// While it is held nobody speaks, joins or leaves: all seats hear the same order of lines.
    fn seats(&self) -> MutexGuard<'_, BTreeMap<String, broadcast::Sender<Line>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the room under a name. Dropping it leaves the room.
#[derive(Debug)]
pub struct Seat {
    room: Arc<Room>,
    name: String,
}

impl Seat {
    /// Says `text` to everyone else, without control characters: no terminal shall obey a stranger.
    ///
    /// Nothing is said if nothing is left. If too much is left, the room tells so, to this seat alone.
    pub fn say(&self, text: &str) {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        let seats = self.room.seats();
        if text.len() > LONGEST_LINE {
            let refusal = format!(
                "a line has {LONGEST_LINE} bytes at most, not {}",
                text.len()
            );
            if let Some(own) = seats.get(&self.name) {
                tell(own, room_says(&refusal));
            }
        } else if !text.is_empty() {
            for (_, queue) in seats.iter().filter(|(name, _)| **name != self.name) {
                tell(queue, Line::new(&self.name, &text));
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.leave(&self.name);
    }
}

impl Line {
    /// What `speaker` says. As a first line, it names the speaker.
    pub fn new(speaker: &str, text: &str) -> Self {
        Self {
            speaker: speaker.to_owned(),
            text: text.to_owned(),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.speaker {
            "" => write!(f, "* {}", self.text),
            speaker => write!(f, "{speaker}: {}", self.text),
        }
    }
}

fn tell(queue: &broadcast::Sender<Line>, line: Line) {
    // An error here means that the reader has hung up. Its seat will be dropped.
    let _ = queue.send(line);
}

fn room_says(text: &str) -> Line {
    Line::new("", text)
}

fn check(name: &str) -> Result<(), Status> {
    if name.trim().is_empty() {
        return Err(Status::invalid_argument("a name is needed"));
    }
    if name.len() > LONGEST_NAME {
        return Err(Status::invalid_argument(format!(
            "a name has {LONGEST_NAME} bytes at most, not {}",
            name.len()
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(Status::invalid_argument("a name has no control characters"));
    }
    Ok(())
}
