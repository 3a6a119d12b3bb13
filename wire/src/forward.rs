//! Passes the bytes of one connection on: as they are and at once, or as late and as far as told.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::decoder::Decoder;
use crate::event::{Direction, End, Event};
use crate::tap::{After, Control, Shared};

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// How much one direction may hold back while it is delayed or stalled. After that the sender has to wait.
const HELD: usize = 8 * 1024 * 1024;

/// How many pieces it may hold back.
const HELD_PIECES: usize = 64 * 1024;

/// Forwards until the connection has ended in both directions, or was cut.
pub(crate) async fn connection(
    mut client: TcpStream,
    mut server: TcpStream,
    number: u64,
    shared: &Shared,
) {
    // Small frames are to leave at once. What fails here fails again at the first read.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    shared.push(Event::Opened {
        connection: number,
        at: shared.now(),
    });
    let link = Link::new(number, shared);
    let mut told = Told(Some(&link));
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            tokio::try_join!(
                link.pump(Direction::ToServer, from_client, to_server),
                link.pump(Direction::ToClient, from_server, to_client),
            )
        };
        tokio::select! {
            biased;
            () = link.reset_by_hand() => End::ResetByTap,
            passed = both => passed.err().unwrap_or(End::Finished),
        }
    };
    if end != End::Finished {
        // A reset on one side becomes a reset on the other. Closing without lingering is resetting.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
    drop((client, server));
    told.0 = None;
    link.closed(end);
}

/// What both directions of a connection share.
struct Link<'a> {
    number: u64,
    shared: &'a Shared,
    resets: u64,
    state: Mutex<State>,
}

struct State {
    decoder: Decoder,
    messages: u64,
    bytes: u64,
    /// Stalled by `stall_after`, until the tap has been resumed more often than this.
    stalled_at: Option<u64>,
    cut: bool,
}

/// Tells of a connection whose task is dropped before its end, together with the tap.
struct Told<'a>(Option<&'a Link<'a>>);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.0 {
            link.closed(End::Dropped);
        }
    }
}

/// What becomes of some bytes: the first ones pass, the others are held, or lost because of a cut.
struct Fate {
    pass: usize,
    cut: bool,
}

impl<'a> Link<'a> {
    fn new(number: u64, shared: &'a Shared) -> Self {
        Self {
            number,
            shared,
            resets: shared.control.borrow().resets,
            state: Mutex::new(State {
                decoder: shared.decoder(number),
                messages: 0,
                bytes: 0,
                stalled_at: None,
                cut: false,
            }),
        }
    }

    async fn reset_by_hand(&self) {
        let mut control = self.shared.control.subscribe();
        let cut = control.wait_for(|control| control.resets != self.resets);
        if cut.await.is_err() {
            pending().await
        }
    }

    /// Passes on one direction. Returns when its sender has closed its half.
    async fn pump(
        &self,
        direction: Direction,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
    ) -> Result<(), End> {
        let control = self.shared.control.subscribe();
        let mut buffer = vec![0; CHUNK];
        let mut queue = Queue::new(self.shared.control.subscribe());
        loop {
            let length = tokio::select! {
                biased;
                due = queue.next(self) => {
                    match due {
                        What::Bytes(bytes) => write(&mut to, &bytes, &from, direction).await?,
                        What::End => {
                            // If nobody is there any more, the other direction tells.
                            let _ = to.shutdown().await;
                            return Ok(());
                        }
                        What::Reset => return Err(End::Reset(direction)),
                        What::ResetHere => return Err(End::ResetByTap),
                    }
                    continue;
                }
                read = from.read(&mut buffer), if queue.has_room() => read,
            };
            let now = *control.borrow();
            let stalled = self.is_stalled(&now);
            let bytes = match length {
                Ok(0) => {
                    self.half_closed(direction);
                    queue.push(What::End, stalled, &now);
                    continue;
                }
                Ok(length) => &buffer[..length],
                Err(_) => {
                    queue.push(What::Reset, stalled, &now);
                    continue;
                }
            };
            let fate = self.look(direction, bytes, &now);
            let (pass, rest) = bytes.split_at(fate.pass);
            if queue.held.is_empty() && now.delay.is_zero() && !stalled {
                // The usual way: nothing is copied, and nothing waits.
                write(&mut to, pass, &from, direction).await?;
            } else if !pass.is_empty() {
                queue.push(What::Bytes(pass.to_vec()), stalled, &now);
            }
            if fate.cut {
                queue.push(What::ResetHere, false, &now);
            } else if !rest.is_empty() {
                queue.push(What::Bytes(rest.to_vec()), true, &now);
            }
        }
    }

