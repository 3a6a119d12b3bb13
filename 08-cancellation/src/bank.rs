//! What becomes of a handler's work when its caller hangs up.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use conform::deadline::{ClientDeadline, ClientDeadlineLayer};
use tokio::sync::{Semaphore, mpsc::Sender};
use tokio::task;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tower::Layer;

use crate::ledger::{Ledger, Step, checked};
use crate::proto::branch_client::BranchClient;
use crate::proto::{Balances, Order, Receipt, bank_server};

/// How many transfers may be under way at once, with their callers or without.
pub const MAX_TRANSFERS: usize = 64;

/// The bank. Clones are the same bank.
#[derive(Clone)]
pub struct Bank {
    /// Ann's account.
    pub ledger: Ledger,
    branch: BranchClient<ClientDeadline<Channel>>,
    permits: Arc<Semaphore>,
    log: Sender<String>,
}

#[tonic::async_trait]
impl bank_server::Bank for Bank {
    async fn transfer_naively(&self, request: Request<Order>) -> Result<Response<Receipt>, Status> {
        let order = checked(request.into_inner())?;
        Ok(Response::new(self.carry_out(order).await?))
    }

    async fn transfer(&self, request: Request<Order>) -> Result<Response<Receipt>, Status> {
        let order = checked(request.into_inner())?;
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("too many at once"))?;
        let bank = self.clone();
        // A task of its own. If the caller hangs up, only the handle is dropped: the task goes on.
        let task = task::spawn(async move {
            let _permit = permit;
            bank.carry_out(order).await
        });
        let result = task.await;
        let receipt = result.map_err(|_panic| Status::unknown("the transfer broke off"))??;
        Ok(Response::new(receipt))
    }

    async fn audit(&self, _: Request<()>) -> Result<Response<()>, Status> {
        let token = CancellationToken::new();
        // Dropped with this handler, and then it cancels the token.
        let _guard = token.clone().drop_guard();
        let log = self.log.clone();
        let reading = task::spawn_blocking(move || {
            let end = read_books(&token);
            let _ = log.try_send(format!("bank: audit: {end}"));
        });
        let broke_off = |_panic| Status::internal("the audit broke off");
        reading.await.map(Response::new).map_err(broke_off)
    }

    async fn get_balances(&self, _: Request<()>) -> Result<Response<Balances>, Status> {
        let ann = self.ledger.coins();
        let mut branch = self.branch.clone();
        let ben = branch.get_balance(()).await?.into_inner().coins;
        Ok(Response::new(Balances { ann, ben }))
    }
}

impl Bank {
    pub fn new(branch: Channel, log: Sender<String>) -> Self {
        // So that a branch that says nothing can't hold up transfers for ever.
        let deadlines = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(5));
        Self {
            ledger: Ledger::new(100),
            branch: BranchClient::new(deadlines.layer(branch)),
            permits: Arc::new(Semaphore::new(MAX_TRANSFERS)),
            log,
        }
    }

    /// Debits here and credits there, or finishes what an earlier call with the same order began.
    pub async fn carry_out(&self, order: Order) -> Result<Receipt, Status> {
        let debit = -i64::from(order.coins);
        let step = self.ledger.enter(&order, debit, Step::Open)?;
        let done_before = step == Step::Done;
        if !done_before {
            let reply = self.branch.clone().credit(order.clone()).await;
            // An error doesn't say whether the coins have arrived, whatever its code. So nothing is
            // undone: the order stays open, and is finished when it comes again.
            let reply = reply.map_err(|status| {
                let line = format!("bank: transfer {}: in doubt, {:?}", order.id, status.code());
                let _ = self.log.try_send(line);
                Status::unavailable("the coins may have arrived: send the same order again")
            })?;
            if !reply.into_inner().credited {
                self.ledger.give_back(&order);
                return Err(Status::not_found("nobody of this name has an account"));
            }
            self.ledger.close(&order);
        }
        Ok(Receipt { done_before })
    }
}

/// Reads 400 pages, ten milliseconds each. Stops once `token` is cancelled.
fn read_books(token: &CancellationToken) -> &'static str {
    for _page in 0..400 {
        if token.is_cancelled() {
            return "stopped";
        }
        thread::sleep(Duration::from_millis(10));
    }
    "done"
}
