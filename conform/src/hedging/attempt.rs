//! One attempt of a hedged call.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};

use super::HedgingPolicy;
use crate::attempts::{self, Answer, Call, Codes, Meaning};
use crate::replay::Running;

pin_project! {
    pub(super) struct Attempt<S>
    where
        S: Service<Request<Body>>,
    {
        inner: S,
        // How many were begun before.
        previous: u32,
        // Its share in the request's body. Dropped with the attempt, which stops it.
        running: Option<Running>,
        // `None` until the service below has room.
        #[pin]
        response: Option<S::Future>,
    }
}

impl<S> Attempt<S>
where
    S: Service<Request<Body>>,
{
    pub(super) fn new(inner: S, previous: u32) -> Self {
        Self {
            inner,
            previous,
            running: None,
            response: None,
        }
    }

    /// Whether the call is committed to another one.
    pub(super) fn is_over(&self) -> bool {
        self.running.as_ref().is_some_and(Running::is_over)
    }

    pub(super) fn commit(self: Pin<&mut Self>) {
        let running = self.project().running.take();
        running.into_iter().for_each(Running::commit);
    }

    /// Sends it, again if no server has seen it. `None`: it can't be sent any more.
    pub(super) fn poll<B>(
        self: Pin<&mut Self>,
        call: &mut Call<HedgingPolicy>,
        failures: Codes,
        context: &mut Context<'_>,
    ) -> Poll<Option<(Answer, Meaning)>>
    where
        S: Service<Request<Body>, Response = Response<B>>,
        S::Error: Into<StdError>,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        let mut this = self.project();
        loop {
            let answer = match this.response.as_mut().as_pin_mut() {
                Some(response) => ready!(response.poll(context)),
                None => match this.inner.poll_ready(context) {
                    Poll::Pending => {
                        call.has_waited();
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(error)) => Err(error),
                    Poll::Ready(Ok(())) => {
                        let Some((request, running)) = call.attempt(*this.previous) else {
                            return Poll::Ready(None);
                        };
                        let response = this.inner.call(request);
                        *this.running = Some(running);
                        this.response.set(Some(response));
                        continue;
                    }
                },
            };
            let (answer, meaning) = attempts::read(answer, || call.count(failures));
            this.response.set(None);
            if !call.is_made_again(meaning) {
                return Poll::Ready(Some((answer, meaning)));
            }
            *this.running = None;
        }
    }
}
