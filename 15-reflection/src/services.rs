//! The handlers. None of them knows of reflection.

use conform::stream::blocking;
use futures::StreamExt;
use server_streaming::{Step, factors};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};
use unary::square_root;

use crate::proto::calculator::calculator_server::Calculator;
use crate::proto::calculator::{Integer, Number};
use crate::proto::helloworld::greeter_server::Greeter;

pub(crate) struct Abacus;

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let value = square_root(request.into_inner().value)?;
        Ok(Response::new(Number { value }))
    }

    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let steps = factors(request.into_inner().value)?;
        let found = blocking(move |replies| {
            for step in steps {
                match step {
                    Step::Factor(value) => replies.send(Integer { value })?,
                    Step::Searching => replies.check()?,
                }
            }
            Ok(())
        });
        Ok(Response::new(Box::pin(found)))
    }

    async fn maximum(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        let mut largest = f64::NEG_INFINITY;
        let maxima = request.into_inner().map(move |number| {
            let Number { value } = number?;
            if value.is_nan() {
                return Err(Status::invalid_argument("NaN can't be compared"));
            }
            largest = largest.max(value);
            Ok(Number { value: largest })
        });
        Ok(Response::new(Box::pin(maxima)))
    }
}

/// Not ready yet: each of its methods answers UNIMPLEMENTED.
pub(crate) struct Doorman;

impl Greeter for Doorman {}
