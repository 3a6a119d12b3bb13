//! A report that shrinks on its way, and an answer that must not: compression, chosen for each direction.

use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::codec::CompressionEncoding::{self, Deflate, Gzip};
use tonic::codegen::{BoxStream, http};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Server};
use tonic::{Request, Response, Status};
use tower::util::MapRequestLayer;

use self::reports::reports_server::{Reports, ReportsServer};
use self::reports::{Day, Findings, Receipt, Report, Station, Words};

pub mod eavesdropper;
pub mod scale;
pub mod year;

/// Generated from `protos/reports.proto`.
#[allow(missing_docs)]
pub mod reports {
    tonic::include_proto!("reports.v1");
}

#[cfg(test)]
mod tests;

/// In what this office writes replies. zstd takes a C compiler, so it comes only with the feature `zstd`.
pub const ENCODINGS: &[CompressionEncoding] = &[
    Gzip,
    Deflate,
    #[cfg(feature = "zstd")]
    CompressionEncoding::Zstd,
];

/// What the reader of these answers must keep to himself.
const PASS: &str = "pass=481516";

/// Serves the office on `listener`, for as long as the future is polled.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener) -> Result<(), transport::Error> {
    // Requests may come in gzip, or as they are.
    let mut office = ReportsServer::new(Office).accept_compressed(Gzip);
    // Replies go in the first encoding that the client names, if it is one of these.
    for &encoding in ENCODINGS {
        office = office.send_compressed(encoding);
    }
    // tonic sets TCP_NODELAY by itself only where it binds the address itself.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .layer(MapRequestLayer::new(days_go_plain))
        .add_service(office)
        .serve_with_incoming(incoming)
        .await
}

/// Lets a client that asks for days look like one that accepts no encoding.
///
/// tonic compresses every message of a stream or none, and a handler has no say in it.
fn days_go_plain(mut request: http::Request<Body>) -> http::Request<Body> {
    if request.uri().path() == "/reports.v1.Reports/Days" {
        request.headers_mut().remove("grpc-accept-encoding");
    }
    request
}

struct Office;

#[tonic::async_trait]
impl Reports for Office {
    async fn fetch(&self, request: Request<Station>) -> Result<Response<Report>, Status> {
        let Station { name } = request.into_inner();
        Ok(reply(year::of(&name)))
    }

    async fn file(&self, request: Request<Report>) -> Result<Response<Receipt>, Status> {
        let Report { days, .. } = request.into_inner();
        let days = u32::try_from(days.len())
            .map_err(|_| Status::invalid_argument("a report of more days than can be counted"))?;
        Ok(reply(Receipt { days }))
    }

    async fn days(&self, request: Request<Station>) -> Result<Response<BoxStream<Day>>, Status> {
        let Station { name } = request.into_inner();
        let days = tokio_stream::iter(year::of(&name).days).map(Ok);
        Ok(Response::new(Box::pin(days)))
    }

    async fn look_up(&self, request: Request<Words>) -> Result<Response<Findings>, Status> {
        Ok(Response::new(findings(request.into_inner())))
    }

    async fn look_up_in_private(
        &self,
        request: Request<Words>,
    ) -> Result<Response<Findings>, Status> {
        let mut response = Response::new(findings(request.into_inner()));
        response.disable_compression();
        Ok(response)
    }

    async fn look_up_apart(&self, _: Request<Words>) -> Result<Response<Findings>, Status> {
        Err(Status::unimplemented("exercise 2"))
    }
}

fn reply<T: Message>(message: T) -> Response<T> {
    Response::new(message)
}

fn findings(words: Words) -> Findings {
    Findings {
        text: words.text,
        reports: 12,
        pass: PASS.to_owned(),
    }
}
