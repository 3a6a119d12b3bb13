//! A page of text over HTTP/1.1, for whoever collects numbers.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use futures::StreamExt;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How many connections [`serve_text`] serves at once: 16. The next one waits.
pub const MAX_SCRAPES: usize = 16;

/// How long one of them may take, from its beginning to the last byte of the answer: 5 seconds,
/// half of Prometheus's own default, so that a scrape that had to wait for others is still in time.
pub const SCRAPE_LIMIT: Duration = Duration::from_secs(5);

/// How large a request may be: 16 KiB. A larger one is answered with the HTTP status 431.
pub const MAX_SCRAPE_REQUEST: usize = 16 * 1024;

/// Answers `GET /metrics` on `listener` with `text`, Prometheus's format, for as long as the future
/// is polled; also while calls that are measured have used up their own server.
///
/// Each connection has one request, and [`SCRAPE_LIMIT`] of time. What asks slowly, reads slowly,
/// or says nothing is cut off then. Bodies of requests aren't read. An error of `text` is the
/// answer 500, with the error's text: it goes to whoever may read the numbers.
///
/// There is no TLS here and nobody is asked who they are: give it a listener on loopback, or on a
/// network that only your collectors reach.
pub async fn serve_text<E: ToString>(
    listener: TcpListener,
    text: impl Fn() -> Result<String, E> + Clone + Send + Sync + 'static,
) {
    let incoming = crate::server::incoming(listener).max_connections(MAX_SCRAPES);
    let mut connections = incoming.first_request_timeout(SCRAPE_LIMIT);
    // They end with this future.
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            connection = connections.next() => {
                let Some(Ok(connection)) = connection else { continue };
                let text = text.clone();
                serving.spawn(async move {
                    let respond = |request| ready(Ok::<_, Infallible>(answer(&text, &request)));
                    let connection = http1::Builder::new()
                        .keep_alive(false)
                        .max_buf_size(MAX_SCRAPE_REQUEST)
                        .serve_connection(TokioIo::new(connection), service_fn(respond));
                    let _ = timeout(SCRAPE_LIMIT, connection).await;
                });
            }
            Some(_) = serving.join_next() => {}
        }
    }
}

fn answer<B, E: ToString>(
    text: impl Fn() -> Result<String, E>,
    request: &Request<B>,
) -> Response<Full<Bytes>> {
    let (status, text) = match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET) => match text() {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        ("/metrics", _) => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        _ => (
            StatusCode::NOT_FOUND,
            "the numbers are at /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

/// Prometheus, *Exposition formats*, "Text-based format".
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
