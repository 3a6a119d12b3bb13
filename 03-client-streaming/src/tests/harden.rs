//! *Harden it*: uploads that are aborted or held up, with tonic alone and with a cure.

use std::net::SocketAddr;

use conform::cancel::DetectAbortedUploadLayer;
use conform::server::{Incoming, builder, incoming};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::*;

/// How a handler ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Summarized,
    Failed(Code),
    /// At an `.await`: it was dropped there.
    Dropped,
}

#[tokio::test]
async fn tonic_alone_summarizes_uploads_that_were_cancelled() {
    let (address, mut ends) = start_watched(|service, incoming| {
        builder().add_service(service).serve_with_incoming(incoming)
    })
    .await;
    let tap = Tap::start(address).await.unwrap();
    let ends = cancel_uploads(&tap, &mut ends).await;
    // Not always all of them: sometimes the handler is dropped before it reads the end.
    assert!(ends.contains(&End::Summarized), "{ends:?}");
}

#[tokio::test]
async fn with_the_layer_no_upload_that_was_cancelled_is_summarized() {
    let (address, mut ends) = start_watched(|service, incoming| {
        builder()
            .layer(DetectAbortedUploadLayer::new())
            .add_service(service)
            .serve_with_incoming(incoming)
    })
    .await;
    let tap = Tap::start(address).await.unwrap();
    let cancelled = cancel_uploads(&tap, &mut ends).await;
    let aborted = End::Failed(Code::Aborted);
    assert!(cancelled.contains(&aborted), "{cancelled:?}");
    assert!(!cancelled.contains(&End::Summarized), "{cancelled:?}");
    // An upload that is finished still is.
    let stub = Stub::connect(tap.url()).await.unwrap();
    assert_eq!(summarize(&stub, &[1.0; 3]).await.unwrap().count, 3);
}

#[tokio::test]
async fn a_lost_connection_is_an_error_with_tonic_alone() {
    let (address, mut ends) = start_watched(|service, incoming| {
        builder().add_service(service).serve_with_incoming(incoming)
    })
    .await;
    let tap = Tap::start(address).await.unwrap();
    let stub = Stub::connect(tap.url()).await.unwrap();
    let _open = open_upload(&tap, &stub).await;
    tap.reset();
    let end = soon("the handler's end", ends.recv()).await.unwrap();
    assert_ne!(end, End::Summarized);
}

/// No server can tell: a request stream has no way to say that it failed.
#[tokio::test]
async fn a_task_that_panics_finishes_its_upload() {
    let (_tap, mut stub, mut log) = start().await;
    let (sender, readings) = mpsc::channel(4);
    tokio::spawn(async move {
        sender.send(Number { value: 1.0 }).await.unwrap();
        panic!("on purpose");
    });
    let upload = stub.summarize(ReceiverStream::new(readings));
    let summary = soon("the reply", upload).await.unwrap();
    assert_eq!(summary.into_inner().count, 1);
    let line = soon("a line of the log", log.recv()).await;
    assert_eq!(line, Some("readings summarized: 1".to_owned()));
}

#[tokio::test]
async fn small_readings_that_were_held_up_cost_the_connection() {
    let (address, _ends) = start_watched(|service, incoming| {
        builder().add_service(service).serve_with_incoming(incoming)
    })
    .await;
    // Not each time: a handler that's quick enough reads them as fast as they come.
    for _ in 0..20 {
        if upload_with_a_stall(address).await.is_err() {
            return;
        }
    }
    panic!("20 uploads were held up, and all of them were summarized");
}

#[tokio::test]
async fn with_other_windows_readings_may_be_held_up() {
    let (address, _ends) = start_watched(|service, incoming| {
        builder()
            .initial_stream_window_size(64 * 1024)
            .initial_connection_window_size(8 * 1024 * 1024)
            .add_service(service)
            .serve_with_incoming(incoming)
    })
    .await;
    assert_eq!(upload_with_a_stall(address).await.unwrap().count, 4_000);
}

/// Cancels uploads half-way, one after the other, and returns how their handlers ended.
async fn cancel_uploads(tap: &Tap, ends: &mut mpsc::UnboundedReceiver<End>) -> Vec<End> {
    let mut all = Vec::new();
    let stub = Stub::connect(tap.url()).await.unwrap();
    for _ in 0..20 {
        let (_sender, upload) = open_upload(tap, &stub).await;
        // Calls begin in order: once a later one is refused, the server knows of this one.
        summarize(&stub, &[]).await.unwrap_err();
        let refused = soon("the handler's end", ends.recv()).await;
        assert_eq!(refused, Some(End::Failed(Code::InvalidArgument)));
        upload.abort();
        all.push(soon("the handler's end", ends.recv()).await.unwrap());
    }
    all
}

/// Uploads 4000 readings over a connection that stalls, and then passes on all at once.
async fn upload_with_a_stall(server: SocketAddr) -> Result<Summary, Status> {
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", front.local_addr().unwrap());
    let (go, went) = oneshot::channel();
    tokio::spawn(async move {
        let (mut client, _) = front.accept().await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        went.await.unwrap();
        let mut held_up = Vec::with_capacity(1 << 20);
        client.read_buf(&mut held_up).await.unwrap();
        server.write_all(&held_up).await.unwrap();
        copy_bidirectional(&mut client, &mut server).await
    });
    let mut stub = Stub::connect(url).await.unwrap();
    let (sender, readings) = mpsc::channel(1);
    let upload = tokio::spawn(async move { stub.summarize(ReceiverStream::new(readings)).await });
    for _ in 0..4_000 {
        // With room for one reading, each travels in a frame of its own.
        sender.send(Number { value: 1.5 }).await.unwrap();
    }
    drop(sender);
    go.send(()).unwrap();
    let reply = soon("the end of an upload that was held up", upload).await;
    reply.unwrap().map(Response::into_inner)
}

/// The lesson's handler, and a note of how it ended.
struct Watched {
    abacus: Abacus,
    ends: UnboundedSender<End>,
}

#[tonic::async_trait]
impl Calculator for Watched {
    async fn summarize(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<Summary>, Status> {
        let mut note = Note(End::Dropped, self.ends.clone());
        let result = self.abacus.summarize(request).await;
        note.0 = match &result {
            Ok(_) => End::Summarized,
            Err(status) => End::Failed(status.code()),
        };
        result
    }
}

struct Note(End, UnboundedSender<End>);

impl Drop for Note {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}

async fn start_watched<F>(
    serve: impl FnOnce(CalculatorServer<Watched>, Incoming) -> F,
) -> (SocketAddr, mpsc::UnboundedReceiver<End>)
where
    F: Future<Output = Result<(), transport::Error>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (log, _) = mpsc::channel(1);
    let (ends, ended) = mpsc::unbounded_channel();
    let abacus = Abacus { log };
    let service = CalculatorServer::new(Watched { abacus, ends });
    tokio::spawn(serve(service, incoming(listener)));
    (address, ended)
}
