//! A client ends by its limit of time, though the server never stops sending.

use std::error::Error;
use std::iter;
use std::process::ExitCode;
use std::sync::{OnceLock, mpsc};
use std::thread;

use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

static URL: OnceLock<String> = OnceLock::new();

/// The clients' foot itself, with seconds a hundred times shorter and the test's server.
mod shipped {
    use std::process::ExitCode;

    use tokio::time::timeout;

    use super::{Duration, env, run};

    include!("../../feet/client.rs");

    pub fn start() -> ExitCode {
        main()
    }
}

mod env {
    pub fn args() -> impl Iterator<Item = String> {
        ["client".into(), super::URL.get().unwrap().clone()].into_iter()
    }
}

struct Duration;

impl Duration {
    fn from_secs(seconds: u64) -> std::time::Duration {
        std::time::Duration::from_millis(seconds * 10)
    }
}

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let mut greeter = GreeterClient::connect(url).await?;
    let replies = greeter.greet_often(Name::default()).await?;
    let mut replies = replies.into_inner();
    while replies.message().await?.is_some() {}
    Err("the server stopped sending".into())
}

struct Flood;

#[tonic::async_trait]
impl Greeter for Flood {
    async fn greet_often(&self, _: Request<Name>) -> Result<Response<BoxStream<Greeting>>, Status> {
        let replies = tokio_stream::iter(iter::repeat(Ok(Greeting::default())));
        Ok(Response::new(Box::pin(replies)))
    }
}

#[test]
fn a_client_ends_though_the_server_never_stops_sending() {
    // A runtime of its own, as another process has.
    let (tell, listening) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            conform::server::builder()
                .add_service(GreeterServer::new(Flood))
                .serve_with_incoming(conform::server::incoming(listener))
                .await
                .unwrap();
        });
    });
    let url = format!("http://{}", listening.recv().unwrap());
    URL.set(url).unwrap();
    let (tell, ended) = mpsc::channel();
    thread::spawn(move || tell.send(shipped::start()));
    // Far longer than its limit, which is 300 ms here.
    let end = ended.recv_timeout(std::time::Duration::from_secs(20));
    assert_eq!(end, Ok(ExitCode::FAILURE));
}
