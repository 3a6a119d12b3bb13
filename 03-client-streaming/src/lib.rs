//! A summary of readings, taken in as they arrive: client streaming, many requests and one reply.

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Server};
use tonic::{Request, Response, Status, Streaming};
use tower::util::MapRequestLayer;

use self::calculator::calculator_server::{Calculator, CalculatorServer};
use self::calculator::{Number, Summary};
use self::journal::Entry;

pub mod journal;
pub mod summary;
pub mod uploads;

pub mod proto;
pub use self::proto as calculator;

#[cfg(test)]
mod tests;

/// How many bytes of one upload may lie unread.
const UPLOAD_WINDOW: u32 = 64 * 1024;

/// How many bytes may lie unread on one connection.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Serves the calculator on `listener`, for as long as the future is polled.
///
/// Writes a line to `journal` for each upload that was summarized or broke off, none for one that was
/// refused.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    journal: UnboundedSender<String>,
) -> Result<(), transport::Error> {
    // tonic sets TCP_NODELAY by itself only where it binds the address itself.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        // After a stall many small frames come at once. The HTTP/2 library cuts the connection when too
        // many lie unread; how many it bears grows with the connection's window.
        .initial_stream_window_size(UPLOAD_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        // Without this layer a cancelled upload looks finished.
        .layer(MapRequestLayer::new(uploads::watch))
        .add_service(CalculatorServer::new(Abacus { journal }))
        .serve_with_incoming(incoming)
        .await
}

struct Abacus {
    journal: UnboundedSender<String>,
}

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn summarize(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<Summary>, Status> {
        let entry = Entry::open(self.journal.clone());
        let mut readings = request.into_inner();
        let mut summary = Summary::default();
        // An error here: the upload broke off, or holds what cannot be read.
        while let Some(Number { value }) = readings.message().await? {
            if let Err(status) = summary.add(value) {
                entry.refused();
                return Err(status);
            }
        }
        if let Err(status) = summary.finish() {
            entry.refused();
            return Err(status);
        }
        entry.finished(format!("summarized {} readings", summary.count));
        Ok(Response::new(summary))
    }

    async fn add_up(&self, _: Request<Streaming<Number>>) -> Result<Response<Number>, Status> {
        Err(Status::unimplemented("exercise 1"))
    }
}
