//! Keeps what was seen in a file, and reads it again.
//!
//! One JSON object a line: what happened to a connection, or how many of its bytes follow, as they came. What is
//! shown of them is decided when they are shown.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::decoder::{Decoder, Direction, End, Event, EventKind};
use crate::grpc::{Descriptors, Source};

/// What a recording may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many bytes may wait to be written. What comes then is dropped: a slow disk holds up no
    /// call.
    pub waiting: usize,
    /// How large a file becomes, more or less.
    pub file: u64,
}

impl Limits {
    pub const USUAL: Self = Self {
        waiting: 64 * 1024 * 1024,
        file: 1024 * 1024 * 1024,
    };
}

/// What an entry takes besides its bytes.
const ENTRY: usize = 128;

/// How much more may wait of what happens to connections, besides their bytes.
const SMALL: usize = 1024 * 1024;

/// How long a line may be: a set of descriptors takes most.
const LINE: u64 = 64 * 1024 * 1024;

/// How many bytes a line may hold; those that are written hold far fewer. Each may become a few events.
const CHUNK: u64 = 1024 * 1024;

/// How many connections of a recording may be open at once.
const CONNECTIONS: usize = 10_000;

/// What the first line says.
const FORMAT: &str = "wire recording 1";

/// What became of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// How many bytes of traffic are in the file.
    pub bytes: u64,
    /// How many are not, for they came faster than they could be written, or the file had grown too
    /// large.
    pub dropped: u64,
}

/// Writes a recording on a thread of its own.
#[derive(Debug)]
pub(crate) struct Save {
    queue: Arc<Queue>,
    limits: Limits,
    writer: Mutex<Option<thread::JoinHandle<io::Result<()>>>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    size: usize,
    /// Connections with a hole: what follows can't be decoded, and isn't kept.
    broken: HashSet<u64>,
    saved: Saved,
    /// The file has its full size, or can't be written.
    is_full: bool,
    is_over: bool,
}

#[derive(Debug)]
enum Entry {
    Bytes {
        at: Duration,
        connection: u64,
        to: Direction,
        held: bool,
        bytes: Vec<u8>,
    },
    Other(Value),
}

impl Entry {
    fn size(&self) -> usize {
        match self {
            Self::Bytes { bytes, .. } => bytes.len() + ENTRY,
            Self::Other(_) => 4 * ENTRY,
        }
    }
}

impl Save {
    pub fn create(file: &Path, descriptors: Descriptors, limits: Limits) -> io::Result<Self> {
        let mut out = BufWriter::new(File::create(file)?);
        writeln!(out, "{}", json!({ "format": FORMAT }))?;
        out.flush()?;
        let queue = Arc::new(Queue::default());
        let for_writer = queue.clone();
        let writer = thread::spawn(move || {
            let written = for_writer.write(out, &descriptors, limits.file);
            if written.is_err() {
                for_writer.waiting().is_full = true;
            }
            written
        });
        Ok(Self {
            queue,
            limits,
            writer: Mutex::new(Some(writer)),
        })
    }

    pub fn bytes(&self, at: Duration, connection: u64, to: Direction, held: bool, bytes: &[u8]) {
        let mut waiting = self.queue.waiting();
        let room = waiting.size + bytes.len() + ENTRY <= self.limits.waiting && !waiting.is_full;
        if waiting.broken.contains(&connection) {
            waiting.saved.dropped += bytes.len() as u64;
        } else if room {
            waiting.saved.bytes += bytes.len() as u64;
            let bytes = bytes.to_vec();
            self.push(
                &mut waiting,
                Entry::Bytes {
                    at,
                    connection,
                    to,
                    held,
                    bytes,
                },
            );
        } else {
            waiting.saved.dropped += bytes.len() as u64;
            waiting.broken.insert(connection);
            let text = "from here on the recording misses bytes of this connection";
            let note = EventKind::Note(text.to_owned());
            self.push_small(&mut waiting, to_json(at, connection, &note));
        }
    }

    pub fn event(&self, at: Duration, connection: u64, kind: &EventKind) {
        let mut waiting = self.queue.waiting();
        if matches!(kind, EventKind::Closed { .. }) {
            waiting.broken.remove(&connection);
        }
        self.push_small(&mut waiting, to_json(at, connection, kind));
    }

    /// These are few and small, so there is room for them when there is none for bytes; but not
    /// without end.
    fn push_small(&self, waiting: &mut Waiting, object: Value) {
        if waiting.size < self.limits.waiting + SMALL {
            self.push(waiting, Entry::Other(object));
        }
    }

    fn push(&self, waiting: &mut Waiting, entry: Entry) {
        waiting.size += entry.size();
        waiting.entries.push_back(entry);
        self.queue.changed.notify_one();
    }

    /// Waits until all is written.
    pub fn finish(&self) -> io::Result<Saved> {
        self.queue.waiting().is_over = true;
        self.queue.changed.notify_one();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match writer.map(thread::JoinHandle::join) {
            Some(Ok(written)) => written?,
            Some(Err(_)) => return Err(io::Error::other("the thread that writes has panicked")),
            None => {}
        }
        Ok(self.queue.waiting().saved.clone())
    }
}

