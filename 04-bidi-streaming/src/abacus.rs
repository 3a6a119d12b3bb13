//! Two methods, two orders of play: an answer to each number, or all numbers first and then all answers.

use futures::stream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::calculator::Number;
use crate::calculator::calculator_server::Calculator;

/// How many numbers `Sort` keeps at most: all of them, until the last one has come.
pub const MOST_TO_SORT: usize = 100_000;

/// The calculator.
#[derive(Debug)]
pub struct Abacus;

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn maximum(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        let start = (request.into_inner(), f64::NEG_INFINITY);
        let answers = stream::try_unfold(start, |(mut numbers, largest)| async move {
            // Nothing can exceed it: the last answer has been given, whatever else the client sends.
            if largest == f64::INFINITY {
                return Ok(None);
            }
            let Some(number) = numbers.message().await? else {
                return Ok(None);
            };
            let largest = comparable(number)?.max(largest);
            Ok(Some((Number { value: largest }, (numbers, largest))))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn sort(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        let mut numbers = request.into_inner();
        let mut values = Vec::new();
        while let Some(number) = numbers.message().await? {
            if values.len() == MOST_TO_SORT {
                return Err(Status::resource_exhausted(format!(
                    "more than {MOST_TO_SORT} numbers to sort"
                )));
            }
            values.push(comparable(number)?);
        }
        values.sort_by(f64::total_cmp);
        let answers = values.into_iter().map(|value| Ok(Number { value }));
        Ok(Response::new(Box::pin(stream::iter(answers))))
    }

    async fn differences(
        &self,
        _: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        Err(Status::unimplemented("exercise 1"))
    }
}

/// The value of a number that is larger or smaller than others, or equal to them.
fn comparable(number: Number) -> Result<f64, Status> {
    if number.value.is_nan() {
        return Err(Status::invalid_argument("NaN cannot be compared"));
    }
    Ok(number.value)
}
