//! The server that callers know: it looks in its notebook, then hands the hard work to another server.

use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;
use tonic::codegen::BoxStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::calculator::calculator_client::CalculatorClient;
use crate::calculator::calculator_server::Calculator;
use crate::calculator::{Integer, Number};
use crate::client_layer::ClientDeadlines;
use crate::deadline::{Deadline, at_most};

/// How long it takes to look in the notebook.
pub const LOOK_UP: Duration = Duration::from_millis(500);

/// The front server.
#[derive(Debug)]
pub struct Front {
    /// Where the hard work is done.
    pub back: CalculatorClient<ClientDeadlines<Channel>>,
    /// Where a line is written about what became of each call.
    pub journal: UnboundedSender<String>,
}

#[tonic::async_trait]
impl Calculator for Front {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let entry = Entry {
            journal: &self.journal,
            ending: "stopped",
        };
        sleep(LOOK_UP).await;
        let Number { value } = request.into_inner();
        if value.is_nan() || value < 0.0 {
            return Err(Status::invalid_argument(format!(
                "{value} has no square root"
            )));
        }
        entry.succeed();
        Ok(Response::new(Number {
            value: value.sqrt(),
        }))
    }

    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let deadline = Deadline::of(&request);
        let at_first = at_most(deadline);
        sleep(LOOK_UP).await;
        let mut onward = Request::new(request.into_inner());
        if let Some(deadline) = deadline {
            deadline.pass_on(&mut onward);
        }
        let line = format!("front: {at_first} at first, hands on {}", at_most(deadline));
        let _ = self.journal.send(line);
        let factors = self
            .back
            .clone()
            .factorize(onward)
            .await
            .map_err(passed_on)?;
        Ok(Response::new(Box::pin(
            factors.into_inner().map(|reply| reply.map_err(passed_on)),
        )))
    }
}

/// What a caller may know of another server's error: what happened, not the metadata that came with it.
fn passed_on(status: Status) -> Status {
    Status::new(status.code(), status.message())
}

/// Writes how a square root ended. A handler whose call is over is dropped, and so is what it holds.
struct Entry<'a> {
    journal: &'a UnboundedSender<String>,
    ending: &'static str,
}

impl Entry<'_> {
    fn succeed(mut self) {
        self.ending = "OK";
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let _ = self
            .journal
            .send(format!("front: square root: {}", self.ending));
    }
}
