//! Passing on unchanged, and faults on request.

use std::io::ErrorKind;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;

use super::service::{self, Client, ann};
use super::traffic::{events, tapped};
use super::*;
use crate::{After, End, Faults, Seen, Tap};

/// Both ends of a connection that goes through a tap.
async fn ends(faults: Faults) -> (Tap, TcpStream, TcpStream) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = Tap::serve(front, server.local_addr().unwrap(), faults).unwrap();
    let client = TcpStream::connect(tap.address()).await.unwrap();
    let (server, _) = server.accept().await.unwrap();
    // Both sides have been accepted; now the tap knows it too.
    tap.wait_for_event(|event| event.kind == EventKind::Opened)
        .await;
    (tap, client, server)
}

async fn greeter(faults: Faults) -> (Tap, Client) {
    let server = service::start().await;
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = Tap::serve(front, server, faults).unwrap();
    let greeter = Client::connect(tap.url()).await.unwrap();
    (tap, greeter)
}

async fn end(tap: &Tap) -> End {
    let end = tap.wait_for_event(|event| event.end().is_some()).await;
    end.end().unwrap().clone()
}

#[tokio::test]
async fn a_half_close_passes_as_a_half_close() {
    let (tap, mut client, mut server) = ends(Faults::default()).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = Vec::new();
    server.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    // The other half is still open.
    server.write_all(b"answer").await.unwrap();
    server.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    assert_eq!(end(&tap).await, End::Finished);
}

