//! Metadata as they travel: what is before the message, what is after it, and how names and values look.

use tonic::metadata::{AsciiMetadataKey, BinaryMetadataValue};
use wire::{Direction, Frame, Role, Tap};

use super::*;

/// Asks for a square root, and returns the frames of the call, whatever it came to.
async fn square_root(request: Request<Number>) -> Vec<Frame> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = Tap::start(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(serve(listener, mpsc::unbounded_channel().0));
    let mut stub = CalculatorClient::connect(tap.url()).await.unwrap();
    let _ = soon(stub.square_root(request)).await;
    let mut frames = tap.frames();
    frames.retain(Frame::belongs_to_a_call);
    frames
}

/// What the server sends.
fn answer(frames: Vec<Frame>) -> Vec<Frame> {
    let from_server = |frame: &Frame| frame.direction == Direction::ToClient;
    frames.into_iter().filter(from_server).collect()
}

fn all(frame: &Frame, name: &str) -> Vec<String> {
    let fields = frame.fields().iter().filter(|field| field.name() == name);
    fields.map(|field| field.value()).collect()
}

#[tokio::test]
async fn a_reply_has_headers_before_it_and_trailers_after_it() {
    let frames = answer(square_root(from_ann(Number { value: 9.0 })).await);
    let [headers, .., trailers] = frames.as_slice() else {
        panic!("too few frames: {frames:?}");
    };
    assert_eq!(headers.role(), Some(Role::Response));
    assert_eq!(all(headers, "asked-by"), ["Ann"]);
    assert!(all(headers, "cost").is_empty());
    assert!(all(headers, "grpc-status").is_empty());
    let between = &frames[1..frames.len() - 1];
    let messages: Vec<_> = between.iter().flat_map(Frame::messages).collect();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].text(), "{ value: 3 }");
    assert_eq!(trailers.role(), Some(Role::Trailers));
    assert_eq!(all(trailers, "cost"), ["1"]);
    assert_eq!(all(trailers, "grpc-status"), ["0"]);
    assert!(all(trailers, "asked-by").is_empty());
}

#[tokio::test]
async fn an_error_without_a_message_is_trailers_only() {
    let frames = answer(square_root(from_ann(Number { value: -4.0 })).await);
    let [only] = frames.as_slice() else {
        panic!("not one frame: {frames:?}");
    };
    assert_eq!(only.role(), Some(Role::TrailersOnly));
    assert_eq!(all(only, "grpc-status"), ["3"]);
    assert_eq!(all(only, "cost"), ["1"]);
    // What the handler meant to be headers went with the response that it did not send.
    assert!(all(only, "asked-by").is_empty());
}

#[tokio::test]
async fn names_are_in_lower_case_and_binary_values_in_base64_without_padding() {
    let mut request = from_ann(Number { value: 9.0 });
    let metadata = request.metadata_mut();
    let name = AsciiMetadataKey::from_bytes(b"X-Upper").unwrap();
    metadata.insert(name, "Ann".parse().unwrap());
    metadata.append_bin("trace-bin", BinaryMetadataValue::from_bytes(&[0, 255]));
    let frames = square_root(request).await;
    assert_eq!(all(&frames[0], "x-upper"), ["Ann"]);
    assert_eq!(all(&frames[0], "tag"), ["homework", "urgent"]);
    // `TRACE`, and two bytes, which padding would make `AP8=`.
    assert_eq!(all(&frames[0], "trace-bin"), ["AP8H", "AP8"]);
    let response = frames
        .iter()
        .find(|frame| frame.role() == Some(Role::Response));
    assert_eq!(all(response.unwrap(), "trace-bin"), ["AP8H", "AP8"]);
}
