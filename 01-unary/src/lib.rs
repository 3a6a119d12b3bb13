//! Greets, and takes square roots: unary calls, one request and one reply each.

use tokio::net::TcpListener;
use tonic::transport::{self, Channel};
use tonic::{Request, Response, Status};

use self::proto::calculator::calculator_client::CalculatorClient;
use self::proto::calculator::calculator_server::{Calculator, CalculatorServer};
use self::proto::calculator::{Number, Operands};
use self::proto::helloworld::greeter_server::{Greeter, GreeterServer};
use self::proto::helloworld::{HelloReply, HelloRequest};

pub mod proto;

#[cfg(test)]
mod tests;

/// Serves both services on `listener`, for as long as the future is polled.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener) -> Result<(), transport::Error> {
    conform::server::builder()
        .add_service(GreeterServer::new(Doorman))
        .add_service(CalculatorServer::new(Abacus))
        .serve_with_incoming(conform::server::incoming(listener))
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
        let message = format!("Hello, {name}!");
        Ok(Response::new(HelloReply { message }))
    }

    async fn say_hello_again(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let HelloRequest { name } = request.into_inner();
        let message = format!("Hello again, {name}!");
        Ok(Response::new(HelloReply { message }))
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

    async fn divide(&self, _request: Request<Operands>) -> Result<Response<Number>, Status> {
        Err(Status::unimplemented("exercise 1"))
    }
}

/// The square root of `value`.
///
/// # Errors
///
/// INVALID_ARGUMENT if there is no real one.
pub fn square_root(value: f64) -> Result<f64, Status> {
    // Not `value < 0.0`: that would let NaN through.
    if value >= 0.0 {
        Ok(value.sqrt())
    } else {
        let why = format!("no real number is the square root of {value}");
        Err(Status::invalid_argument(why))
    }
}

/// Asks the server for the square root of each value; `None` stands for a value that has none.
///
/// # Errors
///
/// Whatever the server answers, except INVALID_ARGUMENT.
pub async fn square_roots(
    _calculator: &mut CalculatorClient<Channel>,
    _values: &[f64],
) -> Result<Vec<Option<f64>>, Status> {
    Err(Status::unimplemented("exercise 2"))
}
