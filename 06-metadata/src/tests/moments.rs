//! When headers and trailers arrive: before the first message, after the last, or both at once.

use futures::FutureExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::merged::{Odd, start_odd};
use super::*;
use crate::calculator::Operands;

#[tokio::test]
async fn a_stream_fails_half_way_with_trailers() {
    let (channel, _lines) = start().await;
    let mut stub = stub(channel);
    let (sender, requests) = mpsc::unbounded_channel();
    let requests = UnboundedReceiverStream::new(requests);
    let mut response = soon(stub.maximum(from_ann(requests))).await.unwrap();
    for (value, largest) in [(9.0, 9.0), (4.0, 9.0)] {
        sender.send(Number { value }).unwrap();
        let heard = soon(response.get_mut().message()).await.unwrap().unwrap();
        assert_eq!(heard.value, largest);
    }
    sender.send(Number { value: f64::NAN }).unwrap();
    let status = soon(response.get_mut().message()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(said(status.metadata()), "cost 2");
    let apart = response.extensions().get::<Apart>().unwrap();
    assert!(said(apart.headers()).starts_with("served-by abacus"));
    assert_eq!(said(&apart.trailers()), "cost 2");
}

#[tokio::test]
async fn headers_arrive_before_the_first_message() {
    let (channel, _lines) = start().await;
    let mut stub = stub(channel);
    let (sender, requests) = mpsc::unbounded_channel();
    let requests = UnboundedReceiverStream::new(requests);
    // The server has no number yet, so it can have sent no message.
    let mut response = soon(stub.maximum(from_ann(requests))).await.unwrap();
    assert!(said(response.metadata()).starts_with("served-by abacus"));
    assert!(response.get_mut().message().now_or_never().is_none());
    sender.send(Number { value: 9.0 }).unwrap();
    let first = soon(response.get_mut().message()).await.unwrap().unwrap();
    assert_eq!(first.value, 9.0);
}

#[tokio::test]
async fn a_unary_handler_sends_its_headers_with_its_reply() {
    let odd = Odd::default();
    let mut stub = CalculatorClient::new(start_odd(odd.clone()).await);
    let mut call = Box::pin(stub.divide(Operands::default()));
    tokio::select! {
        _ = &mut call => panic!("answered before it was told to"),
        () = soon(odd.entered.notified()) => {}
    }
    assert!((&mut call).now_or_never().is_none());
    odd.gate.notify_one();
    assert_eq!(soon(call).await.unwrap().into_inner().value, 1.0);
}
