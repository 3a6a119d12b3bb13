//! One call, attempt after attempt.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tonic::{Code, Status};

use super::RetryPolicy;
use crate::attempts::{self, Answer, Call, Codes, Meaning, Pushback, Settings};
use crate::deadline::exceeded;
use crate::replay::Running;

pin_project! {
    /// The response of [`Retry`](super::Retry).
    pub struct RetryFuture<S>
    where
        S: Service<Request<Body>>,
    {
        inner: S,
        #[pin]
        state: State<S::Future>,
        call: Attempts,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        // Until the service below has room.
        Preparing,
        Sent { #[pin] response: F, running: Option<Running> },
        Pausing { #[pin] end: Sleep, next: Option<Failure> },
        // What was there is dropped: that is what cancels an attempt.
        Over,
    }
}

/// The deadline comes before the next attempt. This was the last one.
struct Failure(Code);

struct Attempts {
    call: Call<RetryPolicy>,
    settings: Arc<Settings<RetryPolicy>>,
    /// How many were made; those that no server has seen don't count.
    made: u32,
    /// How many pauses there were since the last pushback.
    pauses: u32,
}

/// What comes after an answer.
enum Next {
    Done(Answer),
    Attempt,
    Pause(Duration, Code),
}

impl<S> RetryFuture<S>
where
    S: Service<Request<Body>>,
{
    pub(super) fn new(
        inner: S,
        request: Request<Body>,
        settings: Arc<Settings<RetryPolicy>>,
    ) -> Self {
        Self {
            inner,
            state: State::Preparing,
            call: Attempts {
                call: Call::new(request, &settings),
                settings,
                made: 0,
                pauses: 0,
            },
        }
    }
}

impl<S, B> Future for RetryFuture<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, StdError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Preparing => {
                    let Poll::Ready(ready) = this.inner.poll_ready(context) else {
                        this.call.call.has_waited();
                        return Poll::Pending;
                    };
                    match ready.map(|()| this.call.call.attempt(this.call.made)) {
                        Ok(Some((request, running))) => {
                            let response = this.inner.call(request);
                            let running = Some(running);
                            this.state.set(State::Sent { response, running });
                            continue;
                        }
                        Ok(None) => Next::Done(Ok(exhausted().into_http())),
                        Err(error) => Next::Done(Err(error.into())),
                    }
                }
                StateProj::Sent { response, running } => {
                    let answer = ready!(response.poll(context));
                    this.call.next(answer, running.take())
                }
                StateProj::Pausing { end, next } => {
                    ready!(end.poll(context));
                    match next.take() {
                        Some(Failure(code)) => Next::Done(Ok(too_late(code).into_http())),
                        None => Next::Attempt,
                    }
                }
                StateProj::Over => return Poll::Pending,
            };
            match next {
                Next::Attempt if this.call.call.has_expired() => {
                    this.state.set(State::Over);
                    return Poll::Ready(Ok(exceeded().into_http()));
                }
                Next::Attempt => this.state.set(State::Preparing),
                Next::Pause(pause, code) => this.state.set(this.call.pause(pause, code)),
                Next::Done(answer) => {
                    this.state.set(State::Over);
                    return Poll::Ready(answer);
                }
            }
        }
    }
}

impl Attempts {
    /// Takes the answer of the attempt that ran.
    fn next<B, E>(&mut self, answer: Result<Response<B>, E>, running: Option<Running>) -> Next
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
        E: Into<StdError>,
    {
        let (answer, meaning) = attempts::read(answer, || self.call.count(self.codes()));
        if self.call.is_made_again(meaning) {
            return Next::Attempt;
        }
        let (code, pushback) = match meaning {
            Meaning::Committed => {
                running.into_iter().for_each(Running::commit);
                return Next::Done(answer);
            }
            Meaning::Ok => {
                running.into_iter().for_each(Running::commit);
                self.call
                    .throttle
                    .iter()
                    .for_each(|throttle| throttle.succeeded());
                return Next::Done(answer);
            }
            Meaning::Dropped => return Next::Done(answer),
            Meaning::NeverLeft | Meaning::Refused => (Code::Unavailable, Pushback::None),
            Meaning::Failed(code, pushback) => (code, pushback),
        };
        self.made += 1;
        match self.pause_after(code, pushback) {
            Some(pause) => Next::Pause(pause, code),
            None => Next::Done(answer),
        }
    }

    fn codes(&self) -> Codes {
        let policy = self.call.policy.as_ref();
        policy.map(|policy| policy.codes()).unwrap_or_default()
    }

    /// How long to wait after a failure; `None` if it is the last one: gRFC A6, "Summary of Retry
    /// and Hedging Logic".
    fn pause_after(&mut self, code: Code, pushback: Pushback) -> Option<Duration> {
        let is_retryable = self.codes().contains(code);
        // Failures count also where no attempt is left.
        if is_retryable || pushback == Pushback::Stop {
            self.call
                .throttle
                .iter()
                .for_each(|throttle| throttle.failed());
        }
        let policy = self.call.policy.clone().filter(|policy| {
            is_retryable && self.made < policy.max_attempts() && self.call.can_repeat()
        })?;
        if self
            .call
            .throttle
            .as_ref()
            .is_some_and(|throttle| !throttle.is_open())
        {
            return None;
        }
        match pushback {
            Pushback::Stop => None,
            Pushback::After(pause) => {
                self.pauses = 0;
                Some(pause)
            }
            Pushback::None => {
                self.pauses += 1;
                Some(policy.pause(self.pauses - 1, self.settings.jitter()))
            }
        }
    }

    /// Until the next attempt, or until the deadline.
    fn pause<F>(&self, pause: Duration, code: Code) -> State<F> {
        let left = self.call.deadline.map(|deadline| deadline.remaining());
        let left = left.filter(|left| *left <= pause);
        State::Pausing {
            end: sleep(left.unwrap_or(pause)),
            next: left.map(|_| Failure(code)),
        }
    }
}

fn too_late(code: Code) -> Status {
    Status::deadline_exceeded(format!(
        "the deadline has passed before the next attempt; the last one ended with {code:?}"
    ))
}

/// The first attempt always finds its request: this is never seen.
fn exhausted() -> Status {
    Status::internal("the request can't be sent again")
}
