//! Uploads of many small readings.

use std::iter;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;

/// One frame carries many messages when all are there at once.
#[tokio::test]
async fn a_large_upload_is_summarized() {
    let (url, mut lines) = start().await;
    let mut stub = Stub::connect(url).await.unwrap();
    let readings = iter::repeat_n(Number { value: 1.5 }, 200_000);
    let reply = soon(stub.summarize(stream::iter(readings))).await.unwrap();
    let summary = reply.into_inner();
    assert_eq!((summary.count, summary.mean), (200_000, 1.5));
    assert_eq!(next_line(&mut lines).await, "summarized 200000 readings");
}

/// With room for one reading, each travels in a frame of its own. HTTP/2's server side closes a connection
/// on which too many small frames lie unread, so this passes only because they are read as they arrive.
#[tokio::test]
async fn a_large_upload_of_readings_one_by_one_is_summarized() {
    let (url, mut lines) = start().await;
    let mut stub = Stub::connect(url).await.unwrap();
    let (sender, readings) = mpsc::channel(1);
    tokio::spawn(async move {
        for _ in 0..20_000 {
            sender.send(Number { value: 1.5 }).await.unwrap();
        }
    });
    let reply = soon(stub.summarize(ReceiverStream::new(readings))).await;
    assert_eq!(reply.unwrap().into_inner().count, 20_000);
    assert_eq!(next_line(&mut lines).await, "summarized 20000 readings");
}

/// Uploads 4000 readings over a connection that stalls and then passes on all at once.
async fn upload_with_a_stall(url: &str) -> Result<Summary, Status> {
    let server = url.trim_start_matches("http://").to_owned();
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", front.local_addr().unwrap());
    let go = Arc::new(Notify::new());
    let went = go.clone();
    tokio::spawn(async move {
        let (mut client, _) = front.accept().await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        went.notified().await;
        let mut held_up = Vec::with_capacity(1 << 20);
        client.read_buf(&mut held_up).await.unwrap();
        server.write_all(&held_up).await.unwrap();
        copy_bidirectional(&mut client, &mut server).await
    });

    let mut stub = Stub::connect(url).await.unwrap();
    let (sender, readings) = mpsc::channel(1);
    let upload = tokio::spawn(async move { stub.summarize(ReceiverStream::new(readings)).await });
    for _ in 0..4_000 {
        sender.send(Number { value: 1.5 }).await.unwrap();
    }
    drop(sender);
    go.notify_one();
    soon(upload).await.unwrap().map(Response::into_inner)
}

/// All frames come before the handler runs again; h2 then has some 4000 unread ones, and bears some 2000.
#[tokio::test]
async fn tonic_cuts_a_connection_that_catches_up() {
    let (url, _lines) = start_with_tonic_alone().await;
    upload_with_a_stall(&url).await.unwrap_err();
}

#[tokio::test]
async fn readings_that_were_held_up_may_come_all_at_once() {
    let (url, mut lines) = start().await;
    let summary = upload_with_a_stall(&url).await.unwrap();
    assert_eq!(summary.count, 4_000);
    assert_eq!(next_line(&mut lines).await, "summarized 4000 readings");
}
