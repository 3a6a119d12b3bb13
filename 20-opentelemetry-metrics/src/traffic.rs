//! Two seconds of traffic: twelve calls, of which some fail, each in its own way.

use std::time::Duration;

use conform::trace_context::TraceContext;
use tokio::time::interval;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::proto::calculator_client::CalculatorClient;
use crate::proto::{Integer, Number};

/// The example of W3C's specification, so that you find it again in the servers' logs. A client of
/// your own begins a new one, with `TraceContext::new`.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Two primes above a million: 1.1 seconds of work.
const HARD: u64 = 1_000_003 * 1_000_033;

type Stub = CalculatorClient<Channel>;

/// Makes the calls. How they end is left to the dashboard to say.
///
/// # Errors
///
/// If the first one fails.
pub async fn make(channel: Channel) -> Result<(), Status> {
    let stub = CalculatorClient::new(channel.clone());
    let mut traced = within(5_000, Integer { value: 360 });
    if let Some(trace) = TraceContext::parse(TRACE) {
        trace.pass_on(&mut traced);
    }
    factorize(stub.clone(), traced).await?;
    let hard = Integer { value: HARD };
    // Dropped, with nothing read: that cancels it.
    drop(stub.clone().factorize(within(5_000, hard)).await);
    let long = factorize(stub.clone(), within(5_000, hard));
    let late = factorize(stub.clone(), within(800, hard));
    let _ = tokio::join!(long, late, quick(stub, channel));
    Ok(())
}

/// A request with a deadline. The server keeps it: here is no layer that does.
fn within<T>(milliseconds: u64, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_millis(milliseconds));
    request
}

async fn factorize(mut stub: Stub, number: Request<Integer>) -> Result<(), Status> {
    let mut factors = stub.factorize(number).await?.into_inner();
    while factors.message().await?.is_some() {}
    Ok(())
}

/// Eight calls, one after another, in less than two seconds.
async fn quick(mut stub: Stub, channel: Channel) {
    let mut beat = interval(Duration::from_millis(220));
    for made_up in ["/made.up.Service/One", "/made.up.Service/Two"] {
        for value in [16.0, 9.0, -1.0] {
            beat.tick().await;
            let _ = stub.square_root(within(5_000, Number { value })).await;
        }
        beat.tick().await;
        let mut grpc = Grpc::new(channel.clone());
        let (path, codec) = (PathAndQuery::from_static(made_up), ProstCodec::default());
        if grpc.ready().await.is_ok() {
            let number = within(5_000, Number { value: 0.0 });
            let _: Result<Response<Number>, _> = grpc.unary(number, path, codec).await;
        }
    }
    beat.tick().await;
}
