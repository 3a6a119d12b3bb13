//! Sends each prime factor of a number as soon as it is found: server streaming.

use std::time::Duration;

use conform::deadline::ServerDeadlineLayer;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, Sender};
use tokio::task;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming, transport};

use self::proto::Integer;
use self::proto::calculator_server::{Calculator, CalculatorServer};

mod factors;
pub mod proto;

pub use self::factors::{Step, factors};

#[cfg(test)]
mod tests;

/// Serves the calculator on `listener`, for as long as the future is polled. Writes to `log` how
/// each search ended.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener, log: Sender<String>) -> Result<(), transport::Error> {
    conform::server::builder()
        // A reader that stalls would keep its thread for ever: see *Harden it*.
        .layer(ServerDeadlineLayer::new().limit(Duration::from_secs(60)))
        .add_service(CalculatorServer::new(Abacus { log }))
        .serve_with_incoming(conform::server::incoming(listener))
        .await
}

struct Abacus {
    log: Sender<String>,
}

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let number = request.into_inner().value;
        let steps = factors(number)?;
        // Room for four replies. When they aren't taken, the search waits.
        let (replies, stream) = mpsc::channel(4);
        let log = self.log.clone();
        // Factoring computes and never awaits, so it gets a thread that may block.
        task::spawn_blocking(move || {
            let end = match send_factors(steps, &replies) {
                Ok(()) => "done",
                Err(Gone) => "the client went away",
            };
            // Not a send that waits: a terminal that doesn't read must not hold up a search.
            let _ = log.try_send(format!("{number}: {end}"));
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn primes(
        &self,
        _request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        Err(Status::unimplemented("exercise 1"))
    }
}

/// The client doesn't want any more replies.
struct Gone;

fn send_factors(
    steps: impl Iterator<Item = Step>,
    replies: &Sender<Result<Integer, Status>>,
) -> Result<(), Gone> {
    for step in steps {
        match step {
            Step::Factor(value) => replies
                .blocking_send(Ok(Integer { value }))
                .map_err(|_| Gone)?,
            Step::Searching if replies.is_closed() => return Err(Gone),
            Step::Searching => {}
        }
    }
    Ok(())
}

/// Waits for the first reply, but not longer than `patience`. `None` stands for no reply: there is
/// none, or it would have come too late.
///
/// # Errors
///
/// The call's status, if that comes first and isn't OK.
pub async fn first_within(
    _replies: Streaming<Integer>,
    _patience: Duration,
) -> Result<Option<Integer>, Status> {
    Err(Status::unimplemented("exercise 2"))
}
