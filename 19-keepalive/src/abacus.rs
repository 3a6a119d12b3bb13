//! The handlers. They know nothing of connections.

use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};
use unary::square_root;

use crate::proto::Number;
use crate::proto::calculator_server::Calculator;

/// The calculator: square roots, and the largest number so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abacus;

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let Number { value } = request.into_inner();
        let value = square_root(value)?;
        Ok(Response::new(Number { value }))
    }

    async fn maximum(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        let mut largest = f64::NEG_INFINITY;
        let maxima = request.into_inner().map(move |number| {
            let Number { value } = number?;
            if value.is_nan() {
                return Err(Status::invalid_argument("NaN cannot be compared"));
            }
            largest = largest.max(value);
            Ok(Number { value: largest })
        });
        Ok(Response::new(Box::pin(maxima)))
    }
}
