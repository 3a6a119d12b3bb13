//! Servers that send what they must not.

use tonic::codegen::http::HeaderMap;

use super::*;
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
