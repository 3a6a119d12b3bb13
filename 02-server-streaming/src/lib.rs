//! Prime factors, one by one as they are found: server streaming, one request and many replies.

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Server};
use tonic::{Request, Response, Status};

use self::calculator::Integer;
use self::calculator::calculator_server::{Calculator, CalculatorServer};
use self::factors::{Search, Step as OldStep};
use self::produce::{Replies, produce};

pub mod factors;
pub mod produce;
mod search;

pub use self::search::{Step, factors};

pub mod proto;
pub use self::proto as calculator;

#[cfg(test)]
mod tests;

/// Serves the calculator on `listener`, for as long as the future is polled.
///
/// Writes a line to `journal` whenever the work for a call ends.
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
        .add_service(CalculatorServer::new(Abacus { journal }))
        .serve_with_incoming(incoming)
        .await
}

struct Abacus {
    journal: UnboundedSender<String>,
}

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let Integer { value } = request.into_inner();
        if value == 0 {
            return Err(Status::invalid_argument(
                "every number divides 0: it has no prime factors",
            ));
        }
        let journal = self.journal.clone();
        let factors = produce(move |replies| {
            let result = send_factors(value, replies);
            // An error here means that nobody keeps a journal.
            let _ = journal.send(match &result {
                Ok(()) => format!("factored {value}"),
                Err(status) => format!("stopped factoring {value}: {}", status.message()),
            });
            result
        });
        Ok(Response::new(Box::pin(factors)))
    }

    async fn primes(&self, _: Request<Integer>) -> Result<Response<BoxStream<Integer>>, Status> {
        Err(Status::unimplemented("exercise 1"))
    }
}

fn send_factors(number: u64, replies: &Replies<Integer>) -> Result<(), Status> {
    let mut search = Search::new(number);
    loop {
        match search.step() {
            OldStep::Found(value) => replies.send(Integer { value })?,
            OldStep::Searching => replies.still_wanted()?,
            OldStep::Done => return Ok(()),
        }
    }
}
