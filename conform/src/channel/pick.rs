//! A call waits for its connection, and goes there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use pin_project_lite::pin_project;
use tokio::sync::watch;
use tokio::time::timeout_at;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Service, StdError};
use tonic::transport::channel::ResponseFuture;
use tonic::{Code, Status};

use super::Published;
use super::end::{Ending, WithEnd};
use super::shared::Shared;
use crate::balance::{Call, Pick, Picked, Waiting};
use crate::connectivity::State;
use crate::deadline::Deadline;
use crate::per_call::PerCall;
use crate::retry::NoRetry;
use crate::status::{self, Corrected, Reach, reach};
use crate::wait_for_ready::WaitForReady;

/// What comes over a connection, with the status that the specification asks for. The layer of `status`
/// would put it into a box, which is for the layer above to do.
pub(super) type Replies = Corrected<WithEnd>;

/// Sends each call to the connection that the picker says.
#[derive(Clone, Debug)]
pub(super) struct Picks {
    shared: Arc<Shared>,
}

impl Picks {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Service<Request<Body>> for Picks {
    type Response = Response<Replies>;
    type Error = StdError;
    type Future = PickFuture;

    /// Always ready: which connection has to be is known once it's picked.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> PickFuture {
        PickFuture {
            state: Step::Picking {
                shared: self.shared.clone(),
                request: Some(request),
                news: None,
            },
        }
    }
}

/// Where one call stands.
enum Answer {
    Go(Placed),
    /// And why it would have failed, if it didn't wait for ready.
    Wait(Option<Status>),
    End(Status),
}

/// A call's connection.
struct Placed {
    channel: tonic::transport::Channel,
    sent: Sent,
}

/// A call on its connection.
struct Sent {
    waiting: Waiting,
    ending: Ending,
}

fn ask(shared: &Shared, published: &Published, request: &Request<Body>) -> Answer {
    let call = Call::new(request.uri().path(), request.headers());
    let pick = catch_unwind(AssertUnwindSafe(|| published.picker.pick(&call)));
    let Ok(pick) = pick else {
        return Answer::End(Status::internal("the picker has panicked"));
    };
    match pick {
        Pick::Use(picked) => go(shared, picked, request),
        Pick::Wait => Answer::Wait(None),
        Pick::Fail(status) if waits_for_ready(request) => Answer::Wait(Some(status)),
        Pick::Fail(status) => Answer::End(status),
        Pick::Drop(mut status) => {
            status.set_source(Arc::new(NoRetry));
            Answer::End(status)
        }
    }
}

fn go(shared: &Shared, picked: Picked, request: &Request<Body>) -> Answer {
    let (subchannel, on_end) = picked.into_parts();
    let Some(connection) = subchannel.lend() else {
        // It was lost since, and a new picker is on its way.
        drop(Ending::of_none(on_end));
        return Answer::Wait(None);
    };
    let deadline = PerCall::deadline(request.extensions());
    let subchannel = subchannel.into_shared();
    Answer::Go(Placed {
        channel: connection.channel,
        sent: Sent {
            ending: Ending::new(on_end, deadline, shared.part(), &subchannel),
            waiting: Waiting::new(connection.number, subchannel, connection.line),
        },
    })
}

fn waits_for_ready(request: &Request<Body>) -> bool {
    let configured = || PerCall::of(request.extensions()).is_some_and(|call| call.waits_for_ready);
    let own = request.extensions().get();
    own.map_or_else(configured, |&WaitForReady(waits)| waits)
}

/// What a call that waits gets: the next picker, or the status that it ends with.
type News = BoxFuture<'static, Result<watch::Receiver<Published>, Status>>;

/// Waits for the next picker. At the call's deadline it's this that answers, since the deadline's layer
/// doesn't know `why` there is no connection.
fn news(
    mut receiver: watch::Receiver<Published>,
    deadline: Option<Deadline>,
    why: Option<Status>,
) -> News {
    Box::pin(async move {
        let changed = receiver.changed();
        let changed = match deadline.filter(|_| why.is_some()) {
            None => changed.await,
            Some(deadline) => match timeout_at(deadline.instant(), changed).await {
                Ok(changed) => changed,
                Err(_) => return Err(late(why)),
            },
        };
        match changed {
            Ok(()) => Ok(receiver),
            Err(_) => Err(Status::unavailable("the channel is gone")),
        }
    })
}

