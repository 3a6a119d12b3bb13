//! A calculator that tells what it can do, and a greeter that nobody is told of yet.

use std::error::Error;
use std::time::Duration;

use conform::deadline::ServerDeadlineLayer;
use conform::method_policy::MethodPolicyLayer;
use conform::reflection::only_services;
use interceptors::log::LogLayer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::service::InterceptorLayer;
use tonic_reflection::server::Builder;

use self::proto::calculator::calculator_server::CalculatorServer;
use self::proto::helloworld::greeter_server::GreeterServer;
use self::services::{Abacus, Doorman};

pub mod members;
pub mod proto;
mod services;
pub mod template;

#[cfg(test)]
mod tests;

/// The descriptors of both services, as the build script has written them.
const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("descriptors");

/// Serves both services on `listener`, and reflection, which tells members of the calculator.
/// Says on `log` how each call ended.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    log: mpsc::Sender<String>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let told = only_services(DESCRIPTORS, &["calculator.v1.Calculator"])?;
    let reflection = || Builder::configure().register_encoded_file_descriptor_set(&told);
    conform::server::builder()
        .layer(LogLayer::new(move |line| drop(log.try_send(line))))
        .layer(InterceptorLayer::new(members::identify))
        .layer(ServerDeadlineLayer::new().limit(Duration::from_secs(60)))
        .layer(MethodPolicyLayer::new(members::policy()))
        .add_service(CalculatorServer::new(Abacus))
        .add_service(GreeterServer::new(Doorman))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .serve_with_incoming(conform::server::incoming(listener))
        .await?;
    Ok(())
}
