//! What was read of a body, and by which attempt.

use std::mem;
use std::task::Waker;

use http_body::Frame;
use tonic::Status;
use tonic::codegen::{Bytes, StdError};

use super::kept::Kept;
use super::{Memory, READERS};

/// Those that read, those that were stopped, and the call itself.
const WAKERS: usize = 2 * READERS + 1;

#[derive(Default)]
pub(super) struct State {
    kept: Kept,
    /// How many frames were freed before those that are kept.
    freed: usize,
    /// Bytes that are kept.
    pub(super) size: usize,
    pub(super) has_ended: bool,
    /// The caller's body has failed.
    failure: Option<Status>,
    readers: [Option<Reader>; READERS],
    attempts: u64,
    /// The attempt that the call is committed to. It needn't run any more.
    owner: Option<u64>,
    /// Wakers of attempts that were stopped.
    stopped: [Option<Waker>; READERS],
    /// Hears of it when there is an owner.
    #[cfg(feature = "hedging")]
    watcher: Option<Waker>,
}

pub(super) struct Reader {
    number: u64,
    /// The frame that it reads next.
    next: usize,
    /// Nobody reads its body any more.
    is_gone: bool,
    pub(super) waker: Option<Waker>,
}

pub(super) enum Next {
    Frame(Bytes),
    Failed(StdError),
    /// The caller's body has to be asked.
    Ask,
    End,
}

impl State {
    /// Whether all that was read from the caller is there.
    pub(super) fn is_open(&self) -> bool {
        self.owner.is_none() && self.failure.is_none()
    }

    pub(super) fn begin(&mut self) -> Option<u64> {
        if !self.is_open() {
            return None;
        }
        let place = self.readers.iter_mut().find(|place| place.is_none())?;
        self.attempts += 1;
        *place = Some(Reader {
            number: self.attempts,
            next: 0,
            is_gone: false,
            waker: None,
        });
        Some(self.attempts)
    }

    pub(super) fn reader(&mut self, number: u64) -> Option<&mut Reader> {
        let mut readers = self.readers.iter_mut().flatten();
        readers.find(|reader| reader.number == number)
    }

    /// What attempt `number` reads next. If the caller has to be asked, `waker` is kept.
    pub(super) fn next(&mut self, number: u64, waker: &Waker) -> Next {
        let end = self.freed + self.kept.len();
        let has_ended = self.has_ended;
        let failure = self.failure.clone();
        let Some(reader) = self.reader(number) else {
            return Next::Failed(stopped());
        };
        if reader.next == end {
            if let Some(status) = failure {
                return Next::Failed(status.into());
            }
            if has_ended {
                return Next::End;
            }
            match &mut reader.waker {
                Some(known) => known.clone_from(waker),
                unknown => *unknown = Some(waker.clone()),
            }
            return Next::Ask;
        }
        let index = reader.next;
        reader.next += 1;
        if self.owner.is_none() {
            // Nothing is freed yet.
            return self.kept.get(index).cloned().map_or(Next::End, Next::Frame);
        }
        // The owner has read what came before.
        match self.kept.pop() {
            Some(bytes) => {
                self.freed += 1;
                Next::Frame(bytes)
            }
            None => Next::End,
        }
    }

    /// Takes what the caller's body gave to attempt `number`. Whether that attempt sends it.
    pub(super) fn receive(
        &mut self,
        number: u64,
        frame: &Result<Frame<Bytes>, Status>,
        memory: &Memory,
    ) -> bool {
        let bytes = match frame {
            Ok(frame) => frame.data_ref(),
            Err(status) => {
                self.failure = Some(status.clone());
                return true;
            }
        };
        // A frame costs its place, even an empty one.
        let length = bytes.map_or(0, |bytes| bytes.len().max(size_of::<Bytes>()));
        if self.owner.is_none() {
            if bytes.is_some() && memory.take(self.size, length) {
                self.size += length;
                self.keep(bytes);
                return self.step(number);
            }
            // gRFC A6, "Memory Management (Buffering)": to the attempt that has sent the most. This
            // one has, if it wasn't stopped just now.
            self.commit(self.furthest(number), memory);
        }
        if self.step(number) {
            self.freed += 1;
            return true;
        }
        self.keep(bytes);
        false
    }

