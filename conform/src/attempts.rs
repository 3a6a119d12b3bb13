//! What retry and hedging have in common: what an answer means for the attempts of a call.

use std::error::Error;
use std::fmt;
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(feature = "hedging")]
use std::task::Waker;
use std::time::Duration;

use http_body::Body as HttpBody;
use tonic::body::Body;
use tonic::codegen::http::request::Parts;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tonic::codegen::{Bytes, StdError};
use tonic::{Code, Status};

use crate::deadline::{Deadline, parse_timeout};
use crate::per_call::PerCall;
use crate::replay::{BufferLimits, Memory, Replay, Running};
use crate::status::{Reach, code_in, reach};

mod counted;
mod head;
mod throttle;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::counted::Count;
use self::counted::Counted;
use self::head::Head;
pub use self::throttle::Throttle;

/// gRFC A6, "Limits on Retries and Hedges".
pub(crate) const MOST_ATTEMPTS: u32 = 5;

/// How often a call is put on another connection because the one before was gone. gRFC A6,
/// "Transparent Retries", has no limit but the deadline, and a call may have none.
pub(crate) const MOST_UNSENT: u32 = 32;

const PUSHBACK: &str = "grpc-retry-pushback-ms";
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";
const TIMEOUT: &str = "grpc-timeout";

/// Why a policy can't be used: a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPolicy(pub(crate) &'static str);

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for InvalidPolicy {}

/// Marks an error, as one of its sources: the call ends with it, at once.
///
/// For a layer that chooses connections and drops calls on purpose. gRFC A6, "Transparent Retries":
/// such a call isn't sent again, whatever its policy says, and counts for no [`Throttle`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoRetry;

impl fmt::Display for NoRetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call was dropped on purpose")
    }
}

impl Error for NoRetry {}

/// In the extensions of a request that is an attempt of a hedged call: it is sent once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IsAttempt;

/// A set of status codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Codes(u32);

impl Codes {
    pub(crate) fn contains(self, code: Code) -> bool {
        self.0 & (1 << code as u32) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Code> for Codes {
    fn from_iter<I: IntoIterator<Item = Code>>(codes: I) -> Self {
        Self(
            codes
                .into_iter()
                .fold(0, |set, code| set | 1 << code as u32),
        )
    }
}

/// What the calls of a channel share.
#[derive(Debug)]
pub(crate) struct Settings<P> {
    pub(crate) policy: Option<Arc<P>>,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) chance: Mutex<fastrand::Rng>,
}

impl<P> Settings<P> {
    pub(crate) fn new(
        policy: Option<Arc<P>>,
        throttle: Option<Throttle>,
        limits: BufferLimits,
        seed: Option<u64>,
    ) -> Arc<Self> {
        let chance = seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Arc::new(Self {
            policy,
            throttle,
            memory: Memory::new(limits),
            chance: Mutex::new(chance),
        })
    }

    /// A factor from 0.8 to 1.2: gRFC A6, "Exponential Backoff".
    pub(crate) fn jitter(&self) -> f64 {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        0.8 + 0.4 * chance.f64()
    }
}

pub(crate) type Answer = Result<Response<Body>, StdError>;

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Response headers: gRFC A6, "When Retries are Valid".
    Committed,
    /// A call without replies that went well.
    Ok,
    /// gRFC A6, "Transparent Retries", the second and the third case.
    NeverLeft,
    Refused,
    /// The first case, with a pick that says drop.
    Dropped,
    Failed(Code, Pushback),
}

/// gRFC A6, "Pushback".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushback {
    None,
    After(Duration),
    Stop,
}

/// Reads an answer. An error that has no status becomes one, as a stub would do it. If the call is
/// committed to it, its end is yet to be counted by `count`.
pub(crate) fn read<B, E>(
    answer: Result<Response<B>, E>,
    count: impl FnOnce() -> Option<Count>,
) -> (Answer, Meaning)
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
    E: Into<StdError>,
{
    match answer {
        Ok(response) => {
            let meaning = meaning(&response);
            let count = count().filter(|_| meaning == Meaning::Committed);
            let response = response.map(|inner| match count {
                Some(count) => Body::new(Counted::new(inner, count)),
                None => Body::new(inner),
            });
            (Ok(response), meaning)
        }
        Err(error) => {
            let error = error.into();
            if is_dropped(&*error) {
                return (Err(error), Meaning::Dropped);
            }
            let reach = reach(&*error);
            let status = Status::from_error(error);
            let meaning = match reach {
                Reach::NeverLeft => Meaning::NeverLeft,
                Reach::Refused => Meaning::Refused,
                Reach::Unknown => Meaning::Failed(status.code(), Pushback::None),
            };
            (Err(status.into()), meaning)
        }
    }
}

