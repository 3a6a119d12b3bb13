//! A call waits for its connection, and goes there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use pin_project_lite::pin_project;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Service, StdError};
use tonic::transport::channel::ResponseFuture;

use super::Published;
use super::end::{Ending, WithEnd};
use super::shared::Shared;
use crate::balance::{Call, Pick, Picked};
use crate::connectivity::State;
use crate::retry::NoRetry;
use crate::wait_for_ready::WaitForReady;

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
    type Response = Response<WithEnd>;
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
    Go(tonic::transport::Channel, Ending),
    Wait,
    End(Status),
}

fn ask(published: &Published, request: &Request<Body>) -> Answer {
    let call = Call::new(request.uri().path(), request.headers());
    let pick = catch_unwind(AssertUnwindSafe(|| published.picker.pick(&call)));
    let Ok(pick) = pick else {
        return Answer::End(Status::internal("the picker has panicked"));
    };
    match pick {
        Pick::Use(picked) => go(picked),
        Pick::Wait => Answer::Wait,
        Pick::Fail(_) if waits_for_ready(request) => Answer::Wait,
        Pick::Fail(status) => Answer::End(status),
        Pick::Drop(mut status) => {
            status.set_source(Arc::new(NoRetry));
            Answer::End(status)
        }
    }
}

fn go(picked: Picked) -> Answer {
    let (subchannel, on_end) = picked.into_parts();
    let ending = Ending::new(on_end);
    match subchannel.connection() {
        Some(connection) => Answer::Go(connection.channel, ending),
        // It was lost since, and a new picker is on its way.
        None => Answer::Wait,
    }
}

fn waits_for_ready(request: &Request<Body>) -> bool {
    matches!(request.extensions().get(), Some(WaitForReady(true)))
}

type News = BoxFuture<'static, Option<watch::Receiver<Published>>>;

fn news(mut receiver: watch::Receiver<Published>) -> News {
    Box::pin(async move { receiver.changed().await.is_ok().then_some(receiver) })
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
            channel: tonic::transport::Channel,
            request: Option<Request<Body>>,
            ending: Option<Ending>,
        },
        Called {
            #[pin]
            response: ResponseFuture,
            ending: Option<Ending>,
        },
    }
}

impl Future for PickFuture {
    type Output = Result<Response<WithEnd>, StdError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StepProj::Picking {
                    shared,
                    request,
                    news,
                } => {
                    let (channel, ending) = match ready!(pick(shared, request, news, cx)) {
                        Ok(connection) => connection,
                        Err(status) => return Poll::Ready(Err(status.into())),
                    };
                    let request = request.take();
                    state.set(Step::Waiting {
                        channel,
                        request,
                        ending: Some(ending),
                    });
                }
                StepProj::Waiting {
                    channel,
                    request,
                    ending,
                } => {
                    if let Err(error) = ready!(channel.poll_ready(cx)) {
                        return Poll::Ready(Err(error.into()));
                    }
                    let Some(request) = request.take() else {
                        return Poll::Pending;
                    };
                    let response = channel.call(request);
                    let ending = ending.take();
                    state.set(Step::Called { response, ending });
                }
                StepProj::Called { response, ending } => {
                    let response = ready!(response.poll(cx));
                    let ending = ending.take().unwrap_or_default();
                    return Poll::Ready(match response {
                        Ok(response) => Ok(ending.watch(response)),
                        Err(error) => {
                            ending.failed();
                            Err(error.into())
                        }
                    });
                }
            }
        }
    }
}

fn pick(
    shared: &Shared,
    request: &Option<Request<Body>>,
    waiting: &mut Option<News>,
    cx: &mut Context<'_>,
) -> Poll<Result<(tonic::transport::Channel, Ending), Status>> {
    let Some(request) = request else {
        return Poll::Pending;
    };
    loop {
        let mut receiver = match waiting {
            None => shared.published(),
            Some(news) => match ready!(news.as_mut().poll(cx)) {
                Some(receiver) => receiver,
                None => return Poll::Ready(Err(gone())),
            },
        };
        let published = receiver.borrow_and_update().clone();
        if published.state == State::Idle {
            shared.connect();
        }
        match ask(&published, request) {
            Answer::Go(channel, ending) => return Poll::Ready(Ok((channel, ending))),
            Answer::End(status) => return Poll::Ready(Err(status)),
            Answer::Wait => *waiting = Some(news(receiver)),
        }
    }
}

fn gone() -> Status {
    Status::unavailable("the channel is gone")
}
