//! A calculator that notes who asks, and says at the end of each call what it cost.

use std::time::Duration;

use conform::deadline::ServerDeadlineLayer;
use conform::metadata::TrailersLayer;
use conform::stream::blocking;
use server_streaming::{Step, factors};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming, transport};

use self::bill::Bill;
use self::proto::calculator_server::{Calculator, CalculatorServer};
use self::proto::{Integer, Number, Summary};

mod bill;
pub mod caller;
pub mod proto;
pub mod spending;

#[cfg(test)]
mod tests;

/// Serves the calculator on `listener`, for as long as the future is polled. Says on `log` who asks
/// for what.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener, log: Sender<String>) -> Result<(), transport::Error> {
    conform::server::builder()
        // A reader that stalls would keep its thread for ever (lesson 02).
        .layer(ServerDeadlineLayer::new().limit(Duration::from_secs(60)))
        .layer(TrailersLayer::new())
        .add_service(CalculatorServer::new(Abacus { log }))
        .serve_with_incoming(conform::server::incoming(listener))
        .await
}

struct Abacus {
    log: Sender<String>,
}

impl Abacus {
    /// Notes who asks, and opens the bill.
    fn open<T>(&self, method: &str, request: &Request<T>) -> Bill {
        let caller = caller::describe(request.metadata());
        let _ = self.log.try_send(format!("{caller} asked for {method}"));
        Bill::open(request)
    }
}

/// A reply, or a stream of them, with a header that says who answers.
fn served<T>(reply: T) -> Response<T> {
    let mut response = Response::new(reply);
    let abacus = MetadataValue::from_static("abacus");
    response.metadata_mut().insert("served-by", abacus);
    response
}

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let mut bill = self.open("SquareRoot", &request);
        bill.charge();
        let value = unary::square_root(request.into_inner().value)?;
        Ok(served(Number { value }))
    }

    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let mut bill = self.open("Factorize", &request);
        let steps = factors(request.into_inner().value)?;
        let replies = blocking(move |replies| {
            for step in steps {
                match step {
                    Step::Factor(value) => {
                        bill.charge();
                        replies.send(Integer { value })?;
                    }
                    Step::Searching => replies.check()?,
                }
            }
            Ok(())
        });
        Ok(served(Box::pin(replies)))
    }

    async fn summarize(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<Summary>, Status> {
        let mut bill = self.open("Summarize", &request);
        let mut readings = request.into_inner();
        let mut summary = client_streaming::proto::Summary::default();
        while let Some(Number { value }) = readings.message().await? {
            summary.add(value)?;
            bill.charge();
        }
        let summary = summary.finish()?;
        Ok(served(Summary {
            count: summary.count,
            mean: summary.mean,
            minimum: summary.minimum,
            maximum: summary.maximum,
        }))
    }

    async fn maximum(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        let mut bill = self.open("Maximum", &request);
        let mut largest = f64::NEG_INFINITY;
        let maxima = request.into_inner().map(move |number| {
            let Number { value } = number?;
            if value.is_nan() {
                return Err(Status::invalid_argument("NaN can't be compared"));
            }
            bill.charge();
            largest = largest.max(value);
            Ok(Number { value: largest })
        });
        Ok(served(Box::pin(maxima)))
    }
}