#[tokio::test]
async fn a_reset_passes_as_a_reset() {
    for by_client in [true, false] {
        let (tap, client, server) = ends(Faults::default()).await;
        let (resetting, mut other) = if by_client {
            (client, server)
        } else {
            (server, client)
        };
        resetting.set_zero_linger().unwrap();
        drop(resetting);
        let error = other.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let direction = if by_client { ToServer } else { ToClient };
        assert_eq!(end(&tap).await, End::Reset(direction));
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_makes_the_writer_wait() {
    let (tap, mut client, server) = ends(Faults::default()).await;
    client.write_all(HELLO).await.unwrap();
    let chunk = vec![0; 1024 * 1024];
    let mut written = 0;
    // Until nothing more fits in. Not a measure: waiting longer would change nothing.
    while let Ok(result) =
        tokio::time::timeout(Duration::from_millis(300), client.write(&chunk)).await
    {
        written += result.unwrap();
        assert!(written < 100 * 1024 * 1024, "somebody holds all of this");
    }
    drop(server);
    // As without a tap: a peer that closes with unread bytes resets.
    assert_eq!(end(&tap).await, End::Reset(ToClient));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_reset_passes_even_when_the_other_side_does_not_read() {
    let (tap, mut client, _server) = ends(Faults::default()).await;
    let chunk = vec![0; 1024 * 1024];
    while tokio::time::timeout(Duration::from_millis(300), client.write(&chunk))
        .await
        .is_ok()
    {}
    client.set_zero_linger().unwrap();
    drop(client);
    assert_eq!(end(&tap).await, End::Reset(ToServer));
}

#[tokio::test]
async fn traffic_that_is_no_http2_passes_unchanged() {
    for (first, named) in [
        (&b"\x16\x03\x01\x00\x05hello"[..], "TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1"),
        (b"\0\xff\0\xff", "something"),
    ] {
        let (tap, mut client, mut server) = ends(Faults::default()).await;
        client.write_all(first).await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, first);
        let text = ladder(&events(&tap), Show::default());
        assert!(
            text.contains(&format!("the client speaks {named}")),
            "{text}"
        );
        assert_eq!(
            text.lines().count(),
            3,
            "the sentence on two lines, or a record of TLS below it: {text}"
        );
    }
}

#[tokio::test]
async fn reset_reaches_both_sides_and_new_connections_are_accepted() {
    let (tap, mut greeter) = tapped().await;
    greeter.say_hello(ann()).await.unwrap();
    tap.reset();
    assert_eq!(end(&tap).await, End::ResetByTap);
    // tonic connects again at the next call, when it has noticed.
    while greeter.say_hello(ann()).await.is_err() {}
    assert_eq!(tap.connections(), 2);
}

#[tokio::test]
async fn stalled_peers_are_connected_and_silent_until_they_are_resumed() {
    let (tap, mut greeter) = tapped().await;
    greeter.say_hello(ann()).await.unwrap();
    tap.stall();
    let mut other = greeter.clone();
    let call = tokio::spawn(async move { other.say_hello(ann()).await });
    let second = |frame: &Frame| frame.is_request() && frame.stream == 3;
    assert!(tap.wait_for(second).await.held);
    let text = ladder(&events(&tap), Show::default());
    assert!(text.contains("┄ ╳ │"), "{text}");
    assert!(!call.is_finished());
    assert!(
        tap.frames()
            .iter()
            .all(|frame| frame.stream != 3 || frame.direction == ToServer)
    );
    tap.resume();
    call.await.unwrap().unwrap();
    assert_eq!(tap.connections(), 1);
}

#[tokio::test]
async fn a_delay_counts_in_each_direction_and_keeps_the_order() {
    let delay = Duration::from_millis(150);
    let (tap, mut greeter) = tapped().await;
    greeter.say_hello(ann()).await.unwrap();
    tap.delay(delay);
    let begin = Instant::now();
    greeter.say_hello(ann()).await.unwrap();
    assert!(begin.elapsed() >= 2 * delay);
    tap.delay(Duration::ZERO);
    greeter.say_hello(ann()).await.unwrap();

    let (tap, mut client, mut server) = ends(Faults {
        delay,
        ..Faults::default()
    })
    .await;
    let begin = Instant::now();
    for byte in 0..10 {
        client.write_all(&[byte]).await.unwrap();
        if byte == 5 {
            // The first byte has been read: it told that this is no HTTP/2. It is late, and what
            // comes after it stays behind it, though nothing is delayed any more.
            tap.wait_for_event(|event| matches!(event.kind, EventKind::Note(_)))
                .await;
            tap.delay(Duration::ZERO);
        }
    }
    client.shutdown().await.unwrap();
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert!(begin.elapsed() >= delay);
}

#[tokio::test]
async fn a_connection_is_reset_after_so_many_bytes_exactly() {
    let faults = Faults {
        reset_after: Some(After::Bytes(5)),
        ..Faults::default()
    };
    let (tap, mut client, mut server) = ends(faults).await;
    client.write_all(b"123").await.unwrap();
    let mut three = [0; 3];
    server.read_exact(&mut three).await.unwrap();
    client.write_all(b"456789").await.unwrap();
    assert_eq!(end(&tap).await, End::ResetByTap);
    let last = events(&tap).pop().unwrap().kind;
    assert!(
        matches!(last, EventKind::Closed { to_server: 5, .. }),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_connection_is_reset_after_so_many_messages() {
    // The request passes, the reply is the second message, and with it the connection ends.
    let faults = Faults {
        reset_after: Some(After::Messages(1)),
        ..Faults::default()
    };
    let (tap, mut greeter) = greeter(faults).await;
    assert!(greeter.say_hello(ann()).await.is_err());
    assert_eq!(end(&tap).await, End::ResetByTap);
    let messages: usize = tap
        .frames()
        .iter()
        .map(|frame| frame.messages().len())
        .sum();
    assert_eq!(messages, 1);
    let text = ladder(&events(&tap), Show::default());
    assert!(
        text.contains("broken off: the wire view reset the connection"),
        "{text}"
    );
}

#[tokio::test]
async fn a_frame_with_several_messages_passes_whole() {
    let faults = Faults {
        reset_after: Some(After::Messages(1)),
        ..Faults::default()
    };
    let (tap, mut client, mut server) = ends(faults).await;
    let two = frame(0, 0, 1, &greeting("Ann").repeat(2));
    let said = [HELLO, &frame(1, 4, 1, &request()), &two].concat();
    let more = frame(6, 0, 0, b"pingpong");
    client
        .write_all(&[&said[..], &more].concat())
        .await
        .unwrap();
    let mut heard = Vec::new();
    // A reset may take with it what was not read before.
    let _ = server.read_to_end(&mut heard).await;
    assert!(said.starts_with(&heard));
    assert_eq!(end(&tap).await, End::ResetByTap);
    let frames = tap.frames();
    assert_eq!(frames.last().unwrap().messages().len(), 2);
    let last = events(&tap).pop().unwrap().kind;
    let passed = said.len() as u64;
    assert!(matches!(last, EventKind::Closed { to_server, .. } if to_server == passed));
}

#[tokio::test]
async fn a_delay_holds_eight_mebibytes_and_no_more() {
    let faults = Faults {
        delay: Duration::from_secs(3600),
        ..Faults::default()
    };
    let (_tap, mut client, _server) = ends(faults).await;
    let chunk = vec![0; 1024 * 1024];
    let mut written = 0;
    while let Ok(result) =
        tokio::time::timeout(Duration::from_millis(500), client.write(&chunk)).await
    {
        written += result.unwrap();
        assert!(written < 100 * 1024 * 1024, "all of this is held");
    }
    // What the system itself buffers comes on top.
    assert!(written >= 8 * 1024 * 1024, "{written}");
}

#[tokio::test]
async fn a_connection_stalls_after_so_many_messages() {
    let faults = Faults {
        stall_after: Some(After::Messages(3)),
        ..Faults::default()
    };
    let (tap, mut greeter) = greeter(faults).await;
    greeter.say_hello(ann()).await.unwrap();
    let mut request = tonic::Request::new(ann());
    request.set_timeout(Duration::from_millis(300));
    let status = greeter.say_hello(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    // The third message is the second request. Its END_STREAM is seen, and held.
    let held = tap
        .wait_for(|frame| frame.held && frame.is_end_stream())
        .await;
    assert_eq!((held.direction, held.stream), (ToServer, 3));
    assert_eq!(
        notes(&events(&tap)),
        ["stalled: from here on nothing is passed on"]
    );
    // Once resumed, it does not stall again.
    tap.resume();
    greeter.say_hello(ann()).await.unwrap();
}

#[tokio::test]
async fn who_reads_too_late_is_told_what_is_lost() {
    let (tap, mut client, mut server) = ends(Faults::default()).await;
    let mut said = HELLO.to_vec();
    said.extend(frame(8, 0, 0, &[0, 0, 0, 1]).repeat(70_000));
    let mut heard = Vec::new();
    let (written, read) = tokio::join!(
        async {
            client.write_all(&said).await?;
            client.shutdown().await
        },
        server.read_to_end(&mut heard)
    );
    written.unwrap();
    read.unwrap();
    assert_eq!(heard, said, "passed on, though not all can be shown");
    let lost = tap.lost();
    assert!(lost >= 70_000 - 65_536);
    let mut events = tap.events();
    assert!(matches!(events.try_next(), Some(Seen::Missed(missed)) if missed == lost));
    assert!(matches!(events.try_next(), Some(Seen::Event(_))));
}
