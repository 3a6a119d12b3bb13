//! The front server: passes each call on to one of its backends, in turn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conform::channelz::CountCalls;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::call_id;
use crate::log::causes;
use crate::proto::Number;
use crate::proto::calculator_client::CalculatorClient;
use crate::proto::calculator_server::Calculator;

type Backend = CountCalls<CountCalls<Channel>>;

/// How long it waits for a backend.
const PATIENCE: Duration = Duration::from_secs(1);

/// A calculator that lets its backends do the work.
pub struct Front {
    backends: Vec<(&'static str, CalculatorClient<Backend>)>,
    next: AtomicUsize,
}

impl Front {
    pub fn new(backends: Vec<(&'static str, Backend)>) -> Self {
        let stub = |(name, channel)| (name, CalculatorClient::new(channel));
        Self {
            backends: backends.into_iter().map(stub).collect(),
            next: AtomicUsize::new(0),
        }
    }
}

#[tonic::async_trait]
impl Calculator for Front {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.backends.len();
        let (name, mut backend) = self.backends[turn].clone();
        let mut passed_on = Request::new(*request.get_ref());
        call_id::pass_on(&request, &mut passed_on);
        let call = timeout(PATIENCE, backend.square_root(passed_on)).await;
        let late = |_| Err(Status::deadline_exceeded("no answer in time"));
        call.unwrap_or_else(late).map_err(|status| {
            tracing::warn!("{name} failed: {}", causes(&status));
            // Which backend it was is nobody's business but ours.
            Status::new(status.code(), "a backend failed")
        })
    }
}
