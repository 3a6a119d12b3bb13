//! What happens while an upload is open.

use super::*;

#[tokio::test]
async fn the_reply_waits_for_the_end_of_the_upload() {
    let (url, mut lines) = start().await;
    let stub = Stub::connect(url).await.unwrap();
    let (sender, upload) = open_upload(&stub).await;
    for value in 3..=100 {
        let value = f64::from(value);
        sender.send(Number { value }).await.unwrap();
    }
    // Others are answered in the meantime, on the same connection.
    assert_eq!(
        summarize(&mut stub.clone(), &[1.0; 3]).await.unwrap().count,
        3
    );
    assert_eq!(next_line(&mut lines).await, "summarized 3 readings");
    assert!(!upload.is_finished());
    drop(sender);
    let summary = soon(upload).await.unwrap().unwrap();
    assert_eq!((summary.count, summary.maximum), (100, 100.0));
    assert_eq!(next_line(&mut lines).await, "summarized 100 readings");
}

#[tokio::test]
async fn a_refusal_comes_while_the_upload_is_open_and_stops_the_sender() {
    let (url, mut lines) = start().await;
    let stub = Stub::connect(url.clone()).await.unwrap();
    let (sender, upload) = open_upload(&stub).await;
    assert!(!upload.is_finished() && !sender.is_closed());
    sender.send(Number { value: f64::NAN }).await.unwrap();
    let status = soon(upload).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    soon(sender.closed()).await;
    // The connection was not the price.
    assert_eq!(
        summarize(&mut stub.clone(), &[1.0; 3]).await.unwrap().count,
        3
    );
    assert_eq!(next_line(&mut lines).await, "summarized 3 readings");
}

/// No server can tell: a request stream has no way to say that it failed. Its client must drop the call.
#[tokio::test]
async fn a_producer_that_panics_finishes_its_upload() {
    let (url, mut lines) = start().await;
    let mut stub = Stub::connect(url).await.unwrap();
    let (sender, readings) = mpsc::channel(1);
    tokio::spawn(async move {
        for value in [1.0, 2.0] {
            sender.send(Number { value }).await.unwrap();
        }
        panic!("on purpose");
    });
    let reply = soon(stub.summarize(ReceiverStream::new(readings))).await;
    assert_eq!(reply.unwrap().into_inner().count, 2);
    assert_eq!(next_line(&mut lines).await, "summarized 2 readings");
}
