//! Who asked, and what it cost: metadata in both directions, before and after the messages of a call.

use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tonic::codegen::BoxStream;
use tonic::metadata::MetadataMap;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Server};
use tonic::{Request, Response, Status, Streaming};
use tower::layer::layer_fn;

use self::arithmetic::{factors_of, square_root_of, value_of};
use self::calculator::calculator_server::{Calculator, CalculatorServer};
use self::calculator::{Integer, Number, Summary};
use self::desk::{Bill, answer};
use self::trailers::WithTrailers;

pub mod apart;
pub mod arithmetic;
pub mod binary;
pub mod caller;
pub mod desk;
pub mod guard;
pub mod limit;
pub mod trailers;

/// Generated from `protos/calculator.proto`.
#[allow(missing_docs)]
pub mod calculator {
    tonic::include_proto!("calculator.v1");
}

#[cfg(test)]
mod tests;

/// Serves the calculator on `listener`, for as long as the future is polled.
///
/// Writes to `journal` who asks for what.
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
        .layer(layer_fn(WithTrailers))
        .add_service(CalculatorServer::new(Abacus { journal }))
        .serve_with_incoming(incoming)
        .await
}

struct Abacus {
    journal: UnboundedSender<String>,
}

impl Abacus {
    /// Notes who asks; returns the headers of the answer, and the bill, which becomes a trailer.
    fn open<T>(&self, method: &str, request: &Request<T>) -> Result<(MetadataMap, Bill), Status> {
        // An error here means that nobody keeps a journal.
        let _ = self.journal.send(desk::entry(method, request));
        Ok((desk::headers_for(request)?, Bill::open(request)))
    }
}

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let (headers, mut bill) = self.open("SquareRoot", &request)?;
        bill.charge();
        let root = square_root_of(request.into_inner())?;
        Ok(answer(headers, root))
    }

    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let (headers, mut bill) = self.open("Factorize", &request)?;
        let factors = factors_of(request.into_inner(), move || bill.charge())?;
        Ok(answer(headers, Box::pin(factors)))
    }

    async fn summarize(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<Summary>, Status> {
        let (headers, mut bill) = self.open("Summarize", &request)?;
        let mut numbers = request.into_inner();
        let mut summary = Summary::default();
        while let Some(number) = numbers.message().await? {
            summary.add(value_of(number)?);
            bill.charge();
        }
        Ok(answer(headers, summary))
    }

    async fn maximum(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        let (headers, mut bill) = self.open("Maximum", &request)?;
        let mut largest = f64::NEG_INFINITY;
        let maxima = request.into_inner().map(move |number| {
            let value = value_of(number?)?;
            bill.charge();
            largest = largest.max(value);
            Ok(Number { value: largest })
        });
        Ok(answer(headers, Box::pin(maxima)))
    }
}
