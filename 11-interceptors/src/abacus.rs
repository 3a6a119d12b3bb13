//! The handlers. None of them logs, measures, or asks who is calling.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::sleep;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::calculator::calculator_server::Calculator;
use crate::calculator::{Number, Operands};

/// How long a square root takes.
pub const ROOT: Duration = Duration::from_secs(1);

/// The calculator.
#[derive(Debug, Clone, Copy)]
pub struct Abacus;

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let Number { value } = request.into_inner();
        if value.is_nan() || value < 0.0 {
            return Err(Status::invalid_argument(format!(
                "no real number is the square root of {value}"
            )));
        }
        sleep(ROOT).await;
        let value = value.sqrt();
        Ok(Response::new(Number { value }))
    }

    /// Divides whole numbers, and has a bug: it panics where the right one is zero.
    async fn divide(&self, request: Request<Operands>) -> Result<Response<Number>, Status> {
        let Operands { left, right } = request.into_inner();
        let quotient = left as i64 / right as i64;
        let value = quotient as f64;
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
