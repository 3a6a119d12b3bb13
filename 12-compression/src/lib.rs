//! Sends reports compressed and secrets plain: each side says what it reads and how it sends.

use std::time::Duration;

use conform::deadline::{ClientDeadline, ClientDeadlineLayer};
use conform::error_details::SanitizeDetails;
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tonic::codec::CompressionEncoding::{Deflate, Gzip};
use tonic::codegen::BoxStream;
use tonic::transport::{self, Channel, Endpoint};
use tonic::{Request, Response, Status};
use tower::Layer;

use self::proto::reports_server::{Reports, ReportsServer};
use self::proto::{Day, Findings, Receipt, Report, Station, Words};

pub mod eavesdropper;
pub mod filing;
pub mod message_sizes;
pub mod proto;
pub mod year;

#[cfg(test)]
mod tests;

/// The reader's secret, which goes into each answer of `LookUp`.
const PASS: &str = "pass=481516";

/// How large a message may be, unpacked. A year of one station has 7,702 bytes.
pub const MESSAGE_LIMIT: usize = 64 * 1024;

/// Serves the office on `listener`, for as long as the future is polled.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener) -> Result<(), transport::Error> {
    let office = ReportsServer::new(Office)
        // What this server can read, beside plain messages.
        .accept_compressed(Gzip)
        // What it can write. It uses the first of the client's encodings that is one of these.
        .send_compressed(Gzip)
        .send_compressed(Deflate)
        // Many small messages may come at once, and each may become as large as this.
        .max_decoding_message_size(MESSAGE_LIMIT);
    conform::server::builder()
        .add_service(office)
        .serve_with_incoming(conform::server::incoming(listener))
        .await
}

/// A channel to `url` whose calls take five seconds at most, and that bears with malformed errors.
///
/// # Errors
///
/// If `url` is invalid, or nobody listens there.
pub async fn connect(url: String) -> Result<Connection, transport::Error> {
    let channel = Endpoint::new(url)?.connect().await?;
    let deadline = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(5));
    Ok(deadline.layer(SanitizeDetails::new(channel)))
}

/// What [`connect`] returns: give it to a stub.
pub type Connection = ClientDeadline<SanitizeDetails<Channel>>;

struct Office;

#[tonic::async_trait]
impl Reports for Office {
    async fn fetch(&self, request: Request<Station>) -> Result<Response<Report>, Status> {
        let Station { name } = request.into_inner();
        Ok(Response::new(year::report(&name)))
    }

    async fn days(&self, request: Request<Station>) -> Result<Response<BoxStream<Day>>, Status> {
        let Station { name } = request.into_inner();
        let days = tokio_stream::iter(year::report(&name).days).map(Ok);
        Ok(Response::new(Box::pin(days)))
    }

    async fn file(&self, request: Request<Report>) -> Result<Response<Receipt>, Status> {
        let Report { days, .. } = request.into_inner();
        let days = u32::try_from(days.len())
            .map_err(|_| Status::invalid_argument("a report has at most 4,294,967,295 days"))?;
        Ok(Response::new(Receipt { days }))
    }

    async fn look_up(&self, request: Request<Words>) -> Result<Response<Findings>, Status> {
        let Words { text, private } = request.into_inner();
        let mut response = Response::new(Findings {
            text,
            reports: 12,
            pass: PASS.to_owned(),
        });
        if private {
            response.disable_compression();
        }
        Ok(response)
    }
}
