//! A greeter and a calculator on one server: unary calls, one request and one reply each.

use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Server};
use tonic::{Request, Response, Status};

use self::calculator::calculator_server::{Calculator, CalculatorServer};
use self::calculator::{Number, Operands};
use self::helloworld::greeter_server::{Greeter, GreeterServer};
use self::helloworld::{HelloReply, HelloRequest};

pub mod proto;
pub use self::proto::{calculator, helloworld};

#[cfg(test)]
mod tests;

/// Serves both services on `listener`, for as long as the future is polled.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener) -> Result<(), transport::Error> {
    // tonic sets TCP_NODELAY by itself only where it binds the address itself.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(GreeterServer::new(Doorman))
        .add_service(CalculatorServer::new(Abacus))
        .serve_with_incoming(incoming)
        .await
}

struct Doorman;

#[tonic::async_trait]
impl Greeter for Doorman {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let HelloRequest { name } = request.into_inner();
        Ok(Response::new(HelloReply {
            message: format!("Hello, {name}!"),
        }))
    }

    async fn say_hello_again(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let HelloRequest { name } = request.into_inner();
        Ok(Response::new(HelloReply {
            message: format!("Hello again, {name}!"),
        }))
    }
}

struct Abacus;

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let Number { value } = request.into_inner();
        let value = square_root(value)?;
        Ok(Response::new(Number { value }))
    }

    async fn divide(&self, _: Request<Operands>) -> Result<Response<Number>, Status> {
        Err(Status::unimplemented("exercise 1"))
    }
}

/// The square root of `value`.
///
/// # Errors
///
/// INVALID_ARGUMENT if no real number is.
pub fn square_root(value: f64) -> Result<f64, Status> {
    // Not `value < 0.0`: that would let NaN through.
    if value >= 0.0 {
        Ok(value.sqrt())
    } else {
        let why = format!("no real number is the square root of {value}");
        Err(Status::invalid_argument(why))
    }
}
