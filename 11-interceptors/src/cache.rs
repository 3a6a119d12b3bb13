//! Gives an answer a second time without asking a second time: a layer that does not always call on.

use http_body_util::Full;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, BoxFuture, Bytes, Context, Poll, Service, StdError};
use tower::{Layer, ServiceExt};

use crate::answers::{Answer, Answers, whole};
use crate::ending::code_in;
use crate::method;

/// Keeps the answers of some methods, on a server or on a channel. Clones share what they keep.
#[derive(Clone)]
pub struct CacheLayer {
    methods: &'static [&'static str],
    answers: Answers,
}

impl CacheLayer {
    /// Keeps the answers of `methods` that end with OK. They must not depend on metadata, time, or who asks.
    pub fn new(methods: &'static [&'static str]) -> Self {
        let answers = Answers::default();
        Self { methods, answers }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cached<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let cache = self.clone();
        Cached { inner, cache }
    }
}

/// A service with the [`CacheLayer`] on it.
#[derive(Clone)]
pub struct Cached<S> {
    inner: S,
    cache: CacheLayer,
}

impl<S, B> Service<Request<Body>> for Cached<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Response<Body>, S::Error>;

    /// Always ready: whether the inner service is needed is known only when the question has been read.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let CacheLayer { methods, answers } = self.cache.clone();
        let inner = self.inner.clone();
        let ask = async |request| Ok(inner.oneshot(request).await?.map(Body::new));
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            if !methods.contains(&method(&path)) {
                return ask(request).await;
            }
            let (head, body) = request.into_parts();
            let message = match whole(body).await {
                Ok((message, _)) => message,
                Err(body) => return ask(Request::from_parts(head, body)).await,
            };
            let question = (path, message.clone());
            if let Some(answer) = answers.find(&question) {
                return Ok(answer.into());
            }
            let body = Body::new(Full::new(message));
            let response = ask(Request::from_parts(head, body)).await?;
            // An error without messages has its status here.
            if code_in(response.headers()).is_some() {
                return Ok(response);
            }
            let (head, body) = response.into_parts();
            let (messages, trailers) = match whole(body).await {
                Ok(whole) => whole,
                Err(body) => return Ok(Response::from_parts(head, body)),
            };
            let code = trailers.as_ref().and_then(code_in);
            let answer = Answer {
                headers: head.headers,
                messages,
                trailers,
            };
            if code == Some(Code::Ok) {
                answers.keep(question, answer.clone());
            }
            Ok(answer.into())
        })
    }
}
