//! The server that factors numbers, for as long as its caller's deadline lets it.

use server_streaming::factors::{Search, Step};
use server_streaming::produce::{Replies, produce};
use tokio::sync::mpsc::UnboundedSender;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::calculator::Integer;
use crate::calculator::calculator_server::Calculator;
use crate::deadline::{Deadline, at_most};

/// The back server.
#[derive(Debug)]
pub struct Back {
    /// Where a line is written about how each search begins and ends.
    pub journal: UnboundedSender<String>,
}

#[tonic::async_trait]
impl Calculator for Back {
    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let deadline = Deadline::of(&request);
        let Integer { value } = request.into_inner();
        let journal = self.journal.clone();
        let _ = journal.send(format!("back: {} to factor {value}", at_most(deadline)));
        // When the deadline passes this stream is dropped, and with it the receiver of the replies.
        let factors = produce(move |replies| {
            let result = send_factors(value, replies);
            let ending = if result.is_ok() { "OK" } else { "stopped" };
            let _ = journal.send(format!("back: {value}: {ending}"));
            result
        });
        Ok(Response::new(Box::pin(factors)))
    }
}

fn send_factors(number: u64, replies: &Replies<Integer>) -> Result<(), Status> {
    let mut search = Search::new(number);
    loop {
        match search.step() {
            Step::Found(value) => replies.send(Integer { value })?,
            Step::Searching => replies.still_wanted()?,
            Step::Done => return Ok(()),
        }
    }
}
