//! Strangers, over raw TCP, against a server with limits and against tonic alone.

use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::*;

mod accept;
mod connection;
mod first_call;
mod limits;
mod raw;

/// Answers with the caller's address; after as many milliseconds as the name says.
struct Addresses;

#[tonic::async_trait]
impl Greeter for Addresses {
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let address = request.remote_addr();
        let pause = request.into_inner().name.parse().unwrap_or_default();
        sleep(Duration::from_millis(pause)).await;
        let text = address.map(|address| address.to_string());
        Ok(Response::new(Greeting {
            text: text.unwrap_or_default(),
        }))
    }

    /// Waits for names that never come.
    async fn greet_all(&self, _: Request<Streaming<Name>>) -> Result<Response<Greeting>, Status> {
        std::future::pending().await
    }
}

type Stub = GreeterClient<tonic::transport::Channel>;

/// Ends the server when it is dropped.
struct Running {
    address: String,
    server: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Running {
    async fn stub(&self) -> Stub {
        let url = format!("http://{}", self.address);
        soon(Stub::connect(url)).await.unwrap()
    }
}

async fn start(set: impl FnOnce(Incoming) -> Incoming) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let incoming = set(incoming(listener));
    assert_eq!(incoming.local_addr().unwrap().to_string(), address);
    let server = builder().add_service(GreeterServer::new(Addresses));
    let server = tokio::spawn(server.serve_with_incoming(incoming)).abort_handle();
    Running { address, server }
}

async fn start_alone() -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Server::builder().add_service(GreeterServer::new(Addresses));
    let incoming = TcpIncoming::from(listener);
    let server = tokio::spawn(server.serve_with_incoming(incoming)).abort_handle();
    Running { address, server }
}

/// The time is a guard against waiting for ever, not a measure.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), future).await.unwrap()
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
