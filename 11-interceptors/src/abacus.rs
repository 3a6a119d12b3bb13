//! The handlers. None of them logs, measures, or asks who is calling.

use std::time::Duration;

use tokio::time::sleep;
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};
use unary::square_root;

use crate::proto::Number;
use crate::proto::calculator_server::Calculator;

/// The calculator. Square roots take it a while.
#[derive(Clone, Copy, Debug)]
pub struct Abacus;

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let Number { value } = request.into_inner();
        let value = square_root(value)?;
        sleep(Duration::from_millis(1100)).await;
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
