//! What a server's connection may do, and when it has to go: from the frames that pass, without
//! any input or output.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::Closed;
use crate::frames::{
    ACK, DATA, END_STREAM, Frame, FrameScanner, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM,
    SETTINGS,
};

/// RFC 9113, section 7.
const NO_ERROR: u32 = 0x0;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// The highest number that a stream may have: a GOAWAY with it refuses nothing yet.
const LAST_STREAM: u32 = u32::MAX >> 1;

/// What the ping carries whose answer says that the client has read the GOAWAY.
const READ_THE_GOAWAY: &[u8; 8] = b"conform\0";

/// How long that answer may take, until the client counts as one that has read it: as long as
/// grpc-go waits.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long after that answer calls still come that were begun before the GOAWAY was read: clients
/// answer a ping before they send what waits, h2 is one of them.
const CROSSING: Duration = Duration::from_secs(1);

/// How often a connection without calls may ping where that isn't permitted: as often as TCP's own
/// keepalive does. gRFC A8, *Server Enforcement*.
const WITHOUT_CALLS: Duration = Duration::from_secs(2 * 60 * 60);

/// So many pings too early are borne. gRFC A8, *Server Enforcement*.
const MAX_PING_STRIKES: u32 = 2;

/// How many frames that have to be answered a client may send at once, beyond what the pace below
/// allows. None needs so many: SETTINGS are sent once or twice, pings every few seconds.
const ANSWERS: u32 = 2000;

/// For each so much time one more.
const PER_ANSWER: Duration = Duration::from_millis(10);

/// The numbers of an [`Enforce`](super::Enforce).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// `None`: any number of pings.
    pub(super) pings: Option<PingSettings>,
    pub(super) max_idle: Duration,
    pub(super) max_age: Duration,
    pub(super) max_age_grace: Duration,
    pub(super) write_timeout: Duration,
}

impl Settings {
    /// Nothing more than idleness is limited, and how long the peer may take nothing.
    #[cfg(feature = "server")]
    pub(crate) fn idle(max_idle: Duration) -> Self {
        Self {
            max_idle,
            write_timeout: super::TIMEOUT,
            ..Self::NONE
        }
    }

