//! Takes in readings one by one and answers with their summary: client streaming.

use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, Sender};
use tonic::transport::{self, Channel};
use tonic::{Request, Response, Status, Streaming};

use self::proto::calculator_client::CalculatorClient;
use self::proto::calculator_server::{Calculator, CalculatorServer};
use self::proto::{Number, Summary};

pub mod proto;
mod summary;

#[cfg(test)]
mod tests;

/// Serves the calculator on `listener`, for as long as the future is polled. Writes to `log` each
/// upload that it has summarized.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener, log: Sender<String>) -> Result<(), transport::Error> {
    conform::server::builder()
        .add_service(CalculatorServer::new(Abacus { log }))
        .serve_with_incoming(conform::server::incoming(listener))
        .await
}

struct Abacus {
    log: Sender<String>,
}

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn summarize(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<Summary>, Status> {
        let mut readings = request.into_inner();
        let mut summary = Summary::default();
        while let Some(Number { value }) = readings.message().await? {
            // A reading that is refused ends the call, whatever is still to come.
            summary.add(value)?;
        }
        let summary = summary.finish()?;
        let line = format!("readings summarized: {}", summary.count);
        let _ = self.log.try_send(line);
        Ok(Response::new(summary))
    }

    async fn add_up(
        &self,
        _request: Request<Streaming<Number>>,
    ) -> Result<Response<Number>, Status> {
        Err(Status::unimplemented("exercise 1"))
    }
}

/// Uploads the readings in calls of `size` readings each, the last one perhaps smaller, and returns
/// the summary of each call.
///
/// # Errors
///
/// The status of the first call that fails. None is begun after it.
pub async fn summarize_in_batches(
    _calculator: &mut CalculatorClient<Channel>,
    _readings: Receiver<f64>,
    _size: usize,
) -> Result<Vec<Summary>, Status> {
    Err(Status::unimplemented("exercise 2"))
}
