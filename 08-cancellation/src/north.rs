//! The northern branch: what its handlers do when their callers hang up.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::audit::audit;
use crate::bank::bank_server::Bank;
use crate::bank::branch_client::BranchClient;
use crate::bank::{self, Balance, BalanceSheet, Checksum, Coin, Line, Order, Page, Pages, Receipt};
use crate::desks::Desks;
use crate::journal::{Entry, Journal};
use crate::ledger::Ledger;
use crate::transfer::carry_out;

/// The northern branch.
#[derive(Debug, Clone)]
pub struct North {
    /// Ann's account.
    pub ledger: Ledger,
    /// The other branch.
    pub south: BranchClient<Channel>,
    /// Where work waits for a clerk.
    pub desks: Desks,
    /// Where a line is written about what becomes of the work for each call.
    pub journal: Journal,
}

#[tonic::async_trait]
impl Bank for North {
    async fn transfer_naively(&self, request: Request<Order>) -> Result<Response<Receipt>, Status> {
        let receipt = carry_out(self.clone(), request.into_inner()).await?;
        Ok(Response::new(receipt))
    }

    async fn transfer(&self, request: Request<Order>) -> Result<Response<Receipt>, Status> {
        let order = request.into_inner();
        let mut caller = Entry::new(&self.journal, format!("north: transfer {}", order.id));
        caller.becomes("goes on alone");
        // A task of its own. When this handler is dropped, the handle is too, and the task goes on.
        let task = tokio::spawn(carry_out(self.clone(), order));
        let result = task.await;
        caller.cross_out();
        let receipt = result.map_err(|_panic| Status::internal("the transfer broke off"))??;
        Ok(Response::new(receipt))
    }

    async fn deposit(
        &self,
        request: Request<Streaming<Coin>>,
    ) -> Result<Response<Balance>, Status> {
        let mut coins = request.into_inner();
        let mut entry = Entry::begin(&self.journal, "north: deposit".to_owned());
        let mut sum = 0;
        // An error here: the upload broke off. Nothing has been booked yet, so there is nothing to undo.
        while let Some(Coin { value }) = coins.message().await? {
            if !matches!(value, 1 | 2 | 5 | 10 | 20 | 50) {
                entry.becomes("refused");
                return Err(Status::invalid_argument(format!(
                    "there is no coin of {value}"
                )));
            }
            sum += i64::from(value);
        }
        self.ledger.book(&new_id("deposit"), "Ann", "cash", sum)?;
        entry.becomes("booked");
        let coins = self.ledger.coins();
        Ok(Response::new(Balance { coins }))
    }

    async fn audit(&self, request: Request<Pages>) -> Result<Response<Checksum>, Status> {
        let Pages { count } = request.into_inner();
        let entry = Entry::begin(&self.journal, "north: audit".to_owned());
        let value = audit(count, entry).await?;
        Ok(Response::new(Checksum { value }))
    }

    async fn balances(&self, _: Request<()>) -> Result<Response<BalanceSheet>, Status> {
        let ann = self.ledger.coins();
        let ben = self.south.clone().balance(()).await?.into_inner().coins;
        Ok(Response::new(BalanceSheet { ann, ben }))
    }

    async fn journal(&self, _: Request<()>) -> Result<Response<BoxStream<Line>>, Status> {
        Ok(Response::new(self.journal.follow()))
    }

    async fn set_desks(&self, request: Request<bank::Desks>) -> Result<Response<()>, Status> {
        self.desks.set(request.into_inner().open);
        Ok(Response::new(()))
    }

    async fn statement(
        &self,
        request: Request<Pages>,
    ) -> Result<Response<BoxStream<Page>>, Status> {
        let Pages { count } = request.into_inner();
        let entry = Entry::begin(&self.journal, "north: statement".to_owned());
        let (pages, stream) = mpsc::channel(1);
        tokio::spawn(load(count, self.desks.clone(), pages, entry));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn hold(&self, _: Request<Coin>) -> Result<Response<BoxStream<Balance>>, Status> {
        Err(Status::unimplemented("exercise 2"))
    }
}

/// Exercise 1: while it waits for a clerk, this task does not notice that nobody reads any more.
async fn load(count: u64, desks: Desks, pages: Sender<Result<Page, Status>>, mut entry: Entry) {
    for number in 1..=count {
        desks.clerk().await;
        if pages.send(Ok(Page { number })).await.is_err() {
            return;
        }
    }
    entry.becomes("done");
}

/// An id for what comes without one.
fn new_id(work: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    format!("{work} {}", NUMBER.fetch_add(1, Ordering::Relaxed))
}
