//! Servers that send what they must not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tonic::codegen::http::HeaderMap;

use super::*;
use crate::frames::{
    END_HEADERS, END_STREAM, FrameScanner, HEADERS, PREFACE, RST_STREAM, SETTINGS,
};
use crate::testing::{framed, h2_peer};

/// A server whose calls end with these headers, after a message or without one.
async fn ending(end: &'static [(&'static str, &'static [u8])], in_trailers: bool) -> Served {
    let end: HeaderMap = end
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), (*value).try_into().unwrap()))
        .collect();
    h2_peer(move |_, mut respond| {
        let end = end.clone();
        async move {
            let mut head = tonic::codegen::http::Response::new(());
            let headers = head.headers_mut();
            headers.insert("content-type", "application/grpc".parse().unwrap());
            if !in_trailers {
                headers.extend(end);
                respond.send_response(head, true).unwrap();
                return;
            }
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data(framed(b"reply"), false).unwrap();
            body.send_trailers(end).unwrap();
        }
    })
    .await
}

async fn status_from(server: &Served) -> Status {
    let fleet = Manual::new("fleet");
    fleet.set(backends([server]));
    let channel = channel(&fleet, "{}");
    call(channel, "request").await.unwrap_err()
}

// The guide to error handling; PROTOCOL-HTTP2, "Requests", *Binary-Header*. A stub alone panics.
#[tokio::test]
async fn malformed_details_of_an_error_do_not_panic_the_caller() {
    const END: &[(&str, &[u8])] = &[
        ("grpc-status", b"5"),
        ("grpc-message", b"no such book"),
        ("grpc-status-details-bin", b"!!!"),
    ];
    for in_trailers in [false, true] {
        let status = status_from(&ending(END, in_trailers).await).await;
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "no such book");
        assert!(status.details().is_empty());
    }
}

// PROTOCOL-HTTP2, "Responses", *Status-Message*: whoever can't decode it must not throw it away.
#[tokio::test]
async fn a_message_that_is_no_utf_8_leaves_the_code_as_it_is() {
    const END: &[(&str, &[u8])] = &[("grpc-status", b"5"), ("grpc-message", b"no%ff")];
    for in_trailers in [false, true] {
        let status = status_from(&ending(END, in_trailers).await).await;
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "no\u{fffd}");
    }
}

/// Headers that end a call with NOT_FOUND.
fn not_found(stream: u32) -> Vec<u8> {
    let mut block = vec![0x88]; // :status: 200
    for (name, value) in [("content-type", "application/grpc"), ("grpc-status", "5")] {
        for text in [name, value] {
            block.extend((text == name).then_some(0)); // a literal, not to be remembered
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    let mut frame = vec![0, 0, block.len() as u8, HEADERS, END_STREAM | END_HEADERS];
    frame.extend(stream.to_be_bytes());
    frame.extend(block);
    frame
}

/// A server that answers its first calls, `late` of them, when they are broken off, and only then.
/// It tells how many there were.
async fn late(late: usize) -> (Served, watch::Receiver<usize>) {
    let (count, counted) = watch::channel(0);
    let server = peer(move |mut stream| {
        let count = count.clone();
        async move {
            stream.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
            let settings = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
            stream.write_all(&settings).await.unwrap();
            let mut scanner = FrameScanner::default();
            let mut answered = 0;
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                let mut bytes = &buffer[..length];
                while let Some(frame) = scanner.next_frame(&mut bytes) {
                    if frame.kind == HEADERS {
                        count.send_modify(|count| *count += 1);
                    }
                    let is_due = match frame.kind {
                        HEADERS => *count.borrow() > late,
                        kind => kind == RST_STREAM,
                    };
                    if is_due && frame.stream > answered {
                        answered = frame.stream;
                        let _ = stream.write_all(&not_found(frame.stream)).await;
                    }
                }
            }
        }
    });
    (server.await, counted)
}

// RFC 9113, section 5.1, "closed": such frames are to be expected. h2 takes 1024 of them, and 50 more.
#[tokio::test]
async fn answers_to_calls_that_were_broken_off_end_no_connection() {
    const MANY: usize = 1200;
    let (server, mut count) = late(MANY).await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, "{}");
    for number in 1..=MANY {
        tokio::select! {
            answer = call(channel.clone(), "request") => panic!("{number}: {answer:?}"),
            _ = count.wait_for(|count| *count >= number) => {}
        }
    }
    assert_eq!(answer(&channel).await, Err(Code::NotFound));
}
