//! The southern branch: the second half of a transfer.

use tonic::{Request, Response, Status};

use crate::bank::branch_server::Branch;
use crate::bank::{Balance, Order, Receipt};
use crate::desks::Desks;
use crate::journal::{Entry, Journal};
use crate::ledger::{Booked, Ledger};

/// The southern branch.
#[derive(Debug)]
pub struct South {
    /// Ben's account.
    pub ledger: Ledger,
    /// Where a credit waits for a clerk.
    pub desks: Desks,
    /// Where a line is written about what becomes of each credit.
    pub journal: Journal,
}

#[tonic::async_trait]
impl Branch for South {
    async fn credit(&self, request: Request<Order>) -> Result<Response<Receipt>, Status> {
        let Order { id, to, coins } = request.into_inner();
        let mut entry = Entry::begin(&self.journal, format!("south: credit {id}"));
        self.desks.clerk().await;
        entry.becomes("refused");
        let booked = self.ledger.book(&id, &to, "Ann", i64::from(coins))?;
        let again = booked == Booked::Before;
        entry.becomes(if again { "booked before" } else { "booked" });
        Ok(Response::new(Receipt { again }))
    }

    async fn balance(&self, _: Request<()>) -> Result<Response<Balance>, Status> {
        let coins = self.ledger.coins();
        Ok(Response::new(Balance { coins }))
    }
}
