//! A server that is replaced under load, in three ways: one of them loses nothing.

use std::pin::pin;
use std::time::Duration;

use conform::shutdown::{Draining, Ended, Shutdown, Signal, Signals};
use futures::{Stream, StreamExt, future, stream};
use server_streaming::proto::calculator_server::{Calculator, CalculatorServer};
use server_streaming::proto::{Integer, Number};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::sleep;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, transport};

use self::proto::restart_server::{Restart, RestartServer};
use self::proto::{ReplaceRequest, Way};

pub mod load;
pub mod proto;
#[cfg(unix)]
pub mod supervisor;

#[cfg(test)]
mod tests;

/// Serves on `listener` until `signals` has an item, then drains. Writes its steps to `log`.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    log: Sender<String>,
    signals: impl Stream,
) -> Result<Ended, transport::Error> {
    let (reporter, health) = conform::health::server();
    let (at_goaway, abacus) = (reporter.clone(), Abacus(log.clone()));
    let say = |line: &'static str| {
        let log = log.clone();
        move || drop(log.try_send(line.into()))
    };
    let (say_not_serving, say_goaway) = (say("NOT_SERVING"), say("GOAWAY"));
    let shutdown = Shutdown::new()
        .on_not_serving(move || {
            say_not_serving();
            reporter.shutdown();
        })
        .notice(Duration::from_millis(200))
        .on_goaway(move || {
            say_goaway();
            at_goaway.close();
        })
        .limit(Duration::from_secs(5));
    let server = conform::server::builder()
        .layer(shutdown.layer())
        .add_service(health)
        .add_service(CalculatorServer::new(abacus.clone()))
        .add_service(RestartServer::new(abacus))
        .serve_with_incoming_shutdown(
            shutdown.incoming(conform::server::incoming(listener)),
            shutdown.goaway(),
        );
    shutdown.serve(server, signals).await
}

/// [`serve`] until `sigterm` has an item, with its lines on standard output.
pub async fn work(listener: TcpListener) -> Result<(), tower::BoxError> {
    let (log, mut lines) = mpsc::channel::<String>(64);
    let mut served = pin!(serve(listener, log, sigterm()?));
    println!("ready");
    let ended = loop {
        tokio::select! {
            Some(line) = lines.recv() => println!("{line}"),
            ended = &mut served => break ended?,
        }
    };
    while let Ok(line) = lines.try_recv() {
        println!("{line}");
    }
    println!("{ended:?}");
    Ok(())
}

/// SIGTERM; Ctrl-C on Windows too. SIGINT is for `server.rs`: of two listeners either may be first.
fn sigterm() -> std::io::Result<impl Stream> {
    let is_meant = |it: &Signal| future::ready(*it == Signal::Terminate || cfg!(windows));
    Ok(Signals::new()?.filter(is_meant))
}

#[derive(Clone)]
struct Abacus(Sender<String>);

/// Where `Primes` ends: each number costs more than the one before.
const LAST: u64 = 1_000_000;

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        // Time in which the server may be stopped.
        sleep(Duration::from_millis(20)).await;
        let value = unary::square_root(request.into_inner().value)?;
        Ok(Response::new(Number { value }))
    }

    async fn primes(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let draining = Draining::of(&request);
        let primes = (request.into_inner().value..=LAST).filter(|&number| is_prime(number));
        let primes = stream::iter(primes).then(|value| async move {
            sleep(Duration::from_millis(5)).await;
            Ok(Integer { value })
        });
        Ok(Response::new(Box::pin(draining.end(primes))))
    }
}

#[tonic::async_trait]
impl Restart for Abacus {
    async fn replace(&self, request: Request<ReplaceRequest>) -> Result<Response<()>, Status> {
        let caller = request.remote_addr();
        if caller.is_none_or(|it| !it.ip().is_loopback()) {
            return Err(Status::permission_denied("only from the same machine"));
        }
        let way = request.into_inner().way();
        if way == Way::Unspecified {
            return Err(Status::invalid_argument("in which way?"));
        }
        let _ = self.0.try_send(way.as_str_name().into());
        Ok(Response::new(()))
    }
}

/// Whether nothing but 1 and itself divides `number`.
pub fn is_prime(number: u64) -> bool {
    number > 1 && (2..=number.isqrt()).all(|it| !number.is_multiple_of(it))
}
