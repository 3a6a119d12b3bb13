//! Files that are sent no faster than they are read: flow control.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use futures::stream::{StreamExt, once};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming, transport};

use self::flow_windows::{CONNECTION_WINDOW, WINDOW};
use self::proto::files_server::{Files, FilesServer};
use self::proto::{Chunk, DownloadRequest, InspectReply, Part};
use self::root_dir::{RootDir, is_file_name};
use self::sending::Sending;

pub mod copy;
pub mod download;
pub mod flow_windows;
pub mod proto;
pub mod root_dir;
mod sending;

#[cfg(test)]
mod tests;

/// How many downloads may be open at once.
const MAX_DOWNLOADS: usize = 64;

/// Serves the files in `root` on `listener`, for as long as the future is polled.
/// Fails if the listener does. Says on `log` when a download waits, and how it ended.
pub async fn serve(
    listener: TcpListener,
    root: RootDir,
    log: mpsc::Sender<String>,
) -> Result<(), transport::Error> {
    let archive = Archive {
        root: Arc::new(root),
        permits: Arc::new(Semaphore::new(MAX_DOWNLOADS)),
        log,
    };
    conform::server::builder()
        // For what the server reads.
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_service(FilesServer::new(archive))
        .serve_with_incoming(conform::server::incoming(listener))
        .await
}

struct Archive {
    root: Arc<RootDir>,
    permits: Arc<Semaphore>,
    log: mpsc::Sender<String>,
}

#[tonic::async_trait]
impl Files for Archive {
    async fn download(
        &self,
        request: Request<DownloadRequest>,
    ) -> Result<Response<BoxStream<Part>>, Status> {
        let name = request.into_inner().name;
        if !is_file_name(&name) {
            return Err(Status::invalid_argument("not a file's name"));
        }
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("too many at once"))?;
        let (file, size) = self.open(&name).await?;
        // Room for one part. When it's taken, the download waits.
        let (parts, stream) = mpsc::channel(1);
        let log = self.log.clone();
        let sending = task::spawn(async move {
            let _permit = permit;
            Sending { name, parts, log }.run(file, size).await
        });
        // How it ended comes after the parts, as in lesson 04. The task doesn't wait for that.
        let end = once(sending).filter_map(async |end| match end {
            Ok(end) => end.err().map(Err),
            Err(_panic) => Some(Err(Status::unknown("the download broke off"))),
        });
        let parts = ReceiverStream::new(stream).map(Ok);
        Ok(Response::new(Box::pin(parts.chain(end))))
    }

    async fn copy(
        &self,
        request: Request<Streaming<Chunk>>,
    ) -> Result<Response<BoxStream<Chunk>>, Status> {
        // The stream of the requests is the stream of the replies.
        Ok(Response::new(Box::pin(request.into_inner())))
    }

    async fn inspect(
        &self,
        _: Request<Streaming<Chunk>>,
    ) -> Result<Response<InspectReply>, Status> {
        Err(Status::unimplemented("exercise 1"))
    }
}

impl Archive {
    async fn open(&self, name: &str) -> Result<(File, u64), Status> {
        let (root, wanted) = (self.root.clone(), name.to_owned());
        // Opening a file blocks its thread.
        let opened = task::spawn_blocking(move || root.open(&wanted)).await;
        let opened = opened.map_err(Into::into).and_then(|opened| opened);
        opened.map_err(|error: io::Error| match error.kind() {
            // One answer for both, so that it doesn't tell which files exist.
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Status::not_found("no such file"),
            _ => {
                let line = format!("{name}: can't be opened: {error}");
                let _ = self.log.try_send(line);
                Status::unavailable("the file can't be opened now")
            }
        })
    }
}
