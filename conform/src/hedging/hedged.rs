//! The attempts of one call, and when the next one is due.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};

use super::HedgingPolicy;
use super::attempt::Attempt;
use crate::attempts::{Answer, Call, IsAttempt, Meaning, Pushback, Throttle};
use crate::deadline::exceeded;

pub(super) struct Hedged<S>
where
    S: Service<Request<Body>>,
{
    inner: S,
    call: Call<HedgingPolicy>,
    policy: Arc<HedgingPolicy>,
    running: Vec<Pin<Box<Attempt<S>>>>,
    /// How many were begun.
    begun: u32,
    next: Next,
    /// The answer that came last.
    last: Option<Answer>,
}

/// When the next attempt is due.
enum Next {
    Now,
    At(Pin<Box<Sleep>>),
    Never,
}

impl<S> Hedged<S>
where
    S: Service<Request<Body>>,
{
    pub(super) fn new(inner: S, mut call: Call<HedgingPolicy>, policy: Arc<HedgingPolicy>) -> Self {
        call.mark(IsAttempt);
        Self {
            inner,
            call,
            policy,
            running: Vec::with_capacity(1),
            begun: 0,
            next: Next::Now,
            last: None,
        }
    }
}

impl<S, B> Hedged<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer> {
        loop {
            self.begin_due(context);
            let count = self.running.len();
            if let Some(answer) = self.poll_attempts(context) {
                self.running.clear();
                return Poll::Ready(answer);
            }
            // An answer may have changed when the next one is due.
            if self.running.len() < count {
                continue;
            }
            if count == 0 && matches!(self.next, Next::Never) {
                let last = self.last.take();
                return Poll::Ready(last.unwrap_or_else(|| Ok(exceeded().into_http())));
            }
            return Poll::Pending;
        }
    }

    /// Begins the attempts whose time has come. If there are more, `context` hears of the next one.
    fn begin_due(&mut self, context: &mut Context<'_>) {
        loop {
            if !self.may_begin() {
                self.next = Next::Never;
            }
            let is_due = match &mut self.next {
                Next::Never => false,
                Next::Now => true,
                Next::At(end) => end.as_mut().poll(context).is_ready(),
            };
            if !is_due {
                return;
            }
            if self.begun > 0 && (self.is_throttled() || self.has_expired()) {
                self.next = Next::Never;
                return;
            }
            let attempt = Attempt::new(self.inner.clone(), self.begun);
            self.running.push(Box::pin(attempt));
            self.begun += 1;
            self.next = self.after(self.policy.delay);
        }
    }

    fn may_begin(&self) -> bool {
        self.begun < self.policy.max_attempts && self.call.can_repeat()
    }

    fn is_throttled(&self) -> bool {
        let throttle = self.call.throttle.as_ref();
        throttle.is_some_and(|throttle| !throttle.is_open())
    }

    /// No attempt is begun after the deadline, and if none runs then, the call is over.
    fn has_expired(&mut self) -> bool {
        let has_expired = self.call.has_expired();
        if has_expired && self.running.is_empty() {
            self.last = Some(Ok(exceeded().into_http()));
        }
        has_expired
    }

    /// The next attempt comes after `delay`; or never, which is found out at the deadline.
    fn after(&self, delay: Duration) -> Next {
        let left = self.call.deadline.map(|deadline| deadline.remaining());
        match left.map_or(delay, |left| left.min(delay)) {
            Duration::ZERO => Next::Now,
            delay => Next::At(Box::pin(sleep(delay))),
        }
    }

    /// What the call ends with, if one of its attempts says so.
    fn poll_attempts(&mut self, context: &mut Context<'_>) -> Option<Answer> {
        self.call.watch(context.waker());
        self.running.retain(|attempt| !attempt.is_over());
        let mut place = 0;
        while let Some(attempt) = self.running.get_mut(place) {
            let Poll::Ready(ended) =
                attempt
                    .as_mut()
                    .poll(&mut self.call, self.policy.non_fatal, context)
            else {
                place += 1;
                continue;
            };
            let mut attempt = self.running.remove(place);
            // Its stream was reset from here if the call is committed to another one.
            let Some((answer, meaning)) = ended.filter(|_| !attempt.is_over()) else {
                continue;
            };
            let (code, pushback) = match meaning {
                Meaning::Committed => {
                    attempt.as_mut().commit();
                    return Some(answer);
                }
                Meaning::Ok => {
                    attempt.as_mut().commit();
                    self.call.throttle.iter().for_each(Throttle::succeeded);
                    return Some(answer);
                }
                Meaning::Dropped => return Some(answer),
                Meaning::NeverLeft | Meaning::Refused => (Code::Unavailable, Pushback::None),
                Meaning::Failed(code, pushback) => (code, pushback),
            };
            if !self.goes_on_after(code, pushback) {
                return Some(answer);
            }
            self.last = Some(answer);
        }
        None
    }

    /// Whether the call goes on without an attempt that failed: gRFC A6, "Summary of Retry and
    /// Hedging Logic".
    fn goes_on_after(&mut self, code: Code, pushback: Pushback) -> bool {
        let is_fatal = !self.policy.is_non_fatal(code);
        if !is_fatal || pushback == Pushback::Stop {
            self.call.throttle.iter().for_each(Throttle::failed);
        }
        if is_fatal {
            return false;
        }
        self.next = match (&self.next, pushback) {
            (Next::Never, _) | (_, Pushback::Stop) => Next::Never,
            // Nothing waits for tokens.
            _ if self.is_throttled() => Next::Never,
            (_, Pushback::After(delay)) => self.after(delay),
            (_, Pushback::None) => Next::Now,
        };
        true
    }
}
