//! Starts a server and makes calls: what the tests have in common.

use std::time::Duration;

use futures::stream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tower::util::MapResponse;

use super::*;

type Keep = fn(http::Response<Body>) -> http::Response<Body>;
pub type Stub = CalculatorClient<MapResponse<Channel, Keep>>;

/// Serves on a free port; returns a channel to the server, and its journal.
pub async fn start() -> (Channel, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (journal, lines) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, journal));
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    (channel, lines)
}

/// What `future` comes to. Nothing that a test waits for takes ten seconds.
pub async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(10), future).await.unwrap()
}

/// A stub that keeps headers and trailers apart.
pub fn stub(channel: Channel) -> Stub {
    CalculatorClient::new(channel.map_response(apart::keep as Keep))
}

pub fn numbers(values: &[f64]) -> Vec<Number> {
    values.iter().map(|&value| Number { value }).collect()
}

/// Makes one call of `method` and reads the answer to its end. What `dress` returns is sent.
pub async fn ask(
    stub: &mut Stub,
    method: &str,
    values: &[f64],
    dress: fn(Request<()>) -> Request<()>,
) -> Result<Apart, Status> {
    let (metadata, extensions, ()) = dress(Request::new(())).into_parts();
    let values = numbers(values);
    let extensions = match method {
        "SquareRoot" => {
            let request = Request::from_parts(metadata, extensions, values[0]);
            stub.square_root(request).await?.extensions().clone()
        }
        "Factorize" => {
            let value = values[0].value as u64;
            let request = Request::from_parts(metadata, extensions, Integer { value });
            let mut response = stub.factorize(request).await?;
            while response.get_mut().message().await?.is_some() {}
            response.extensions().clone()
        }
        "Summarize" => {
            let request = Request::from_parts(metadata, extensions, stream::iter(values));
            stub.summarize(request).await?.extensions().clone()
        }
        _ => {
            let request = Request::from_parts(metadata, extensions, stream::iter(values));
            let mut response = stub.maximum(request).await?;
            while response.get_mut().message().await?.is_some() {}
            response.extensions().clone()
        }
    };
    Ok(extensions.get::<Apart>().unwrap().clone())
}
