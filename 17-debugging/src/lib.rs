//! A front server and three backends, one of them slow, that tell what they are doing.

use std::time::Duration;

use conform::channelz::{Channelz, ServerEntry, SubchannelEntry};
use futures::future::try_join_all;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::TcpListener;
use tonic::codegen::StdError;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceBuilder;

use self::backend::Backend;
use self::front::Front;
use self::proto::calculator_server::{Calculator, CalculatorServer};

mod backend;
pub mod call_id;
mod front;
pub mod log;
pub mod proto;
pub mod tree;

#[cfg(test)]
mod tests;

/// The backends, and how long each of them works on a call.
const BACKENDS: [(&str, Duration); 3] = [
    ("backend-1", Duration::ZERO),
    ("backend-2", Duration::from_secs(5)),
    ("backend-3", Duration::ZERO),
];

/// Serves the front server on `listener`, three backends on free ports of this machine, and on
/// `debug`, which has to be on loopback, what they tell of themselves.
///
/// # Errors
///
/// If a listener fails, or no port is free.
pub async fn serve(listener: TcpListener, debug: TcpListener) -> Result<(), StdError> {
    let channelz = Channelz::new();
    let front = channelz.server("front");
    let top = channelz.channel("backends");
    let (mut servers, mut backends) = (Vec::new(), Vec::new());
    for (name, delay) in BACKENDS {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = channelz.server(name);
        servers.push(serve_one(server, listener, Backend { name, delay }));

        let below = top.subchannel(name);
        let channel = ServiceBuilder::new()
            .layer(top.layer())
            .layer(below.layer())
            .service(connect(&below, url)?);
        backends.push((name, channel));
    }
    let front = serve_one(front, listener, Front::new(backends));
    tokio::try_join!(front, try_join_all(servers), channelz.serve(debug))?;
    Ok(())
}

/// Serves `calculator` on `listener`, and has its calls and its connections counted.
async fn serve_one(
    server: ServerEntry,
    listener: TcpListener,
    calculator: impl Calculator,
) -> Result<(), StdError> {
    let address = listener.local_addr()?;
    let incoming = server.incoming(address, conform::server::incoming(listener));
    conform::server::builder()
        .trace_fn(call_id::span)
        .layer(server.layer())
        .add_service(CalculatorServer::new(calculator))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

/// A channel to `url` whose connections are counted.
fn connect(below: &SubchannelEntry, url: String) -> Result<Channel, StdError> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let endpoint = Endpoint::from_shared(url)?;
    Ok(endpoint.connect_with_connector_lazy(below.connector(connector)))
}
