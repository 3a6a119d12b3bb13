//! An upload that broke off isn't one that is finished.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame};
use tonic::body::Body;
use tonic::codegen::http::{Request, Version};
use tonic::codegen::{Bytes, Service};
use tonic::{Code, Status};
use tower::Layer;

/// Makes a request's stream of messages end with ABORTED if the client resets the call.
///
/// The client never sees this code: for it the call is over. Other errors, that of a lost
/// connection for example, stay as they are.
///
/// For a server behind HTTP/2 connections. A request of another version is passed on as it is,
/// since its end is marked otherwise; and don't put the layer between a stub and a service in one
/// process, where the end isn't marked at all.
///
/// Every body between the connection and this layer must pass on `is_end_stream`: without it each
/// call, a unary one too, ends with ABORTED. Put the layer outside of layers whose bodies don't
/// pass it on, as that of tower-http's `RequestBodyTimeoutLayer`.
#[derive(Debug, Clone, Copy, Default)]
pub struct DetectAbortedUploadLayer {}

impl DetectAbortedUploadLayer {
    /// The layer.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for DetectAbortedUploadLayer {
    type Service = DetectAbortedUpload<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DetectAbortedUpload { inner }
    }
}

/// Services whose handlers can tell a finished upload from one that broke off.
#[derive(Debug, Clone)]
pub struct DetectAbortedUpload<S> {
    inner: S,
}

inner_service!(DetectAbortedUpload<S>);

impl<S> Service<Request<Body>> for DetectAbortedUpload<S>
where
    S: Service<Request<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.version() == Version::HTTP_2 {
            self.inner.call(request.map(watch))
        } else {
            self.inner.call(request)
        }
    }
}

fn watch(body: Body) -> Body {
    Body::new(Upload {
        inner: body,
        is_over: false,
    })
}

struct Upload {
    inner: Body,
    is_over: bool,
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            // RST_STREAM with CANCEL: tonic's decoder takes CANCELLED for the end.
            Some(Err(status)) if status.code() == Code::Cancelled => Some(Err(aborted())),
            // RST_STREAM with NO_ERROR: hyper takes it for the end. A real end has END_STREAM.
            None if !self.inner.is_end_stream() => Some(Err(aborted())),
            frame => frame,
        };
        self.is_over = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }
}

fn aborted() -> Status {
    Status::aborted("the client broke off its upload")
}
