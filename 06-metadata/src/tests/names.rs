//! Names: their case, their characters, and those that gRPC keeps for itself.

use std::panic;
use std::time::Duration;

use tonic::codegen::StdError;
use tonic::codegen::http::HeaderMap;
use tonic::metadata::{AsciiMetadataKey, BinaryMetadataKey};
use tower::service_fn;

use super::*;

/// The headers that a stub hands to its channel for `request`, if it gets that far.
async fn sent(request: Request<()>, guarded: bool) -> Option<HeaderMap> {
    let (headers, mut seen) = mpsc::unbounded_channel();
    let channel = service_fn(move |request: http::Request<Body>| {
        headers.send(request.headers().clone()).unwrap();
        async { Ok::<_, StdError>(Status::cancelled("seen").into_http::<Body>()) }
    });
    let request = request.map(|()| Number { value: 9.0 });
    let status = if guarded {
        let mut stub = CalculatorClient::with_interceptor(channel, guard::interceptor);
        stub.square_root(request).await.unwrap_err()
    } else {
        let mut stub = CalculatorClient::new(channel);
        stub.square_root(request).await.unwrap_err()
    };
    let headers = seen.try_recv().ok();
    match &headers {
        Some(_) => assert_eq!(status.code(), Code::Cancelled),
        None => assert_eq!(status.code(), Code::InvalidArgument),
    }
    headers
}

fn named(name: &str) -> Request<()> {
    let mut request = from_ann(());
    let name = AsciiMetadataKey::from_bytes(name.as_bytes()).unwrap();
    request.metadata_mut().insert(name, "1".parse().unwrap());
    request
}

#[test]
fn a_name_has_no_case() {
    let key = AsciiMetadataKey::from_bytes(b"X-Upper").unwrap();
    assert_eq!(key.as_str(), "x-upper");
    let mut metadata = MetadataMap::new();
    metadata.insert(key, "one".parse().unwrap());
    for name in ["x-upper", "X-UPPER", "X-Upper"] {
        assert_eq!(metadata.get(name).unwrap(), "one");
    }
    assert_eq!(metadata.keys().count(), 1);
}

#[test]
fn a_name_written_into_the_program_must_be_lower_case() {
    let written = panic::catch_unwind(|| {
        let mut metadata = MetadataMap::new();
        metadata.insert("X-Upper", "one".parse().unwrap());
    });
    assert!(written.is_err());
}

#[test]
fn the_end_of_a_name_says_whether_its_values_are_binary() {
    assert!(AsciiMetadataKey::from_bytes(b"trace-bin").is_err());
    assert!(BinaryMetadataKey::from_bytes(b"trace").is_err());
    let request = from_ann(());
    assert!(request.metadata().get_bin("tag").is_none());
    assert!(request.metadata().get("trace-bin").is_none());
}

#[tokio::test]
async fn tonic_sends_reserved_names_and_drops_some_without_a_word() {
    for name in ["grpc-cost", "grpc-encoding", "grpc-timeout"] {
        assert!(sent(named(name), false).await.unwrap().contains_key(name));
    }
    for name in ["grpc-status", "grpc-message"] {
        assert!(!sent(named(name), false).await.unwrap().contains_key(name));
    }
    let headers = sent(named("content-type"), false).await.unwrap();
    assert_eq!(headers["content-type"], "application/grpc");
}

#[tokio::test]
async fn the_interceptor_refuses_reserved_names_before_they_are_sent() {
    for name in ["grpc-cost", "GRPC-Cost", "grpc-"] {
        assert!(sent(named(name), true).await.is_none(), "{name}");
    }
}

#[tokio::test]
async fn the_interceptor_lets_pass_what_tonic_writes() {
    let mut request = from_ann(());
    request.set_timeout(Duration::from_secs(10));
    let headers = sent(request, true).await.unwrap();
    for name in ["grpc-timeout", "content-type", "te", "caller", "trace-bin"] {
        assert!(headers.contains_key(name), "{name}");
    }
    // With compression on, tonic writes these too.
    for name in ["grpc-encoding", "grpc-accept-encoding"] {
        assert!(guard::interceptor(named(name)).is_ok());
    }
}

#[test]
fn at_the_call_the_guard_refuses_all_reserved_names_but_a_timeout() {
    for name in [
        "grpc-cost",
        "grpc-encoding",
        "grpc-status",
        "content-type",
        "te",
    ] {
        let status = guard::checked(named(name)).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(name), "{status}");
    }
    let mut request = from_ann(());
    request.set_timeout(Duration::from_secs(10));
    assert!(guard::checked(request).is_ok());
}

#[test]
fn the_guard_refuses_names_that_http_allows_and_grpc_does_not() {
    for name in ["x!", "x#y", "x~"] {
        let status = guard::checked(named(name)).unwrap_err();
        assert!(status.message().starts_with(name), "{status}");
    }
    for name in ["x", "x-1_y.z", "grpcs", "x-grpc-y"] {
        assert!(guard::checked(named(name)).is_ok(), "{name}");
    }
}