    /// Decodes and records some bytes, and finds out how far they may go.
    fn look(&self, direction: Direction, bytes: &[u8], control: &Control) -> Fate {
        let at = self.shared.now();
        let mut state = self.state();
        if state.cut {
            return Fate { pass: 0, cut: true };
        }
        if state.is_stalled(control) {
            self.record(&mut state, direction, bytes, u64::MAX, true);
            // Held, but in the order in which it came: the queue knows that it is stalled.
            return Fate {
                pass: bytes.len(),
                cut: false,
            };
        }
        let faults = self.shared.faults;
        // Once in the life of a connection is enough.
        let stall = faults.stall_after.filter(|_| state.stalled_at.is_none());
        let (mut most, mut messages) = (bytes.len(), u64::MAX);
        for after in [faults.reset_after, stall].into_iter().flatten() {
            match after {
                After::Bytes(limit) => {
                    let left = limit.saturating_sub(state.bytes);
                    most = most.min(usize::try_from(left).unwrap_or(usize::MAX));
                }
                After::Messages(limit) => messages = messages.min(limit),
            }
        }
        let pass = self.record(&mut state, direction, &bytes[..most], messages, false);
        let reached = |after| match after {
            After::Bytes(limit) => state.bytes >= limit,
            After::Messages(limit) => state.messages >= limit,
        };
        let cut = faults.reset_after.is_some_and(reached);
        if !cut && stall.is_some_and(reached) {
            state.stalled_at = Some(control.resumes);
            self.note(at, "stalled: from here on nothing is passed on");
            self.record(&mut state, direction, &bytes[pass..], u64::MAX, true);
        }
        state.cut = cut;
        Fate { pass, cut }
    }

    /// Records until there have been so many messages. Returns how many bytes that took.
    fn record(
        &self,
        state: &mut State,
        direction: Direction,
        bytes: &[u8],
        until: u64,
        held: bool,
    ) -> usize {
        let mut messages = state.messages;
        let at = self.shared.now();
        let read = state.decoder.read_until(direction, bytes, at, |mut event| {
            if let Event::Frame(frame) = &mut event {
                messages += frame.messages().len() as u64;
                frame.held = held;
            }
            self.shared.push(event);
            messages >= until
        });
        state.messages = messages;
        state.bytes += read as u64;
        read
    }

    fn note(&self, at: std::time::Duration, text: &str) {
        self.shared.push(Event::Note {
            connection: self.number,
            at,
            text: text.to_owned(),
        });
    }

    fn half_closed(&self, direction: Direction) {
        let at = self.shared.now();
        for event in self.state().decoder.end(direction, at) {
            self.shared.push(event);
        }
        self.shared.push(Event::HalfClosed {
            connection: self.number,
            at,
            direction,
        });
    }

    fn closed(&self, end: End) {
        let at = self.shared.now();
        let mut state = self.state();
        if let End::Reset(direction) = end {
            for event in state.decoder.end(direction, at) {
                self.shared.push(event);
            }
        }
        self.shared.push(Event::Closed {
            connection: self.number,
            at,
            end,
            open: state.decoder.open_calls(),
            to_server: state.decoder.bytes(Direction::ToServer),
            to_client: state.decoder.bytes(Direction::ToClient),
        });
    }

    fn is_stalled(&self, control: &Control) -> bool {
        self.state().is_stalled(control)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_stalled(&self, control: &Control) -> bool {
        control.stalled || self.stalled_at == Some(control.resumes)
    }
}

/// Writes all, unless its sender turns out to have reset the connection: what it sent is worth nothing then.
async fn write(
    to: &mut WriteHalf<'_>,
    bytes: &[u8],
    from: &ReadHalf<'_>,
    direction: Direction,
) -> Result<(), End> {
    tokio::select! {
        biased;
        written = to.write_all(bytes) => written.map_err(|_| End::Reset(direction.opposite())),
        () = failed(from) => Err(End::Reset(direction)),
    }
}

/// Returns when a connection is in error. Not every system tells without being asked to read.
async fn failed(from: &ReadHalf<'_>) {
    match from.ready(Interest::ERROR).await {
        Ok(ready) if !ready.is_error() => pending().await,
        _ => {}
    }
}

/// What is on its way in one direction, oldest first.
struct Queue {
    held: VecDeque<Held>,
    bytes: usize,
    ended: bool,
    control: watch::Receiver<Control>,
}

struct Held {
    what: What,
    /// Read while nothing was passed on: waits until it is resumed.
    stalled: bool,
    due: Instant,
}

enum What {
    Bytes(Vec<u8>),
    /// The sender has closed its half.
    End,
    /// The sender has reset the connection.
    Reset,
    /// The tap is to reset the connection here.
    ResetHere,
}

impl What {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

impl Queue {
    fn new(control: watch::Receiver<Control>) -> Self {
        Self {
            held: VecDeque::new(),
            bytes: 0,
            ended: false,
            control,
        }
    }

    fn has_room(&self) -> bool {
        !self.ended && self.bytes < HELD && self.held.len() < HELD_PIECES
    }

    fn push(&mut self, what: What, stalled: bool, control: &Control) {
        self.ended |= !matches!(what, What::Bytes(_));
        self.bytes += what.len();
        self.held.push_back(Held {
            what,
            stalled,
            due: Instant::now() + control.delay,
        });
    }

    /// Waits for the oldest thing to be due, and takes it out. Can be dropped without losing anything.
    async fn next(&mut self, link: &Link<'_>) -> What {
        let Some(oldest) = self.held.front() else {
            return pending().await;
        };
        if oldest.stalled {
            let resumed = self.control.wait_for(|control| !link.is_stalled(control));
            if resumed.await.is_err() {
                return pending().await;
            }
        }
        if oldest.due > Instant::now() {
            sleep_until(oldest.due).await;
        }
        match self.held.pop_front() {
            Some(oldest) => {
                self.bytes -= oldest.what.len();
                oldest.what
            }
            None => pending().await,
        }
    }
}
