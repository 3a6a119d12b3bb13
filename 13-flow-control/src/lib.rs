//! Files that are sent no faster than they are read: flow control.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt;
use server_streaming::produce::produce;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task;
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Server};
use tonic::{Request, Response, Status, Streaming};

use self::files::archive_server::{Archive, ArchiveServer};
use self::files::part::Content;
use self::files::{Chunk, DownloadRequest, HandedOver, Part, Receipt, Ticket};
use self::shelf::Shelf;
use self::tickets::Tickets;
use self::windows::{CONNECTION_WINDOW, WINDOW};

pub mod copy;
pub mod document;
pub mod download;
pub mod film;
pub mod screen;
pub mod shelf;
pub mod tickets;
pub mod windows;

/// Generated from `protos/files.proto`.
#[allow(missing_docs)]
pub mod files {
    tonic::include_proto!("files.v1");
}

#[cfg(test)]
mod tests;

/// How many bytes of a file one message carries.
pub const CHUNK: usize = 64 * 1024;

/// Serves the files of `shelf` on `listener`, for as long as the future is polled.
///
/// Writes a line to `journal` whenever the work for a download ends.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    shelf: Shelf,
    journal: UnboundedSender<String>,
) -> Result<(), transport::Error> {
    let keeper = Keeper {
        shelf: Arc::new(shelf),
        tickets: Tickets::default(),
        journal,
    };
    // tonic sets TCP_NODELAY by itself only where it binds the address itself.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        // For what the server reads.
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_service(ArchiveServer::new(keeper))
        .serve_with_incoming(incoming)
        .await
}

struct Keeper {
    shelf: Arc<Shelf>,
    tickets: Tickets,
    journal: UnboundedSender<String>,
}

#[tonic::async_trait]
impl Archive for Keeper {
    async fn download(
        &self,
        request: Request<DownloadRequest>,
    ) -> Result<Response<BoxStream<Part>>, Status> {
        let DownloadRequest { name, offset } = request.into_inner();
        let (shelf, wanted) = (self.shelf.clone(), name.clone());
        // To open a file blocks, and so does to read it.
        let document = task::spawn_blocking(move || shelf.open(&wanted))
            .await
            .map_err(|_panic| Status::internal("the file was not opened"))??;
        document.check(offset)?;
        let ticket = self.tickets.issue(offset);
        let (count, journal) = (ticket.count(), self.journal.clone());
        let parts = produce(move |replies| {
            let sent = document.send(offset, ticket.number(), replies);
            // An error here means that nobody keeps a journal.
            let _ = journal.send(match &sent {
                Ok(_) => format!("{name} from {offset}: handed over"),
                Err(status) => format!("{name} from {offset}: {}", status.message()),
            });
            replies.send(Content::Checksum(sent?).into())
        });
        // tonic takes a part only when there is room for it.
        let parts = parts.inspect(move |part| {
            if let Ok(Some(Content::Data(data))) = part.as_ref().map(|part| &part.content) {
                count.fetch_add(data.len() as u64, Ordering::SeqCst);
            }
        });
        Ok(Response::new(Box::pin(parts)))
    }

    async fn progress(&self, request: Request<Ticket>) -> Result<Response<HandedOver>, Status> {
        let bytes = self.tickets.look_up(request.into_inner().number)?;
        Ok(Response::new(HandedOver { bytes }))
    }

    async fn copy(
        &self,
        request: Request<Streaming<Chunk>>,
    ) -> Result<Response<BoxStream<Chunk>>, Status> {
        Ok(Response::new(Box::pin(request.into_inner())))
    }

    async fn inspect(&self, _: Request<Streaming<Chunk>>) -> Result<Response<Receipt>, Status> {
        Err(Status::unimplemented("exercise 2"))
    }
}
