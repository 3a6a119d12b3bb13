//! A server that measures nothing itself. With another one behind it, it passes on the hard work.

use std::time::Duration;

use conform::deadline::{ClientDeadline, Deadline};
use conform::metrics::ClientMetrics;
use conform::trace_context::TraceContext;
use server_streaming::{Step, factors};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::proto::calculator_client::CalculatorClient;
use crate::proto::calculator_server::Calculator;
use crate::proto::{Integer, Number};

type Stub = CalculatorClient<ClientMetrics<ClientDeadline<Channel>>>;

/// Its name, the server behind it, and its log.
pub(crate) struct Server(pub &'static str, pub Option<Stub>, pub Sender<String>);

#[tonic::async_trait]
impl Calculator for Server {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let value = unary::square_root(request.into_inner().value)?;
        Ok(Response::new(Number { value }))
    }

    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let Self(name, back, log) = self;
        let trace = TraceContext::of(&request);
        if trace.is_sampled() {
            let _ = log.try_send(format!("{name}: Factorize in trace {}", trace.trace_id()));
        }
        let deadline = Deadline::of(&request);
        let number = request.into_inner();
        let Some(mut back) = back.clone() else {
            return Ok(Response::new(work(number.value)?));
        };
        let mut onward = Request::new(number);
        trace.pass_on(&mut onward);
        if let Some(deadline) = deadline {
            deadline.pass_on(&mut onward);
        }
        // The code and the message go to the caller, and no metadata.
        let passed_on = |status: Status| Status::new(status.code(), status.message());
        let factors = back
            .factorize(onward)
            .await
            .map_err(passed_on)?
            .into_inner();
        Ok(Response::new(Box::pin(
            factors.map(move |factor| factor.map_err(passed_on)),
        )))
    }
}

/// Each factor of a number above a million takes 550 milliseconds.
fn work(number: u64) -> Result<BoxStream<Integer>, Status> {
    let factors = factors(number)?.filter_map(|step| match step {
        Step::Factor(value) => Some(Ok(Integer { value })),
        Step::Searching => None,
    });
    let effort = Duration::from_millis(if number > 1_000_000 { 550 } else { 0 });
    let factors = tokio_stream::iter(factors).then(move |factor| async move {
        sleep(effort).await;
        factor
    });
    Ok(Box::pin(factors))
}
