//! A bank whose callers hang up: work that stops with its call, and work that must not.

use std::error::Error;

use conform::server;
use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tonic::transport::Endpoint;

use self::bank::Bank;
use self::branch::Branch;
use self::ledger::Ledger;
use self::proto::bank_server::BankServer;
use self::proto::branch_server::BranchServer;

mod bank;
mod branch;
mod ledger;
pub mod proto;
pub mod resend;

#[cfg(test)]
mod tests;

/// Serves the bank on `listener`, and its branch on a free port, for as long as the future is
/// polled. Says on `log` what became of the work.
///
/// # Errors
///
/// If a listener fails.
pub async fn serve(
    listener: TcpListener,
    log: Sender<String>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let branch_listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", branch_listener.local_addr()?);
    let branch = Branch {
        ledger: Ledger::new(100),
        log: log.clone(),
    };
    let bank = Bank::new(Endpoint::from_shared(url)?.connect_lazy(), log);
    tokio::try_join!(
        server::builder()
            .add_service(BranchServer::new(branch))
            .serve_with_incoming(server::incoming(branch_listener)),
        server::builder()
            .add_service(BankServer::new(bank))
            .serve_with_incoming(server::incoming(listener)),
    )?;
    Ok(())
}
