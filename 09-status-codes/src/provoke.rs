//! Makes gRPC itself end a call, in each of the ways that the table has.

use std::time::Duration;

use tokio_stream::pending;
use tonic::codegen::StdError;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::archive::archive_client::ArchiveClient;
use crate::archive::{Correction, Document, PageNumber, Word};
use crate::broken::{self, Harm};
use crate::reading_room::CARD;
use crate::table::Case;
use crate::{Connection, LIMIT};

/// A request with a reader's card.
pub fn with_card<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert(CARD, MetadataValue::from_static("reader"));
    request
}

/// Makes `case` happen, to a call over what `connect` makes, and returns how the call ended.
///
/// The server is the one at `server`, which must serve the archive, or a broken one.
///
/// # Errors
///
/// If a broken server cannot be started.
pub async fn provoke(
    case: Case,
    server: &Endpoint,
    connect: fn(&Endpoint) -> Connection,
) -> Result<Status, StdError> {
    let mut archive = ArchiveClient::new(connect(server));
    Ok(match case {
        Case::Cancelled => cancel(connect(server)).await,
        Case::DeadlinePasses => {
            let mut order = with_card(document("scrolls"));
            order.set_timeout(Duration::from_millis(200));
            ending(archive.order(order).await)
        }
        Case::NoSuchMethod => no_such_method(connect(server)).await,
        Case::UnknownEncoding => {
            let mut request = with_card(page("codex", 1));
            let encoding = MetadataValue::from_static("brotli");
            request.metadata_mut().insert("grpc-encoding", encoding);
            ending(archive.read_page(request).await)
        }
        Case::HandlerPanics => ending(archive.read_page(with_card(page("codex", 3))).await),
        Case::RequestTooLarge => {
            let correction = correction("codex", 1, &"x".repeat(LIMIT));
            ending(archive.correct(with_card(correction)).await)
        }
        Case::ReplyTooLarge => ending(archive.read_page(with_card(page("map", 1))).await),
        Case::HeadersTooLarge => {
            let mut request = Request::new(page("codex", 1));
            let card = MetadataValue::try_from("x".repeat(20_000))?;
            request.metadata_mut().insert(CARD, card);
            ending(archive.read_page(request).await)
        }
        Case::NobodyListens => read(connect(&broken::nobody().await?)).await,
        Case::ConnectionCut => read(connect(&broken::server(Harm::Cut).await?)).await,
        Case::GoingAway => {
            let server = connect(&broken::server(Harm::GoAway).await?);
            let mut open = ArchiveClient::new(server.clone());
            let _open = open.search(with_card(pending())).await?;
            read(server).await
        }
        Case::WebServer503 => read(connect(&broken::server(Harm::WebPage(503)).await?)).await,
        Case::WebServer200 => read(connect(&broken::server(Harm::WebPage(200)).await?)).await,
    })
}

/// Reads a page over `connection`, and returns how that ended.
pub async fn read(connection: Connection) -> Status {
    let mut archive = ArchiveClient::new(connection);
    ending(archive.read_page(with_card(page("codex", 1))).await)
}

/// A search that is under way, until its caller takes it back.
async fn cancel(connection: Connection) -> Status {
    let mut archive = ArchiveClient::new(connection);
    let mut request = with_card(pending::<Word>());
    let handle = request.cancellation_handle();
    match archive.search(request).await {
        Ok(hits) => {
            handle.cancel();
            let mut hits = hits.into_inner();
            hits.message().await.err().unwrap_or(Status::ok(""))
        }
        Err(status) => status,
    }
}

/// No stub has a method that the proto does not have; what is below the stub can call anything.
async fn no_such_method(connection: Connection) -> Status {
    let mut client = tonic::client::Grpc::new(connection);
    if let Err(error) = client.ready().await {
        return Status::from_error(error);
    }
    let path = PathAndQuery::from_static("/archive.v1.Archive/BurnDown");
    let codec = ProstCodec::<Document, Document>::default();
    ending(
        client
            .unary(with_card(document("codex")), path, codec)
            .await,
    )
}

/// How a call ended: the status, which is OK if there is a reply.
pub fn ending<T>(result: Result<Response<T>, Status>) -> Status {
    result.err().unwrap_or_else(|| Status::new(Code::Ok, ""))
}

/// The message that names a document.
pub fn document(title: &str) -> Document {
    Document {
        title: title.to_owned(),
    }
}

/// The message that names a page.
pub fn page(title: &str, page: u32) -> PageNumber {
    PageNumber {
        title: title.to_owned(),
        page,
    }
}

/// The message that replaces a page's first version.
pub fn correction(title: &str, page: u32, text: &str) -> Correction {
    Correction {
        title: title.to_owned(),
        page,
        version: 0,
        text: text.to_owned(),
    }
}
