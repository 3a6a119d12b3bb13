//! Passes the bytes of one connection on: as they are and at once, or delayed or stopped on
//! request.

use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::faults::{After, Control};
use super::queue::{Item, Queue};
use super::shared::Shared;
use crate::decoder::{Decoder, Direction, End, EventKind};

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// Forwards until the connection has ended in both directions, or was reset.
pub(crate) async fn connection(
    mut client: TcpStream,
    mut server: TcpStream,
    number: u64,
    shared: &Shared,
) {
    // Small frames are to leave at once. What fails here fails again at the first read.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    shared.happens(number, EventKind::Opened);
    let link = Link::new(number, shared);
    let mut close = CloseOnDrop(Some(&link));
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
    close.0 = None;
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
    reset: bool,
}

/// Records the end of a connection whose task is dropped together with the tap.
struct CloseOnDrop<'a>(Option<&'a Link<'a>>);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.0 {
            link.closed(End::Dropped);
        }
    }
}

/// What becomes of some bytes: the first ones pass, the others are held, or lost because of a
/// reset.
struct Verdict {
    pass: usize,
    reset: bool,
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
                reset: false,
            }),
        }
    }

    async fn reset_by_hand(&self) {
        let mut control = self.shared.control.subscribe();
        let reset = control.wait_for(|control| control.resets != self.resets);
        if reset.await.is_err() {
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
                due = queue.next(|control| self.is_stalled(control)) => {
                    match due {
                        Item::Bytes(bytes) => write(&mut to, &bytes, &from, direction).await?,
                        Item::End => {
                            // If that fails, the other direction notices.
                            let _ = to.shutdown().await;
                            return Ok(());
                        }
                        Item::Reset => return Err(End::Reset(direction)),
                        Item::ResetHere => return Err(End::ResetByTap),
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
                    queue.push(Item::End, stalled, &now);
                    continue;
                }
                Ok(length) => &buffer[..length],
                Err(_) => {
                    queue.push(Item::Reset, stalled, &now);
                    continue;
                }
            };
            let verdict = self.look(direction, bytes, &now);
            let (pass, rest) = bytes.split_at(verdict.pass);
            if queue.is_empty() && now.delay.is_zero() && !stalled {
                // The usual way: nothing is copied, and nothing waits.
                write(&mut to, pass, &from, direction).await?;
            } else if !pass.is_empty() {
                queue.push(Item::Bytes(pass.to_vec()), stalled, &now);
            }
            if verdict.reset {
                queue.push(Item::ResetHere, false, &now);
            } else if !rest.is_empty() {
                queue.push(Item::Bytes(rest.to_vec()), true, &now);
            }
        }
    }

    /// Decodes and records some bytes, and finds out how far they may go.
    fn look(&self, direction: Direction, bytes: &[u8], control: &Control) -> Verdict {
        let mut state = self.state();
        if state.reset {
            return Verdict {
                pass: 0,
                reset: true,
            };
        }
        if state.is_stalled(control) {
            self.record(&mut state, direction, bytes, u64::MAX, true);
            // Held, but in the order in which it came: the queue knows that it is stalled.
            return Verdict {
                pass: bytes.len(),
                reset: false,
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
        let reset = faults.reset_after.is_some_and(reached);
        if !reset && stall.is_some_and(reached) {
            state.stalled_at = Some(control.resumes);
            let note = "stalled: from here on nothing is passed on".to_owned();
            self.shared.happens(self.number, EventKind::Note(note));
            self.record(&mut state, direction, &bytes[pass..], u64::MAX, true);
        }
        state.reset = reset;
        Verdict { pass, reset }
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
            if let EventKind::Frame(frame) = &mut event.kind {
                messages += frame.messages().len() as u64;
                frame.held = held;
            }
            self.shared.push(event);
            messages >= until
        });
        let number = self.number;
        self.shared
            .save_bytes(at, number, direction, held, &bytes[..read]);
        state.messages = messages;
        state.bytes += read as u64;
        read
    }

    fn half_closed(&self, direction: Direction) {
        let mut state = self.state();
        for event in state.decoder.end(direction, self.shared.now()) {
            self.shared.push(event);
        }
        self.shared
            .happens(self.number, EventKind::HalfClosed(direction));
    }

    fn closed(&self, end: End) {
        let mut state = self.state();
        if let End::Reset(direction) = end {
            for event in state.decoder.end(direction, self.shared.now()) {
                self.shared.push(event);
            }
        }
        self.shared.closed(self.number, &state.decoder, end);
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

/// Writes all, unless its sender turns out to have reset the connection: then nobody waits for it.
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
