//! A bank whose callers hang up: work that stops with its call, and work that must not.

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tower::util::MapRequestLayer;

use self::bank::bank_server::BankServer;
use self::bank::branch_client::BranchClient;
use self::bank::branch_server::BranchServer;
use self::desks::Desks;
use self::journal::Journal;
use self::ledger::Ledger;
use self::north::North;
use self::south::South;

pub mod audit;
pub mod desks;
pub mod follow;
pub mod hang_up;
pub mod journal;
pub mod ledger;
pub mod north;
pub mod south;
pub mod transfer;

/// Generated from `protos/bank.proto`.
#[allow(missing_docs)]
pub mod bank {
    tonic::include_proto!("bank.v1");
}

#[cfg(test)]
mod tests;

/// Serves the northern branch on `listener` and the southern branch on a free port of this machine, for as
/// long as the future is polled.
///
/// Ann and Ben begin with 100 coins each. Both branches write to `journal` what becomes of the work for
/// each call. A transfer that has begun goes on without this future, as it does without its caller.
///
/// # Errors
///
/// If a listener fails, or there is no free port.
pub async fn serve(
    listener: TcpListener,
    journal: UnboundedSender<String>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let journal = Journal::new(journal);
    let desks = Desks::default();
    let south_listener = TcpListener::bind("127.0.0.1:0").await?;
    let channel = Channel::from_shared(format!("http://{}", south_listener.local_addr()?))?;
    let south_server = Server::builder()
        .add_service(BranchServer::new(South {
            ledger: Ledger::of("Ben", 100),
            desks: desks.clone(),
            journal: journal.clone(),
        }))
        .serve_with_incoming(incoming(south_listener));
    let north = North {
        ledger: Ledger::of("Ann", 100),
        // Lazy: the connection is made at the first call, by when the southern branch is being served.
        south: BranchClient::new(channel.connect_lazy()),
        desks,
        journal,
    };
    let north_server = Server::builder()
        // Without this layer of lesson 03 a cancelled upload looks finished.
        .layer(MapRequestLayer::new(client_streaming::uploads::watch))
        .add_service(BankServer::new(north))
        .serve_with_incoming(incoming(listener));
    tokio::try_join!(south_server, north_server)?;
    Ok(())
}

fn incoming(listener: TcpListener) -> TcpIncoming {
    // tonic sets TCP_NODELAY by itself only where it binds the address itself.
    TcpIncoming::from(listener).with_nodelay(Some(true))
}