    /// Nothing is limited but the frames that have to be answered.
    pub(super) const NONE: Self = Self {
        pings: None,
        max_idle: Duration::MAX,
        max_age: Duration::MAX,
        max_age_grace: Duration::MAX,
        write_timeout: Duration::MAX,
    };
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PingSettings {
    pub(super) min_time: Duration,
    pub(super) without_calls: bool,
}

/// What is to be done about a connection.
#[derive(Debug)]
pub(super) enum Step {
    /// These frames are to be sent.
    Send(Vec<u8>),
    /// These are, and then the connection is to be closed.
    Close(Vec<u8>, Closed),
}

/// One connection: what is known of it, from both directions.
#[derive(Debug)]
pub(super) struct Limits {
    settings: Settings,
    incoming: Incoming,
    outgoing: FrameScanner,
    /// SETTINGS has to be the first frame.
    has_begun_to_send: bool,
    /// The calls that aren't over. As many as the server has accepted: it ends or resets each.
    open: HashSet<u32>,
    /// The last stream that the client has opened.
    last_stream: u32,
    /// The last one that a GOAWAY of the server itself lets pass. None of ours may name a higher
    /// one: RFC 9113, section 6.8.
    last_allowed: u32,
    idle_since: Instant,
    aged_at: Option<Instant>,
    pings: Pings,
    answers: Answers,
    /// The server has sent a ping, and nothing came since.
    pub(super) is_unanswered: bool,
    ending: Ending,
}

/// What the client speaks.
#[derive(Debug)]
enum Incoming {
    /// So much of the preface has come.
    Preface(usize),
    Frames(FrameScanner),
    /// Not HTTP/2, or it is inside of TLS.
    Unreadable,
}

#[derive(Debug)]
enum Ending {
    NotYet,
    /// The client was told to leave.
    Told {
        why: Closed,
        at: Instant,
    },
    /// It has read that, and may finish the calls up to `last`: those that it begins until
    /// `begun_until` are among them.
    Leaving {
        why: Closed,
        at: Instant,
        begun_until: Instant,
        last: u32,
    },
    Closed,
}

impl Limits {
    pub(super) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            incoming: Incoming::Preface(0),
            outgoing: FrameScanner::default(),
            has_begun_to_send: false,
            open: HashSet::new(),
            last_stream: 0,
            last_allowed: LAST_STREAM,
            idle_since: now,
            aged_at: now.checked_add(with_jitter(settings.max_age)),
            pings: Pings::default(),
            answers: Answers::new(now),
            is_unanswered: false,
            ending: Ending::NotYet,
        }
    }

    /// Takes what has come from the client.
    pub(super) fn received(&mut self, mut bytes: &[u8], now: Instant) {
        self.is_unanswered &= bytes.is_empty();
        while let Incoming::Preface(matched) = &mut self.incoming {
            let Some((byte, rest)) = bytes.split_first() else {
                return;
            };
            bytes = rest;
            if PREFACE.get(*matched) != Some(byte) {
                self.incoming = Incoming::Unreadable;
            } else if *matched + 1 == PREFACE.len() {
                self.incoming = Incoming::Frames(FrameScanner::default());
            } else {
                *matched += 1;
            }
        }
        while let Incoming::Frames(frames) = &mut self.incoming {
            let Some(frame) = frames.next_frame(&mut bytes) else {
                return;
            };
            self.frame_came(&frame, now);
        }
    }

    fn frame_came(&mut self, frame: &Frame, now: Instant) {
        match frame.kind {
            // Trailers have the number of a call that is open already.
            HEADERS if frame.stream > self.last_stream => {
                self.last_stream = frame.stream;
                if frame.stream <= self.last_allowed {
                    self.open.insert(frame.stream);
                }
                if let Ending::Leaving {
                    begun_until, last, ..
                } = &mut self.ending
                    && now <= *begun_until
                {
                    *last = frame.stream;
                }
            }
            RST_STREAM => self.call_is_over(frame.stream, now),
            SETTINGS if !frame.has(ACK) => self.answers.asked(now),
            PING if !frame.has(ACK) => {
                self.answers.asked(now);
                if let Some(settings) = self.settings.pings {
                    self.pings.came(settings, self.open.is_empty(), now);
                }
            }
            PING if frame.payload() == READ_THE_GOAWAY => {
                self.goaway_was_read(now, CROSSING);
            }
            _ => {}
        }
    }

    /// Takes what the server has sent.
    pub(super) fn sent(&mut self, mut bytes: &[u8], now: Instant) {
        while let Some(frame) = self.outgoing.next_frame(&mut bytes) {
            match frame.kind {
                DATA | HEADERS => {
                    self.pings.reset();
                    self.answers.give_back();
                    if frame.has(END_STREAM) {
                        self.call_is_over(frame.stream, now);
                    }
                }
                RST_STREAM => self.call_is_over(frame.stream, now),
                SETTINGS => self.has_begun_to_send = true,
                GOAWAY => {
                    if let Some(&[a, b, c, d]) = frame.payload().get(..4) {
                        let last = u32::from_be_bytes([a, b, c, d]) & LAST_STREAM;
                        self.last_allowed = self.last_allowed.min(last);
                    }
                }
                PING if !frame.has(ACK) => self.is_unanswered = true,
                _ => {}
            }
        }
    }

    fn call_is_over(&mut self, stream: u32, now: Instant) {
        if self.open.remove(&stream) && self.open.is_empty() {
            self.idle_since = now;
        }
    }

    /// The calls that it begins within `crossing` of now are begun before.
    fn goaway_was_read(&mut self, now: Instant, crossing: Duration) {
        if let Ending::Told { why, .. } = self.ending {
            self.ending = Ending::Leaving {
                why,
                at: now,
                begun_until: now + crossing,
                last: self.last_stream,
            };
        }
    }

    /// What is to be done now, once; `None` until something else happens or [`due`](Self::due).
    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        if !matches!(self.incoming, Incoming::Frames(_)) || matches!(self.ending, Ending::Closed) {
            return None;
        }
        if self.pings.strikes > MAX_PING_STRIKES {
            self.ending = Ending::Closed;
            let goaway = self.goaway(self.last_stream, ENHANCE_YOUR_CALM, "too_many_pings");
            return Some(Step::Close(goaway, Closed::TooManyPings));
        }
        if self.answers.are_too_many {
            self.ending = Ending::Closed;
            let goaway = self.goaway(self.last_stream, ENHANCE_YOUR_CALM, "too_many_answers");
            return Some(Step::Close(goaway, Closed::TooManyAnswers));
        }
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        match self.ending {
            Ending::NotYet => {
                let aged = self.aged_at.is_some_and(|at| at <= now);
                let why = if aged {
                    Closed::MaxAge
                } else {
                    Closed::MaxIdle
                };
                self.ending = Ending::Told { why, at: now };
                let mut frames = self.goaway(LAST_STREAM, NO_ERROR, debug_data(why));
                frames.extend(frame(PING, READ_THE_GOAWAY));
                Some(Step::Send(frames))
            }
            Ending::Told { .. } => {
                // There was time enough to cross in.
                self.goaway_was_read(now, Duration::ZERO);
                self.step(now)
            }
            Ending::Leaving { why, .. } => {
                self.ending = Ending::Closed;
                // Whatever the server was given may have been acted on, calls past `last` too.
                // RFC 9113, section 6.8.
                let goaway = self.goaway(self.last_stream, NO_ERROR, debug_data(why));
                Some(Step::Close(goaway, why))
            }
            Ending::Closed => None,
        }
    }

    /// When [`step`](Self::step) has to be asked again, if nothing happens before; at once, if that
    /// lies in the past.
    pub(super) fn due(&self) -> Option<Instant> {
        if !matches!(self.incoming, Incoming::Frames(_)) {
            return None;
        }
        match self.ending {
            Ending::NotYet => {
                let idle = self.open.is_empty();
                let idle = idle.then(|| self.idle_since.checked_add(self.settings.max_idle));
                earlier(idle.flatten(), self.aged_at)
            }
            Ending::Told { at, .. } => at.checked_add(GOAWAY_TIMEOUT),
            Ending::Leaving {
                at,
                begun_until,
                last,
                ..
            } => {
                // A call past `last` was begun against the GOAWAY: it holds nothing up.
                let over = self.open.iter().all(|&stream| stream > last);
                let grace_begins = self.aged_at.map(|aged_at| aged_at.max(at));
                let grace = |begins: Instant| begins.checked_add(self.settings.max_age_grace);
                earlier(over.then_some(begun_until), grace_begins.and_then(grace))
            }
            Ending::Closed => None,
        }
    }

    fn goaway(&self, last_stream: u32, code: u32, debug_data: &str) -> Vec<u8> {
        goaway(last_stream.min(self.last_allowed), code, debug_data)
    }

    /// Whether frames may be put in here, between those of the server.
    pub(super) fn may_send(&self) -> bool {
        self.has_begun_to_send && self.outgoing.is_between_frames()
    }

    /// How many of these bytes the server may send before that is so.
    pub(super) fn up_to_next_place(&self, bytes: &[u8]) -> usize {
        self.outgoing.up_to_next_place(bytes)
    }
}