    fn keep(&mut self, bytes: Option<&Bytes>) {
        bytes.cloned().into_iter().for_each(|it| self.kept.push(it));
    }

    /// Whether attempt `number` has read all there is of a body that has ended.
    pub(super) fn has_read_all(&mut self, number: u64) -> bool {
        let end = self.freed + self.kept.len();
        let (has_ended, is_whole) = (self.has_ended, self.failure.is_none());
        let reader = self.reader(number);
        has_ended && is_whole && reader.is_some_and(|reader| reader.next == end)
    }

    /// Whether attempt `number` still runs. It has one frame more then.
    fn step(&mut self, number: u64) -> bool {
        let reader = self.reader(number);
        reader.map(|reader| reader.next += 1).is_some()
    }

    /// `number` if it runs, else the attempt that has read the most.
    fn furthest(&self, number: u64) -> u64 {
        let readers = self.readers.iter().flatten();
        let furthest = readers.max_by_key(|reader| (reader.number == number, reader.next));
        furthest.map_or(number, |reader| reader.number)
    }

    pub(super) fn commit(&mut self, number: u64, memory: &Memory) {
        if self.owner.is_some() {
            return;
        }
        self.owner = Some(number);
        for (place, stopped) in self.readers.iter_mut().zip(&mut self.stopped) {
            if let Some(reader) = place.take_if(|reader| reader.number != number) {
                *stopped = reader.waker;
            }
        }
        // Until now nothing was freed: as many as it has read.
        let all = self.kept.len();
        let reader = self.reader(number).filter(|reader| !reader.is_gone);
        let read = reader.map_or(all, |reader| reader.next);
        self.free(read);
        // What is left is sent and freed soon; it counts no more, nor does what comes.
        memory.give_back(mem::take(&mut self.size));
    }

    /// Frees the first `count` of those that are kept.
    fn free(&mut self, count: usize) {
        let count = count.min(self.kept.len());
        self.kept.free(count);
        self.freed += count;
    }

    pub(super) fn stop(&mut self, number: u64) {
        for (place, stopped) in self.readers.iter_mut().zip(&mut self.stopped) {
            if let Some(reader) = place.take_if(|reader| reader.number == number) {
                *stopped = reader.waker;
            }
        }
    }

    /// Nobody reads the body of attempt `number` any more.
    pub(super) fn leave(&mut self, number: u64) {
        if let Some(reader) = self.reader(number) {
            reader.is_gone = true;
            reader.waker = None;
            if self.owner.is_some() {
                self.free(self.kept.len());
            }
        }
    }

    #[cfg(feature = "hedging")]
    pub(super) fn watch(&mut self, waker: &Waker) {
        match &mut self.watcher {
            Some(known) => known.clone_from(waker),
            unknown => *unknown = Some(waker.clone()),
        }
    }

    /// Whether another attempt than `number` is the owner.
    #[cfg(feature = "hedging")]
    pub(super) fn is_over(&self, number: u64) -> bool {
        self.owner.is_some_and(|owner| owner != number)
    }

    /// All who wait: the caller's body may have the waker of one that is gone.
    pub(super) fn wakers(&mut self) -> [Option<Waker>; WAKERS] {
        let mut wakers = [const { None }; WAKERS];
        let waiting = self.readers.iter_mut().flatten();
        let waiting = waiting.map(|reader| reader.waker.take());
        let stopped = self.stopped.iter_mut().map(Option::take);
        for (place, waker) in wakers.iter_mut().zip(waiting.chain(stopped)) {
            *place = waker;
        }
        #[cfg(feature = "hedging")]
        if let (Some(_), [.., place]) = (self.owner, &mut wakers) {
            *place = self.watcher.take();
        }
        wakers
    }
}

/// How the body of an attempt ends that nobody waits for any more.
pub(super) fn stopped() -> StdError {
    // hyper resets the stream with the reason that it finds in the error.
    h2::Error::from(h2::Reason::CANCEL).into()
}
