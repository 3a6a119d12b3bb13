//! A calculator that tells how it does: no better than the database that it needs.

use std::convert::Infallible;

use conform::health::{Reporter, ServingStatus};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tonic::transport;

use self::backend::Backend;
use self::database::Database;
use self::proto::calculator_server::{CalculatorServer, SERVICE_NAME};

mod backend;
pub mod client;
pub mod database;
pub mod ill;
pub mod probe;
pub mod proto;

#[cfg(test)]
mod tests;

/// A service that isn't there, but whose health is: that of the process alone.
pub const LIVENESS: &str = "liveness";

/// Serves two backends, each on its own listener, until one of those fails.
pub async fn serve_both(
    alpha: TcpListener,
    beta: TcpListener,
    log: mpsc::Sender<String>,
) -> Result<(), transport::Error> {
    tokio::select! {
        biased; // Alpha says first how it does.
        served = serve("alpha", alpha, log.clone()) => served,
        served = serve("beta", beta, log) => served,
    }
}

/// Serves the backend of this `name` on `listener`, for as long as the future is polled. Says on
/// `log` what it's asked, and how it does.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(
    name: &'static str,
    listener: TcpListener,
    log: mpsc::Sender<String>,
) -> Result<(), transport::Error> {
    let (reporter, health) = conform::health::server();
    let database = Database::start();
    let news = database.watch();
    let backend = Backend {
        name,
        database,
        log: log.clone(),
    };
    let server = conform::server::builder()
        .add_service(health)
        .add_service(CalculatorServer::new(backend))
        .serve_with_incoming(conform::server::incoming(listener));
    tokio::select! {
        served = server => served,
        never = report(name, news, reporter, log) => match never {},
    }
}

/// Says how the server does, at first and whenever the database goes away or comes back.
async fn report(
    name: &'static str,
    mut database: watch::Receiver<bool>,
    reporter: Reporter,
    log: mpsc::Sender<String>,
) -> Infallible {
    reporter.set(LIVENESS, ServingStatus::Serving);
    loop {
        let status = match *database.borrow_and_update() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        let _ = log.try_send(format!("{name}: {}", status.as_str_name()));
        // The service that needs the database, and the server as a whole.
        reporter.set(SERVICE_NAME, status);
        reporter.set("", status);
        if database.changed().await.is_err() {
            // The database's handle is gone, and the server with it.
            std::future::pending().await
        }
    }
}
