//! A bank whose branch misbehaves on demand.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Mutex;

use tonic::transport::server::Router;

use super::*;

/// What goes wrong with one credit: before it is booked, or after.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    pub kind: Kind,
    pub booked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Fails(Code),
    Panics,
    Hangs,
}

/// A branch that keeps its book, and credits at once. `None` is a credit without a fault.
pub struct Faulty {
    pub ledger: Ledger,
    pub faults: Mutex<VecDeque<Option<Fault>>>,
    /// Gets a line for each credit that has come to its fault.
    pub log: Sender<String>,
}

impl Faulty {
    fn book(&self, order: &Order) -> Result<Response<CreditReply>, Status> {
        let credited = order.to == "Ben";
        if credited {
            self.ledger.enter(order, order.coins.into(), Step::Done)?;
        }
        Ok(Response::new(CreditReply { credited }))
    }
}

#[tonic::async_trait]
impl branch_server::Branch for Faulty {
    async fn credit(&self, request: Request<Order>) -> Result<Response<CreditReply>, Status> {
        let order = request.into_inner();
        let Some(fault) = self.faults.lock().unwrap().pop_front().flatten() else {
            return self.book(&order);
        };
        if fault.booked {
            self.book(&order)?;
        }
        self.log.try_send(format!("faulty: {}", order.id)).unwrap();
        match fault.kind {
            Kind::Fails(code) => Err(Status::new(code, "on demand")),
            Kind::Panics => std::panic::resume_unwind(Box::new("on demand")),
            Kind::Hangs => pending().await,
        }
    }

    async fn get_balance(&self, _: Request<()>) -> Result<Response<Balance>, Status> {
        let coins = self.ledger.coins();
        Ok(Response::new(Balance { coins }))
    }
}

/// A bank with a faulty branch. One log has the lines of both.
pub async fn start_with(faults: impl IntoIterator<Item = Option<Fault>>) -> (Client, Lines) {
    let (url, lines) = serve_with(faults).await;
    (connect(&url), lines)
}

/// As [`start_with`], for other clients.
pub async fn serve_with(faults: impl IntoIterator<Item = Option<Fault>>) -> (String, Lines) {
    let (log, lines) = mpsc::channel(1024);
    let (bank, _) = bank_with(faults, log).await;
    let url = serve_router(server::builder().add_service(BankServer::new(bank))).await;
    (url, lines)
}

/// A bank without a server, and the book of its branch, which has one.
pub async fn bank_with(
    faults: impl IntoIterator<Item = Option<Fault>>,
    log: Sender<String>,
) -> (Bank, Ledger) {
    let ledger = Ledger::new(100);
    let faulty = Faulty {
        ledger: ledger.clone(),
        faults: Mutex::new(faults.into_iter().collect()),
        log: log.clone(),
    };
    let url = serve_router(server::builder().add_service(BranchServer::new(faulty))).await;
    (bank_before(&url, log), ledger)
}

/// A bank whose branch is at `url`.
pub fn bank_before(url: &str, log: Sender<String>) -> Bank {
    let branch = Endpoint::from_shared(url.to_owned()).unwrap();
    Bank::new(branch.connect_lazy(), log)
}

/// Serves on a free port; returns the URL.
pub async fn serve_router(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(router.serve_with_incoming(server::incoming(listener)));
    url
}
