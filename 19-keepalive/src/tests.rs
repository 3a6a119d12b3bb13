//! The cable is pulled with calls open and without, pings on the wire, and the exercises.

use std::time::Instant;

use conform::status::explain;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;
use tonic::Code;
use wire::testing::{RawCall, framed, soon};
use wire::{Direction, Frame, FrameType, Payload, Tap};

use super::*;

const SIXTEEN: Number = Number { value: 16.0 };
const NEVER: Duration = Duration::MAX;
const ACK: u8 = 1;

#[tokio::test]
async fn both_sides_find_out_when_the_cable_is_pulled() {
    let (cable, mut log) = start().await;
    let mut stub = stub(&cable, every(TIME));
    let mut maxima = opened(&mut stub).await;
    cable.stall();
    let begin = Instant::now();
    let status = soon("the stream's end", maxima.message()).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{}", explain(&status));
    // Less than the call's deadline, which would end it too.
    assert!(begin.elapsed() < 4 * TIME, "{:?}", begin.elapsed());
    assert_eq!(
        next(&mut log).await,
        "a connection has ended: no answer to a ping"
    );
}

#[tokio::test]
async fn a_unary_call_into_a_pulled_cable_is_unavailable_and_the_next_one_connects_anew() {
    let (cable, _log) = start().await;
    let mut stub = stub(&cable, every(TIME));
    stub.square_root(SIXTEEN).await.unwrap();
    cable.stall();
    let status = soon("the call's end", stub.square_root(SIXTEEN)).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{}", explain(&status));
    cable.resume();
    soon("the root", stub.square_root(SIXTEEN)).await.unwrap();
    assert_eq!(cable.connections(), 2);
}

#[tokio::test]
async fn the_server_finds_a_dead_client_without_calls() {
    let (cable, mut log) = start().await;
    let mut stub = stub(&cable, every(TIME));
    stub.square_root(SIXTEEN).await.unwrap();
    cable.stall();
    assert_eq!(
        next(&mut log).await,
        "a connection has ended: no answer to a ping"
    );
}

