//! Greets by name: a gRPC service, and how to serve it.

use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Server};
use tonic::{Request, Response, Status};

use self::proto::greeter_server::{Greeter, GreeterServer};
use self::proto::{GreetReply, GreetRequest};

pub mod proto;

#[cfg(test)]
mod tests;

/// Serves on `listener`, for as long as the future is polled.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener) -> Result<(), transport::Error> {
    Server::builder()
        .add_service(GreeterServer::new(Doorman))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await
}

struct Doorman;

#[tonic::async_trait]
impl Greeter for Doorman {
    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<GreetReply>, Status> {
        let GreetRequest { name } = request.into_inner();
        if name.is_empty() {
            return Err(Status::invalid_argument("a greeting needs a name"));
        }
        let message = format!("Hello, {name}!");
        Ok(Response::new(GreetReply { message }))
    }
}