impl Drop for Save {
    fn drop(&mut self) {
        // Nobody is there to be told.
        let _ = self.finish();
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until it is over.
    fn write(
        &self,
        mut out: BufWriter<File>,
        descriptors: &Descriptors,
        most: u64,
    ) -> io::Result<()> {
        let (mut written, mut described) = (0, 0);
        loop {
            let (entries, is_over) = {
                let mut waiting = self.waiting();
                while waiting.entries.is_empty() && !waiting.is_over {
                    let woken = self.changed.wait(waiting);
                    waiting = woken.unwrap_or_else(PoisonError::into_inner);
                }
                waiting.size = 0;
                (std::mem::take(&mut waiting.entries), waiting.is_over)
            };
            for set in descriptors.added(described) {
                let set = BASE64_STANDARD.encode(set);
                writeln!(out, "{{\"descriptors\":\"{set}\"}}")?;
                described += 1;
            }
            let nothing = entries.is_empty();
            for entry in entries {
                if written > most.saturating_add(SMALL as u64) {
                    break;
                }
                written += entry.write(&mut out)?;
            }
            if written > most {
                self.waiting().is_full = true;
            }
            // Whoever reads while this is written finds whole lines.
            out.flush()?;
            if is_over && nothing {
                return Ok(());
            }
        }
    }
}

impl Entry {
    /// Returns how many bytes were written.
    fn write(&self, out: &mut impl Write) -> io::Result<u64> {
        let (object, bytes) = match self {
            Self::Other(object) => (object.to_string(), None),
            Self::Bytes {
                at,
                connection,
                to,
                held,
                bytes,
            } => {
                let object = json!({
                    "at": nanos(*at),
                    "connection": connection,
                    "direction": direction_name(*to),
                    "held": held,
                    "bytes": bytes.len(),
                });
                (object.to_string(), Some(bytes))
            }
        };
        out.write_all(object.as_bytes())?;
        out.write_all(b"\n")?;
        let Some(bytes) = bytes else {
            return Ok(object.len() as u64 + 1);
        };
        out.write_all(bytes)?;
        out.write_all(b"\n")?;
        Ok((object.len() + bytes.len()) as u64 + 2)
    }
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => "to server",
        Direction::ToClient => "to client",
    }
}

fn direction_of(value: &Value) -> Option<Direction> {
    [Direction::ToServer, Direction::ToClient]
        .into_iter()
        .find(|direction| value.as_str() == Some(direction_name(*direction)))
}

fn to_json(at: Duration, connection: u64, kind: &EventKind) -> Value {
    let mut object = json!({ "at": nanos(at), "connection": connection });
    match kind {
        EventKind::Opened => object["event"] = json!("opened"),
        EventKind::Note(text) => {
            object["event"] = json!("note");
            object["text"] = json!(text);
        }
        EventKind::HalfClosed(direction) => {
            object["event"] = json!("half_closed");
            object["direction"] = json!(direction_name(*direction));
        }
        EventKind::Closed { end, .. } => {
            object["event"] = json!("closed");
            object["end"] = json!(match end {
                End::Finished => "finished",
                End::Reset(_) => "reset",
                End::ResetByTap => "reset by the tap",
                End::Dropped => "dropped",
                End::Refused(_) => "refused",
            });
            match end {
                End::Reset(direction) => object["direction"] = json!(direction_name(*direction)),
                End::Refused(reason) => object["reason"] = json!(reason),
                _ => {}
            }
        }
        // They come from the bytes.
        // Found again in the bytes.
        EventKind::Frame(_) | EventKind::Tls(_) => {}
    }
    object
}

/// Opens a recording.
///
/// Types that it holds are added to `descriptors`.
///
/// # Errors
///
/// If the file can't be read, or is something else.
pub fn open(file: impl Into<PathBuf>, descriptors: &Descriptors) -> io::Result<Recording> {
    let file = file.into();
    let mut lines = Lines::open(&file)?;
    let first = lines
        .next_line()?
        .and_then(|line| serde_json::from_slice::<Value>(&line).ok());
    if first.is_none_or(|first| first["format"] != FORMAT) {
        return Err(lines.wrong("not a recording of the wire view"));
    }
    // Before all else: a server may have told its types after its first message.
    while let Some(line) = lines.next_line()? {
        let object: Value = serde_json::from_slice(&line).unwrap_or_default();
        if let Some(length) = object["bytes"].as_u64()
            && !lines.skip(length)?
        {
            break;
        }
        if object["descriptors"].is_null() {
            continue;
        }
        let set = BASE64_STANDARD.decode(object["descriptors"].as_str().unwrap_or_default());
        let set = set.map_err(|_| lines.wrong("descriptors that can't be read"))?;
        descriptors
            .decode_descriptor_set(Source::Recording, &set)
            .map_err(|error| lines.wrong(&format!("descriptors that can't be used: {error}")))?;
    }
    let mut lines = Lines::open(&file)?;
    lines.next_line()?;
    Ok(Recording {
        lines,
        descriptors: descriptors.clone(),
        decoders: HashMap::new(),
        calls: Arc::default(),
        events: VecDeque::new(),
    })
}

