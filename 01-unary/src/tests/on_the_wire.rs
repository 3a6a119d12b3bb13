//! A call as it travels: which frames, in which order, and over how many connections.

use wire::{Direction, Frame, FrameType, Role, Tap};

use super::*;

fn ann() -> HelloRequest {
    HelloRequest {
        name: "Ann".to_owned(),
    }
}

/// What one side sent for a call, in order. How a message is cut into frames does not matter.
fn sent(tap: &Tap, direction: Direction) -> Vec<String> {
    let mut parts = Vec::new();
    for frame in tap.frames() {
        if frame.direction == direction {
            parts.extend(frame.role().map(|role| format!("{role:?}")));
            parts.extend(frame.messages().iter().map(|message| message.text()));
            parts.extend(frame.is_end_stream().then(|| "END_STREAM".to_owned()));
        }
    }
    parts
}

#[tokio::test]
async fn two_stubs_share_one_connection() {
    let tap = Tap::start(start().await).await.unwrap();
    let endpoint = Channel::from_shared(tap.url()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut greeter = GreeterClient::new(channel.clone());
    let mut calculator = CalculatorClient::new(channel);
    let (greeting, root) = tokio::join!(
        greeter.say_hello(ann()),
        calculator.square_root(Number { value: 9.0 }),
    );
    assert_eq!(greeting.unwrap().into_inner().message, "Hello, Ann!");
    assert_eq!(root.unwrap().into_inner().value, 3.0);
    assert_eq!(tap.connections(), 1);
}

#[tokio::test]
async fn a_call_is_headers_and_a_message_each_way_and_the_status_comes_last() {
    let tap = Tap::start(start().await).await.unwrap();
    let mut greeter = GreeterClient::connect(tap.url()).await.unwrap();
    greeter.say_hello(ann()).await.unwrap();
    assert_eq!(
        sent(&tap, Direction::ToServer),
        ["Request", r#"{ name: "Ann" }"#, "END_STREAM"]
    );
    let reply = r#"{ message: "Hello, Ann!" }"#;
    assert_eq!(
        sent(&tap, Direction::ToClient),
        ["Response", reply, "Trailers", "END_STREAM"]
    );
    let trailers = tap.wait_for(Frame::is_trailers).await;
    assert_eq!(trailers.header("grpc-status").as_deref(), Some("0"));
}

#[tokio::test]
async fn an_error_is_one_frame() {
    let tap = Tap::start(start().await).await.unwrap();
    let mut calculator = CalculatorClient::connect(tap.url()).await.unwrap();
    let minus_four = Number { value: -4.0 };
    calculator.square_root(minus_four).await.unwrap_err();
    let mut frames = tap.frames();
    frames.retain(|frame| frame.direction == Direction::ToClient && frame.belongs_to_a_call());
    let [only] = frames.as_slice() else {
        panic!("not one frame: {frames:?}");
    };
    assert_eq!(only.kind, FrameType::Headers);
    assert_eq!(only.role(), Some(Role::TrailersOnly));
    assert_eq!(only.header("grpc-status").as_deref(), Some("3"));
    assert!(only.is_end_stream());
}
