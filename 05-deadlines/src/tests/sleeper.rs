//! A calculator that takes as long as it is told to, to see what deadlines do to it.

use std::pin::Pin;

use futures::stream;
use tonic::Response;
use tonic::codegen::BoxStream;

use super::*;
use crate::calculator::Summary;
use crate::calculator::calculator_server::Calculator;
use crate::timeout::GRPC_TIMEOUT;

/// Writes `began …`, and `done` or `stopped`.
#[derive(Debug, Clone)]
pub struct Sleeper(pub UnboundedSender<String>);

/// Sleeps through every call. Dropped before its end, it says so.
struct Nap(UnboundedSender<String>, &'static str);

impl Drop for Nap {
    fn drop(&mut self) {
        let _ = self.0.send(self.1.to_owned());
    }
}

impl Sleeper {
    fn begin<T>(&self, request: &Request<T>) -> Nap {
        let _ = self.0.send(match request.metadata().get(GRPC_TIMEOUT) {
            Some(timeout) => format!("began with grpc-timeout {}", timeout.to_str().unwrap()),
            None => "began without grpc-timeout".to_owned(),
        });
        Nap(self.0.clone(), "stopped")
    }
}

#[tonic::async_trait]
impl Calculator for Sleeper {
    /// Sleeps for as many milliseconds as it is asked for.
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let mut nap = self.begin(&request);
        let value = request.into_inner().value;
        tokio::time::sleep(Duration::from_secs_f64(value / 1000.0)).await;
        nap.1 = "done";
        Ok(Response::new(Number { value }))
    }

    /// Sends numbers without end, sleeping before each for as many milliseconds as it is asked for.
    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let nap = self.begin(&request);
        let pause = Duration::from_millis(request.into_inner().value);
        let replies = stream::unfold((nap, 0), move |(nap, value)| async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            Some((Ok(Integer { value }), (nap, value + 1)))
        });
        Ok(Response::new(Box::pin(replies) as Pin<Box<_>>))
    }

    /// Waits for the end of the upload.
    async fn summarize(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<Summary>, Status> {
        let mut nap = self.begin(&request);
        let mut readings = request.into_inner();
        while readings.message().await?.is_some() {}
        // tonic lets a cancelled upload look like a finished one at first, as lesson 03 tells.
        tokio::task::yield_now().await;
        nap.1 = "done";
        Ok(Response::new(Summary::default()))
    }
}

/// Serves a sleeper with this lesson's layer.
pub async fn serve_sleeper(layer: ServerDeadlineLayer) -> (Endpoint, UnboundedReceiver<String>) {
    let (listener, endpoint, sleeper, lines) = prepare().await;
    let server = Server::builder()
        .layer(layer)
        .add_service(CalculatorServer::new(sleeper));
    tokio::spawn(server.serve_with_incoming(incoming(listener)));
    (endpoint, lines)
}

/// Serves a sleeper with tonic alone.
pub async fn serve_alone() -> (Endpoint, UnboundedReceiver<String>) {
    let (listener, endpoint, sleeper, lines) = prepare().await;
    let server = Server::builder().add_service(CalculatorServer::new(sleeper));
    tokio::spawn(server.serve_with_incoming(incoming(listener)));
    (endpoint, lines)
}

async fn prepare() -> (TcpListener, Endpoint, Sleeper, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap()));
    let (journal, lines) = mpsc::unbounded_channel();
    (listener, endpoint.unwrap(), Sleeper(journal), lines)
}