/// What is in a recording, event by event.
pub struct Recording {
    lines: Lines,
    descriptors: Descriptors,
    decoders: HashMap<u64, Decoder>,
    calls: Arc<AtomicU64>,
    events: VecDeque<Event>,
}

impl Iterator for Recording {
    type Item = io::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            let line = match self.lines.next_line() {
                Ok(line) => line?,
                Err(error) => return Some(Err(error)),
            };
            match self.take(&line) {
                Ok(Some(())) => {}
                Ok(None) => return Some(Err(self.lines.wrong("a line that can't be read"))),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Recording {
    /// Takes in one line, and the bytes that belong to it. `None` if it can't be read.
    fn take(&mut self, line: &[u8]) -> io::Result<Option<()>> {
        let Ok(object) = serde_json::from_slice::<Value>(line) else {
            return Ok(None);
        };
        let bytes = match object["bytes"].as_u64() {
            None => None,
            Some(length) => match self.lines.bytes(length)? {
                None => return Ok(Some(())),
                bytes => bytes,
            },
        };
        Ok(self.take_object(&object, bytes))
    }

    fn take_object(&mut self, object: &Value, bytes: Option<Vec<u8>>) -> Option<()> {
        if !object["descriptors"].is_null() {
            return Some(());
        }
        let at = Duration::from_nanos(object["at"].as_u64()?);
        let number = object["connection"].as_u64()?;
        if self.decoders.len() >= CONNECTIONS && !self.decoders.contains_key(&number) {
            return None;
        }
        let decoder = self
            .decoders
            .entry(number)
            .or_insert_with(|| Decoder::with(number, self.calls.clone(), self.descriptors.clone()));
        let direction = direction_of(&object["direction"]);
        if let Some(bytes) = bytes {
            for mut event in decoder.read(direction?, &bytes, at) {
                if let EventKind::Frame(frame) = &mut event.kind {
                    frame.held = object["held"] == true;
                }
                self.events.push_back(event);
            }
            return Some(());
        }
        let kind = match object["event"].as_str()? {
            "opened" => EventKind::Opened,
            "note" => EventKind::Note(object["text"].as_str()?.to_owned()),
            "half_closed" => {
                self.events.extend(decoder.end(direction?, at));
                EventKind::HalfClosed(direction?)
            }
            "closed" => {
                let end = match object["end"].as_str()? {
                    "finished" => End::Finished,
                    "reset" => {
                        self.events.extend(decoder.end(direction?, at));
                        End::Reset(direction?)
                    }
                    "reset by the tap" => End::ResetByTap,
                    "dropped" => End::Dropped,
                    "refused" => End::Refused(object["reason"].as_str()?.to_owned()),
                    _ => return None,
                };
                self.events.push_back(decoder.closed(end, at));
                self.decoders.remove(&number);
                return Some(());
            }
            _ => return None,
        };
        self.events.push_back(Event::new(number, at, kind));
        Some(())
    }
}

/// The lines of a file, each of bounded length.
struct Lines {
    reader: BufReader<File>,
    name: String,
    number: u64,
}

impl Lines {
    fn open(file: &Path) -> io::Result<Self> {
        let name = file.display().to_string();
        let opened = File::open(file);
        let opened = opened.map_err(|error| {
            io::Error::new(error.kind(), format!("{name} can't be read: {error}"))
        })?;
        Ok(Self {
            reader: BufReader::new(opened),
            name,
            number: 0,
        })
    }

    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.number += 1;
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LINE).read_until(b'\n', &mut line)?;
        match line.pop() {
            Some(b'\n') => Ok(Some(line)),
            Some(_) if read as u64 == LINE => Err(self.wrong("a line that is too long")),
            // Written by a program that was stopped in the middle of it.
            _ => Ok(None),
        }
    }

    /// The bytes that belong to the last line. `None` if the file ends before they do.
    fn bytes(&mut self, length: u64) -> io::Result<Option<Vec<u8>>> {
        if length > CHUNK {
            return Err(self.wrong("too many bytes for one line"));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.reader)
            .take(length + 1)
            .read_to_end(&mut bytes)?;
        match bytes.pop() {
            Some(b'\n') if read as u64 == length + 1 => Ok(Some(bytes)),
            Some(_) if read as u64 == length + 1 => Err(self.wrong("bytes without an end")),
            _ => Ok(None),
        }
    }

    /// Leaves them out. Whether the file goes on after them.
    fn skip(&mut self, length: u64) -> io::Result<bool> {
        Ok(self.bytes(length)?.is_some())
    }

    fn wrong(&self, what: &str) -> io::Error {
        io::Error::other(format!("{}, line {}: {what}", self.name, self.number))
    }
}
