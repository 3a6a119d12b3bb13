//! The branch: the second half of a transfer. It takes a second, and can be cancelled meanwhile.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::sleep;
use tonic::{Request, Response, Status};

use crate::ledger::{Ledger, Step, checked};
use crate::proto::{Balance, CreditReply, Order, branch_server};

pub struct Branch {
    /// Ben's account.
    pub ledger: Ledger,
    pub log: Sender<String>,
}

#[tonic::async_trait]
impl branch_server::Branch for Branch {
    async fn credit(&self, request: Request<Order>) -> Result<Response<CreditReply>, Status> {
        let order = checked(request.into_inner())?;
        let credit = format!("branch: credit {}", order.id);
        let stopped = LogOnDrop::new(format!("{credit}: stopped"), &self.log);
        // A clerk counts the coins.
        sleep(Duration::from_secs(1)).await;
        stopped.disarm();
        let credited = order.to == "Ben";
        // A refusal needs no place in the book: whoever has no account never gets one here.
        if credited {
            self.ledger.enter(&order, order.coins.into(), Step::Done)?;
        }
        let end = if credited { "done" } else { "refused" };
        let _ = self.log.try_send(format!("{credit}: {end}"));
        Ok(Response::new(CreditReply { credited }))
    }

    async fn get_balance(&self, _: Request<()>) -> Result<Response<Balance>, Status> {
        let coins = self.ledger.coins();
        Ok(Response::new(Balance { coins }))
    }
}

/// Writes its line when it is dropped, unless [`Self::disarm`] is called before.
struct LogOnDrop(Option<String>, Sender<String>);

impl LogOnDrop {
    fn new(line: String, log: &Sender<String>) -> Self {
        Self(Some(line), log.clone())
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for LogOnDrop {
    fn drop(&mut self) {
        if let Some(line) = self.0.take() {
            // Fails if the log is full or closed. Work must not wait for a terminal.
            let _ = self.1.try_send(line);
        }
    }
}
