//! The server behind the front server: it factors numbers for as long as the deadline lets it.

use conform::deadline::Deadline;
use conform::stream::{Replies, blocking};
use server_streaming::{Step, factors};
use tokio::sync::mpsc::Sender;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::proto::Integer;
use crate::proto::calculator_server::Calculator;
use crate::words::time_left;

pub(crate) struct Back {
    pub(crate) log: Sender<String>,
}

#[tonic::async_trait]
impl Calculator for Back {
    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let time_left = time_left(Deadline::of(&request));
        let number = request.into_inner().value;
        let steps = factors(number)?;
        let log = self.log.clone();
        let _ = log.try_send(format!("back: {time_left} to factor {number}"));
        let replies = blocking(move |replies| {
            let sent = send_factors(steps, replies);
            let end = if sent.is_ok() { "done" } else { "stopped" };
            let _ = log.try_send(format!("back: {number} {end}"));
            sent
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

fn send_factors(
    steps: impl Iterator<Item = Step>,
    replies: &Replies<Integer>,
) -> Result<(), Status> {
    for step in steps {
        match step {
            Step::Factor(value) => replies.send(Integer { value })?,
            // An error as soon as the call is over: that is what stops the search.
            Step::Searching => replies.check()?,
        }
    }
    Ok(())
}