/// gRFC A8's algorithm, as grpc-core and grpc-go have it: they compare with the ping before, A8 with
/// the last that was not too early.
#[derive(Debug, Default)]
struct Pings {
    strikes: u32,
    last: Option<Instant>,
}

impl Pings {
    fn came(&mut self, settings: PingSettings, is_idle: bool, now: Instant) {
        let least = if is_idle && !settings.without_calls {
            WITHOUT_CALLS
        } else {
            settings.min_time
        };
        let is_early = |last| now.saturating_duration_since(last) < least;
        if self.last.is_some_and(is_early) {
            self.strikes = self.strikes.saturating_add(1);
        }
        self.last = Some(now);
    }

    /// The server has sent something: clients ping then, to measure the line.
    fn reset(&mut self) {
        // Once too often is too often.
        if self.strikes <= MAX_PING_STRIKES {
            *self = Self::default();
        }
    }
}

/// Frames that HTTP/2 makes the server answer, at once and one by one: SETTINGS and PING. Endless
/// ones cost the client nothing (CVE-2019-9512, CVE-2019-9515); h2 keeps no count of them.
///
/// Whoever measures the line pings once for each piece of a message: what the server sends pays for
/// an answer too.
#[derive(Debug)]
struct Answers {
    /// When those so far are paid for, one in [`PER_ANSWER`].
    paid_at: Instant,
    are_too_many: bool,
}

impl Answers {
    fn new(now: Instant) -> Self {
        Self {
            paid_at: now,
            are_too_many: false,
        }
    }

    fn asked(&mut self, now: Instant) {
        self.paid_at = self.paid_at.max(now) + PER_ANSWER;
        self.are_too_many |= self.paid_at - now > PER_ANSWER * ANSWERS;
    }

    fn give_back(&mut self) {
        let earlier = self.paid_at.checked_sub(PER_ANSWER);
        self.paid_at = earlier.unwrap_or(self.paid_at);
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// `age`, a tenth more or less at random, so that connections that were made together don't end
/// together. gRFC A9, *MAX_CONNECTION_AGE*.
fn with_jitter(age: Duration) -> Duration {
    // The standard library's random numbers: keys for hashing.
    let random = RandomState::new().hash_one(0_u8);
    let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
    Duration::try_from_secs_f64(age.as_secs_f64() * (0.9 + 0.2 * share)).unwrap_or(Duration::MAX)
}

/// As gRFC A9 names it.
fn debug_data(why: Closed) -> &'static str {
    match why {
        Closed::MaxAge => "max_age",
        _ => "max_idle",
    }
}

fn goaway(last_stream: u32, code: u32, debug_data: &str) -> Vec<u8> {
    let mut payload = last_stream.to_be_bytes().to_vec();
    payload.extend(code.to_be_bytes());
    payload.extend(debug_data.as_bytes());
    frame(GOAWAY, &payload)
}

/// A frame of the whole connection, without flags.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    // The payloads here are shorter than 256 bytes.
    let mut frame = vec![0, 0, payload.len() as u8, kind, 0, 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

/// The reason and the debug data of a GOAWAY.
pub(super) fn is_too_many_pings(frame: &Frame) -> bool {
    let expected = goaway(0, ENHANCE_YOUR_CALM, "too_many_pings");
    frame.kind == GOAWAY && frame.payload().get(4..) == expected.get(13..)
}

/// Whether a server of HTTP/2 begins so.
pub(super) fn is_settings(frame: &Frame) -> bool {
    frame.kind == SETTINGS && frame.stream == 0
}
