//! The server that callers know. It is slow to begin, and passes the hard work on.

use std::time::Duration;

use conform::deadline::{ClientDeadline, Deadline};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::proto::calculator_client::CalculatorClient;
use crate::proto::calculator_server::Calculator;
use crate::proto::{Integer, Number};
use crate::words::time_left;

/// How long this server thinks before it does anything.
pub(crate) const THINKING: Duration = Duration::from_millis(500);

pub(crate) struct Front {
    pub(crate) back: CalculatorClient<ClientDeadline<Channel>>,
    pub(crate) log: Sender<String>,
}

#[tonic::async_trait]
impl Calculator for Front {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let _ = self.log.try_send("front: square root begun".to_owned());
        // When the deadline passes, the handler is dropped here, and the rest never runs.
        sleep(THINKING).await;
        let value = unary::square_root(request.into_inner().value)?;
        let _ = self.log.try_send("front: square root done".to_owned());
        Ok(Response::new(Number { value }))
    }

    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let deadline = Deadline::of(&request);
        if deadline.is_some_and(|deadline| deadline.remaining() <= THINKING) {
            return Err(Status::deadline_exceeded(
                "too little time is left to begin",
            ));
        }
        let at_first = time_left(deadline);
        sleep(THINKING).await;

        let mut onward = Request::new(request.into_inner());
        if let Some(deadline) = deadline {
            deadline.pass_on(&mut onward);
        }
        let line = format!("front: {at_first} at first, {} left", time_left(deadline));
        let _ = self.log.try_send(line);
        let factors = self.back.clone().factorize(onward).await;
        let factors = factors.map_err(passed_on)?.into_inner();
        let factors = factors.map(|factor| factor.map_err(passed_on));
        Ok(Response::new(Box::pin(factors)))
    }
}

/// What a caller learns of the back server's error: what happened, but not the metadata beside it.
fn passed_on(status: Status) -> Status {
    Status::new(status.code(), status.message())
}