fn late(why: Option<Status>) -> Status {
    let why = why.as_ref().map_or("no connection", Status::message);
    Status::deadline_exceeded(format!(
        "the deadline has passed while the call waited: {why}"
    ))
}

pin_project! {
    /// The response of a call that finds its connection first.
    pub(super) struct PickFuture {
        #[pin]
        state: Step,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step {
        Picking {
            shared: Arc<Shared>,
            request: Option<Request<Body>>,
            // Of the next picker, once there was one that had no connection for the call.
            news: Option<News>,
        },
        Waiting {
            placed: Option<Placed>,
            request: Option<Request<Body>>,
        },
        Called {
            #[pin]
            response: ResponseFuture,
            sent: Option<Sent>,
        },
    }
}

impl Future for PickFuture {
    type Output = Result<Response<Replies>, StdError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_answer(cx).map(status::correct)
    }
}

impl PickFuture {
    fn poll_answer(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<WithEnd>, StdError>> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StepProj::Picking {
                    shared,
                    request,
                    news,
                } => {
                    let placed = match ready!(pick(shared, request, news, cx)) {
                        Ok(placed) => placed,
                        // As a response: an error at the deadline would be replaced by the
                        // deadline's own.
                        Err(status) if status.code() == Code::DeadlineExceeded => {
                            let response = status.into_http::<Body>();
                            return Poll::Ready(Ok(Ending::default().watch(response, None)));
                        }
                        Err(status) => return Poll::Ready(Err(status.into())),
                    };
                    let request = request.take();
                    state.set(Step::Waiting {
                        placed: Some(placed),
                        request,
                    });
                }
                StepProj::Waiting { placed, request } => {
                    let Some(Placed { channel, .. }) = placed else {
                        return Poll::Pending;
                    };
                    if let Err(error) = ready!(channel.poll_ready(cx)) {
                        return Poll::Ready(Err(error.into()));
                    }
                    let (Some(placed), Some(request)) = (placed.take(), request.take()) else {
                        return Poll::Pending;
                    };
                    let Placed { mut channel, sent } = placed;
                    let response = channel.call(request);
                    sent.waiting.give_back(channel);
                    let sent = Some(sent);
                    state.set(Step::Called { response, sent });
                }
                StepProj::Called { response, sent } => {
                    let response = ready!(response.poll(cx));
                    let Some(sent) = sent.take() else {
                        return Poll::Pending;
                    };
                    return Poll::Ready(match response {
                        Ok(response) => {
                            let line = sent.waiting.answered();
                            Ok(sent.ending.watch(response, Some(line)))
                        }
                        Err(error) => Err(sent.failed(error.into())),
                    });
                }
            }
        }
    }
}

impl Sent {
    fn failed(self, error: StdError) -> StdError {
        // Inside of TLS nobody else hears a GOAWAY.
        self.waiting.failed(reach(&*error) == Reach::NeverLeft);
        self.ending.failed();
        error
    }
}

fn pick(
    shared: &Shared,
    request: &Option<Request<Body>>,
    waiting: &mut Option<News>,
    cx: &mut Context<'_>,
) -> Poll<Result<Placed, Status>> {
    let Some(request) = request else {
        return Poll::Pending;
    };
    loop {
        let mut receiver = match waiting {
            None => shared.published(),
            Some(news) => match ready!(news.as_mut().poll(cx)) {
                Ok(receiver) => receiver,
                Err(status) => return Poll::Ready(Err(status)),
            },
        };
        let published = receiver.borrow_and_update().clone();
        if published.state == State::Idle {
            shared.connect();
        }
        match ask(shared, &published, request) {
            Answer::Go(placed) => return Poll::Ready(Ok(placed)),
            Answer::End(status) => return Poll::Ready(Err(status)),
            Answer::Wait(why) => {
                let deadline = PerCall::deadline(request.extensions());
                *waiting = Some(news(receiver, deadline, why));
            }
        }
    }
}
