//! A calculator for members only: TLS with certificates on both sides, a token for each call, and a
//! table of who may do what.

use std::error::Error;
use std::time::Duration;

use conform::credentials::{
    self, AuthenticationLayer, CallCredentialsLayer, CallCredentialsService, Claims, FetchedToken,
    TokenCache, client_tls, server_tls,
};
use conform::deadline::{ClientDeadline, ClientDeadlineLayer, ServerDeadlineLayer};
use conform::method_policy::{MethodPolicy, MethodPolicyLayer};
use conform::panic::CatchPanicLayer;
use conform::status::ClientStatus;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tower::Layer;

use self::abacus::Abacus;
use self::certs::Certs;
use self::members::Members;
use self::proto::calculator_server::CalculatorServer;

pub mod abacus;
pub mod certs;
pub mod members;
pub mod proto;
pub mod ticket;

#[cfg(test)]
mod tests;

/// Serves the calculator on `listener` to members, for as long as the future is polled. Says on
/// `log` who did what, and who was refused, and why.
pub async fn serve(
    listener: TcpListener,
    certs: &Certs,
    log: mpsc::Sender<String>,
) -> Result<(), Box<dyn Error>> {
    let tls = server_tls(certs.identity("server")?).client_ca_root(certs.ca()?);
    let members = Members::new(certs)?;
    let refused = log.clone();
    conform::server::builder()
        .tls_config(tls)?
        .layer(CatchPanicLayer::new())
        .layer(ServerDeadlineLayer::new())
        .layer(AuthenticationLayer::new(members, move |call| {
            drop(refused.try_send(call.to_string()));
        }))
        .layer(MethodPolicyLayer::new(policy()))
        .add_service(CalculatorServer::new(Abacus { log }))
        .serve_with_incoming(conform::server::incoming(listener))
        .await?;
    Ok(())
}

/// Who may call which method. What isn't here is closed.
pub fn policy() -> MethodPolicy<Claims> {
    let members = |_: &Claims| true;
    let ann = |caller: &Claims| caller.subject() == "ann";
    let closed = [
        "Factorize",
        "Summarize",
        "Sort",
        "Divide",
        "Primes",
        "AddUp",
    ];
    let policy = MethodPolicy::new()
        .allow("/calculator.v1.Calculator/SquareRoot", members)
        .allow("/calculator.v1.Calculator/Maximum", ann);
    closed.iter().fold(policy, |policy, method| {
        policy.allow(format!("/calculator.v1.Calculator/{method}"), |_| false)
    })
}

/// A channel to `url` with the certificate of `name`, or with none if that is empty.
pub fn endpoint(url: String, certs: &Certs, name: &str) -> Result<Endpoint, Box<dyn Error>> {
    let mut tls = client_tls(certs.ca()?);
    if !name.is_empty() {
        tls = tls.identity(certs.identity(name)?);
    }
    Ok(Endpoint::from_shared(url)?.tls_config(tls)?)
}

/// A channel over `endpoint`, each of whose calls carries the token of `name`, and takes five
/// seconds at most. It connects when it's first called.
pub fn connect(endpoint: &Endpoint, certs: &Certs, name: &'static str) -> Connection {
    let certs = certs.clone();
    let token = TokenCache::new(move || {
        // From a file that somebody renews, as Kubernetes does it.
        let token = certs
            .token(name)
            .map_err(|error| Status::unavailable(error.to_string()));
        async { Ok(FetchedToken::new(token?, Duration::from_secs(300))) }
    });
    let channel = ClientStatus::new(credentials::connect_lazy(endpoint));
    let deadline = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(5));
    deadline.layer(CallCredentialsLayer::new(endpoint, token).layer(channel))
}

/// What [`connect`] returns: give it to a stub.
pub type Connection = ClientDeadline<CallCredentialsService<ClientStatus<Channel>>>;
