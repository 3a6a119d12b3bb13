//! What the page promises, and the exercises.

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;

use conform::channelz::pb::channelz_client::ChannelzClient;
use conform::deadline::ClientDeadlineLayer;
use tokio::sync::mpsc::{self, Receiver};
use tonic::{Code, Request, Status};
use tower::Layer;
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;
use wire::testing::soon;

use super::*;
use crate::call_id::CALL_ID;
use crate::proto::Number;
use crate::proto::calculator_client::CalculatorClient;
use crate::tree::Client;

mod channelz;
mod exercises;
mod logs;

/// On which no server listens.
const NOBODY: &str = "http://127.0.0.1:1";

/// The lesson's own servers: where they are, and where they tell of themselves.
async fn start() -> (CalculatorClient<Channel>, Client) {
    let [listener, channelz] = [bind().await, bind().await];
    let urls = [url(&listener), url(&channelz)];
    tokio::spawn(serve(listener, channelz));
    let connect = |url| Endpoint::from_shared(url).unwrap().connect_lazy();
    let [calculator, channelz] = urls.map(connect);
    (
        CalculatorClient::new(calculator),
        ChannelzClient::new(channelz),
    )
}

/// A registry that tells of itself.
async fn telling(channelz: &Channelz) -> Client {
    let listener = bind().await;
    let endpoint = Endpoint::from_shared(url(&listener)).unwrap();
    let channelz = channelz.clone();
    tokio::spawn(async move { channelz.serve(listener).await });
    ChannelzClient::new(endpoint.connect_lazy())
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn url(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().unwrap())
}

/// Calls with an id, or without one.
async fn square_root(
    calculator: &mut CalculatorClient<Channel>,
    id: Option<&str>,
    value: f64,
) -> Result<tonic::Response<Number>, Status> {
    let mut request = Request::new(Number { value });
    if let Some(id) = id {
        request.metadata_mut().insert(CALL_ID, id.parse().unwrap());
    }
    soon("an answer", calculator.square_root(request)).await
}

/// Logs what `filter` lets through, on this thread, as long as the guard is kept.
fn log_with(filter: &str) -> (DefaultGuard, Receiver<String>) {
    log_with_room_for(100_000, filter)
}

fn log_with_room_for(count: usize, filter: &str) -> (DefaultGuard, Receiver<String>) {
    // While there's only one subscriber, tracing takes the thread that comes first to a line for
    // all threads, and other tests run on threads without one.
    static SECOND: OnceLock<Dispatch> = OnceLock::new();
    SECOND.get_or_init(|| Dispatch::new(tracing_subscriber::registry()));
    let (log, lines) = mpsc::channel(count);
    let filter = EnvFilter::new(filter);
    let subscriber = log::subscriber(filter, log);
    (tracing::subscriber::set_default(subscriber), lines)
}

/// The lines so far.
fn read(lines: &mut Receiver<String>) -> Vec<String> {
    std::iter::from_fn(|| lines.try_recv().ok()).collect()
}