#[tokio::test]
async fn without_keepalive_a_client_notices_nothing() {
    let (cable, _log) = start().await;
    let mut stub = stub(&cable, ClientKeepalive::new(NEVER));
    let mut maxima = opened(&mut stub).await;
    cable.stall();
    let end = soon("the deadline", maxima.message()).await.unwrap_err();
    // Not the cable: only the deadline.
    assert_eq!(end.code(), Code::DeadlineExceeded, "{}", explain(&end));
    let end = soon("the deadline", stub.square_root(SIXTEEN)).await;
    assert_eq!(end.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(cable.connections(), 1);
}

#[tokio::test]
async fn pings_and_their_answers_go_both_ways() {
    let (cable, _log) = start().await;
    let mut stub = stub(&cable, every(TIME));
    let _maxima = opened(&mut stub).await;
    for direction in [Direction::ToServer, Direction::ToClient] {
        let ping = cable.wait_for(|frame| is_ping(frame, direction, 0)).await;
        let back = match direction {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        };
        let answers = |frame: &Frame| is_ping(frame, back, ACK) && frame.payload == ping.payload;
        cable.wait_for(answers).await;
    }
}

#[tokio::test]
async fn without_a_call_a_client_sends_no_pings() {
    let (cable, _log) = start().await;
    let mut stub = stub(&cable, every(Duration::from_millis(100)));
    stub.square_root(SIXTEEN).await.unwrap();
    // The server pings after a second: ten of the client's times.
    let is_servers = |frame: &Frame| is_ping(frame, Direction::ToClient, 0);
    cable.wait_for(is_servers).await;
    let frames = cable.frames();
    assert!(
        !frames
            .iter()
            .any(|frame| is_ping(frame, Direction::ToServer, 0))
    );
}

#[tokio::test]
async fn a_client_that_pings_too_often_is_sent_away_and_pings_half_as_often() {
    let (cable, mut log) = start().await;
    let (throttled, mut times) = mpsc::unbounded_channel();
    let keepalive = every(MIN_PING_TIME / 3);
    let keepalive = keepalive.on_throttled(move |time| throttled.send(time).unwrap());
    let mut stub = stub(&cable, keepalive);
    let mut maxima = opened(&mut stub).await;
    let status = soon("the stream's end", maxima.message()).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{}", explain(&status));
    let goaway = cable.wait_for(|frame| frame.go_away().is_some()).await;
    assert_eq!(goaway.go_away(), Some("ENHANCE_YOUR_CALM"));
    assert_eq!(debug_data(&goaway), "too_many_pings");
    let time = soon("the new time", times.recv()).await;
    assert_eq!(time, Some(2 * (MIN_PING_TIME / 3)));
    assert_eq!(
        next(&mut log).await,
        "a connection has ended: too_many_pings"
    );
}

/// The address of a cable to a server on a free port, and the server's log.
async fn start() -> (Tap, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cable = Tap::start(listener.local_addr().unwrap()).await.unwrap();
    let (log, lines) = mpsc::channel(64);
    tokio::spawn(serve(listener, log));
    (cable, lines)
}

fn stub(cable: &Tap, keepalive: ClientKeepalive) -> Stub {
    connect(cable.url(), keepalive).unwrap()
}

/// A stream that has begun, and stays open.
async fn opened(stub: &mut Stub) -> Streaming<Number> {
    soon("the first maximum", hold(stub)).await.unwrap()
}

async fn next(log: &mut Receiver<String>) -> String {
    soon("a line of the log", log.recv()).await.unwrap()
}

fn is_ping(frame: &Frame, direction: Direction, flags: u8) -> bool {
    frame.kind == FrameType::Ping && frame.direction == direction && frame.flags == flags
}

fn debug_data(frame: &Frame) -> String {
    match &frame.payload {
        Payload::GoAway { debug, .. } => String::from_utf8_lossy(debug).into_owned(),
        _ => String::new(),
    }
}

#[tokio::test]
#[ignore = "exercise 1: send clients away after two seconds"]
async fn exercise_1_sends_clients_away_after_two_seconds() {
    let (cable, _log) = start().await;
    let mut stub = stub(&cable, ClientKeepalive::new(NEVER));
    let mut maxima = opened(&mut stub).await;
    let begin = Instant::now();
    let is_goaway = |frame: &Frame| frame.go_away().is_some();
    let goaway = timeout(Duration::from_secs(4), cable.wait_for(is_goaway)).await;
    let goaway = goaway.expect("a GOAWAY was expected after 2 seconds; none came in 4");
    assert_eq!(debug_data(&goaway), "max_age");
    assert!(
        begin.elapsed() > Duration::from_millis(1500),
        "the GOAWAY came after {:?}: too early",
        begin.elapsed()
    );
    let end = soon("the end of the open stream", maxima.message()).await;
    let code = end.unwrap_err().code();
    assert_eq!(
        code,
        Code::Unavailable,
        "a second after the GOAWAY, what is open is to be cut; the stream ended with {code:?}"
    );
    let open = begin.elapsed();
    assert!(
        open > Duration::from_millis(2500),
        "the stream was cut after {open:?}: it should have had a second more"
    );
}

#[tokio::test]
#[ignore = "exercise 2: ping while no call is open, too"]
async fn exercise_2_pings_without_calls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cable = Tap::start(listener.local_addr().unwrap()).await.unwrap();
    let incoming = enforce(conform::server::incoming(listener))
        .min_ping_time(Duration::ZERO)
        .permit_without_calls(true);
    let server = conform::server::builder().add_service(CalculatorServer::new(Abacus));
    tokio::spawn(server.serve_with_incoming(incoming));

    let mut stub = stub(&cable, always(Duration::from_millis(200)));
    stub.square_root(SIXTEEN).await.unwrap();
    let is_clients = |frame: &Frame| is_ping(frame, Direction::ToServer, 0);
    let ping = timeout(Duration::from_secs(4), cable.wait_for(is_clients)).await;
    ping.expect("a ping was expected with no call open; none came in 4 seconds");
    // And a dead connection is found before anybody calls: the next call takes a new one.
    cable.stall();
    tokio::time::sleep(3 * TIMEOUT).await;
    cable.resume();
    soon("the root", stub.square_root(SIXTEEN)).await.unwrap();
    assert_eq!(cable.connections(), 2, "the dead connection was used again");
}

/// Only a raw call compiles before the method is there.
#[tokio::test]
#[ignore = "exercise 3: a heartbeat of the application's own"]
async fn exercise_3_beats_as_often_as_asked() {
    let (cable, _log) = start().await;
    for beats in [3_u8, 0, 5] {
        let call = RawCall::new("/calculator.v1.Calculator/Beat");
        // Integer { value: beats }
        let reply = call.body(framed(&[8, beats])).send(cable.url()).await;
        assert_eq!(
            reply.status(),
            Some("OK"),
            "Beat was expected to end with OK; it ended with {:?}",
            reply.message()
        );
        let expected: Vec<_> = (1..=beats).map(|beat| vec![8, beat]).collect();
        let got: Vec<_> = reply
            .messages
            .iter()
            .map(|message| message.to_vec())
            .collect();
        assert_eq!(got, expected, "{beats} beats were asked for: 1, 2, …");
    }
    let frames = cable.frames();
    let messages = frames
        .iter()
        .filter(|frame| frame.direction == Direction::ToClient);
    let messages: Vec<_> = messages
        .filter(|frame| !frame.messages().is_empty())
        .collect();
    let between = messages[1].at - messages[0].at;
    assert!(
        between > Duration::from_millis(50),
        "a beat every 100 ms was expected; the second came after {between:?}"
    );
}