fn is_dropped(error: &(dyn Error + 'static)) -> bool {
    iter::successors(Some(error), |&error| error.source()).any(|error| error.is::<NoRetry>())
}

fn meaning<B: HttpBody>(response: &Response<B>) -> Meaning {
    let headers = response.headers();
    match code_in(headers) {
        Some(Code::Ok) => Meaning::Ok,
        Some(code) => Meaning::Failed(code, pushback(headers)),
        // The end of a call without a status: PROTOCOL-HTTP2, "Responses".
        None if response.body().is_end_stream() => {
            Meaning::Failed(Code::Unknown, pushback(headers))
        }
        None => Meaning::Committed,
    }
}

pub(crate) fn pushback(headers: &HeaderMap) -> Pushback {
    let mut values = headers.get_all(PUSHBACK).iter();
    match (values.next(), values.next()) {
        (None, _) => Pushback::None,
        (Some(value), None) => milliseconds(value).map_or(Pushback::Stop, Pushback::After),
        (Some(_), Some(_)) => Pushback::Stop,
    }
}

/// A number of 31 bits, without unnecessary zeros in front.
fn milliseconds(value: &HeaderValue) -> Option<Duration> {
    let digits = value.to_str().ok()?;
    let is_plain = digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_plain || digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    let number = u32::try_from(digits.parse::<i32>().ok()?).ok()?;
    Some(Duration::from_millis(number.into()))
}

/// One call: what all of its attempts are made of.
pub(crate) struct Call<P> {
    head: Head,
    replay: Replay,
    /// At most one of all; else it is taken, not cloned.
    is_single: bool,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) policy: Option<Arc<P>>,
    pub(crate) throttle: Option<Throttle>,
    /// What the caller says of the time that is left is no longer true.
    is_late: bool,
    unsent: u32,
    was_refused: bool,
}

/// A policy of retry or of hedging.
pub(crate) trait Policy: Send + Sync + 'static {
    /// The one that the service config has for this call.
    fn configured(call: &PerCall) -> Option<Arc<Self>>;
}

impl<P: Policy> Call<P> {
    pub(crate) fn new(request: Request<Body>, settings: &Settings<P>) -> Self {
        let (mut head, body) = request.into_parts();
        let is_single = head.extensions.remove::<IsAttempt>().is_some();
        if !is_single {
            head.headers.remove(PREVIOUS_ATTEMPTS);
        }
        let replay = match is_single {
            true => Replay::once(body),
            false => Replay::new(body, &settings.memory),
        };
        let policy = head.extensions.remove::<Arc<P>>();
        let throttle = head.extensions.remove::<Throttle>();
        let configured = PerCall::of(&head.extensions);
        let policy = policy.or_else(|| configured.and_then(P::configured));
        let throttle = throttle.or_else(|| configured.and_then(|call| call.throttle.clone()));
        Self {
            deadline: deadline(&head),
            replay,
            is_single,
            policy: policy
                .or_else(|| settings.policy.clone())
                .filter(|_| !is_single),
            throttle: throttle
                .or_else(|| settings.throttle.clone())
                .filter(|_| !is_single),
            head: Head::new(head),
            is_late: false,
            unsent: 0,
            was_refused: false,
        }
    }

    /// The next attempt, after `previous` others; `None` if there can't be one.
    pub(crate) fn attempt(&mut self, previous: u32) -> Option<(Request<Body>, Running)> {
        let mut head = self.head.next(self.is_single)?;
        let (running, body) = self.replay.attempt()?;
        if previous > 0 {
            head.headers.insert(PREVIOUS_ATTEMPTS, previous.into());
        }
        if let Some(deadline) = self.deadline.filter(|_| self.is_late) {
            deadline.write(&mut head.headers);
        }
        self.is_late = true;
        Some((Request::from_parts(head, body), running))
    }

    /// Time has passed since the call began.
    pub(crate) fn has_waited(&mut self) {
        self.is_late = true;
    }

    /// Has all attempts say this of themselves.
    #[cfg(feature = "hedging")]
    pub(crate) fn mark(&mut self, mark: IsAttempt) {
        if let Some(head) = self.head.first() {
            head.extensions.insert(mark);
            #[cfg(all(feature = "channel", feature = "metrics"))]
            if let Some(tally) = head.extensions.get::<Arc<crate::metrics::Tally>>() {
                tally.hedged();
            }
        }
    }

    /// Wakes `waker` when the buffer is exceeded, which ends all attempts but one.
    #[cfg(feature = "hedging")]
    pub(crate) fn watch(&self, waker: &Waker) {
        self.replay.watch(waker);
    }

    /// Whether another attempt can begin from the beginning.
    pub(crate) fn can_repeat(&self) -> bool {
        self.replay.can_repeat()
    }

    /// Whether the attempt with this answer is made again, whatever the policy says: gRFC A6,
    /// "Transparent Retries".
    pub(crate) fn is_made_again(&mut self, meaning: Meaning) -> bool {
        match meaning {
            Meaning::NeverLeft if self.can_repeat() && self.unsent < MOST_UNSENT => {
                self.unsent += 1;
                true
            }
            Meaning::Refused if self.can_repeat() && !self.was_refused => {
                self.was_refused = true;
                true
            }
            _ => false,
        }
    }

    /// Counts the end of an answer that the call is committed to, if there are tokens to count.
    pub(crate) fn count(&self, failures: Codes) -> Option<Count> {
        let throttle = self.throttle.clone()?;
        Some(Count { throttle, failures })
    }

    pub(crate) fn has_expired(&self) -> bool {
        self.deadline.is_some_and(Deadline::has_passed)
    }
}

/// As `deadline`'s layer has set it; or as the caller says, counted from now.
fn deadline(head: &Parts) -> Option<Deadline> {
    let timeout = head.headers.get(TIMEOUT)?;
    let deadline = PerCall::deadline(&head.extensions);
    deadline.or_else(|| Deadline::after(parse_timeout(timeout.as_bytes())?))
}
