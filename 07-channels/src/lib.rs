//! Slow square roots, many at once over one connection: what a channel is, seen from both of its ends.

use std::time::Duration;

use futures::{Stream, TryStreamExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Server};
use tonic::{Request, Response, Status};

use self::address::Listener;
use self::calculator::Number;
use self::calculator::calculator_server::{Calculator, CalculatorServer};
use self::desk::Desk;

pub mod address;
pub mod blocking;
pub mod desk;
pub mod observer;
pub mod pool;
pub mod until_closed;

/// Generated from `protos/calculator.proto`.
#[allow(missing_docs)]
pub mod calculator {
    tonic::include_proto!("calculator.v1");
}

#[cfg(test)]
mod tests;

/// Serves the calculator on `listener`, for as long as the future is polled.
///
/// Writes a line to `journal` for each connection, and one whenever no call is left to work on.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(
    listener: Listener,
    journal: UnboundedSender<String>,
) -> Result<(), transport::Error> {
    let server = Server::builder().add_service(abacus(journal.clone()));
    match listener {
        Listener::Tcp(listener) => {
            // tonic sets TCP_NODELAY by itself only where it binds the address itself.
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            server.serve_with_incoming(counted(incoming, journal)).await
        }
        #[cfg(unix)]
        Listener::Unix(listener, _file) => {
            let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
            server.serve_with_incoming(counted(incoming, journal)).await
        }
    }
}

/// Writes to `journal` when a connection comes in: its number, from 1.
pub fn counted<I, C, E>(
    incoming: I,
    journal: UnboundedSender<String>,
) -> impl Stream<Item = Result<C, E>>
where
    I: Stream<Item = Result<C, E>>,
{
    let mut connections = 0;
    incoming.inspect_ok(move |_| {
        connections += 1;
        // An error here means that nobody keeps a journal.
        let _ = journal.send(format!("connection {connections}"));
    })
}

/// A calculator that thinks slowly, ready to be added to a server.
pub fn abacus(journal: UnboundedSender<String>) -> CalculatorServer<Abacus> {
    CalculatorServer::new(Abacus {
        desk: Desk::new(journal),
    })
}

/// A calculator that needs a millisecond for each unit of a number: 400 ms for the square root of 400.
#[derive(Debug)]
pub struct Abacus {
    desk: Desk,
}

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let _call = self.desk.begin();
        let Number { value } = request.into_inner();
        // Fails for what is negative, no number at all, or longer than a clock can count.
        let time = Duration::try_from_secs_f64(value / 1000.0).map_err(|_| {
            Status::invalid_argument(format!("the square root of {value} would never be ready"))
        })?;
        // A sleep of nothing, too, would last until the timer's next tick.
        if !time.is_zero() {
            sleep(time).await;
        }
        Ok(Response::new(Number {
            value: value.sqrt(),
        }))
    }
}
