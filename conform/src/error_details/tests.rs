use http_body::Frame;
use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::testing::{Frames, call, channel, framed, read};

/// `Zm9v` is "foo".
const VALUES: [(&str, Option<&[u8]>); 10] = [
    ("Zm9v", Some(b"foo")),
    ("Zm8=", Some(b"fo")),
    ("Zm8", Some(b"fo")),
    ("", Some(b"")),
    ("Zm8=,Zm9v", Some(b"fo")),
    ("Zm8 , Zm9v", Some(b"fo")),
    ("Zm8,!", Some(b"fo")),
    ("!", None),
    ("!,Zm9v", None),
    ("Zm9v=", None),
];

/// A server whose error has these details, in its headers or in its trailers.
fn server(
    lines: &'static [&'static str],
    in_trailers: bool,
) -> impl Service<
    Request<Body>,
    Response = Response<Body>,
    Error = StdError,
    Future = std::future::Ready<Result<Response<Body>, StdError>>,
> + Clone {
    channel(move |_| {
        let mut error = HeaderMap::new();
        error.insert("grpc-status", HeaderValue::from_static("9"));
        error.insert("grpc-message", HeaderValue::from_static("not now"));
        error.insert("more", HeaderValue::from_static("metadata"));
        for line in lines {
            error.append(DETAILS, HeaderValue::from_static(line));
        }
        let mut response = Response::new(Body::default());
        let content_type = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", content_type);
        if in_trailers {
            let data = Ok(Frame::data(framed(b"reply")));
            *response.body_mut() = Body::new(Frames::new([data, Ok(Frame::trailers(error))]));
        } else {
            response.headers_mut().extend(error);
        }
        Ok(response)
    })
}

async fn error(lines: &'static [&'static str], in_trailers: bool) -> Status {
    let channel = SanitizeDetailsLayer::new().layer(server(lines, in_trailers));
    read(channel).await.1.unwrap_err()
}

#[tokio::test]
async fn malformed_details_are_taken_away_and_the_error_stays() {
    for (value, details) in VALUES {
        let lines: &'static [_] = Box::leak(Box::new([value]));
        for in_trailers in [false, true] {
            let status = error(lines, in_trailers).await;
            assert_eq!(status.code(), Code::FailedPrecondition, "{value}");
            assert_eq!(status.message(), "not now");
            assert_eq!(status.metadata().get("more").unwrap(), "metadata");
            assert_eq!(status.details(), details.unwrap_or_default(), "{value}");
        }
    }
}

#[tokio::test]
async fn the_first_of_several_headers_counts_as_in_tonic() {
    assert_eq!(error(&["Zm8", "!"], true).await.details(), b"fo");
    assert_eq!(error(&["!", "Zm8"], true).await.details(), b"");
}

#[tokio::test]
async fn tonic_alone_panics() {
    for value in ["!", "Zm8=,Zm9v"] {
        for in_trailers in [false, true] {
            let lines: &'static [_] = Box::leak(Box::new([value]));
            let read = tokio::spawn(read(server(lines, in_trailers)));
            assert!(read.await.unwrap_err().is_panic(), "{value}");
        }
    }
}

/// A layer that reads the status of each response, as one that counts errors does.
fn reader<S>() -> impl Layer<
    S,
    Service: Service<Request<Body>, Response = Response<Body>, Error = StdError, Future: Send>
                 + Clone
                 + Send,
>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = StdError, Future: Send>
        + Clone
        + Send,
{
    tower::util::MapResponseLayer::new(|response: Response<Body>| {
        let status = Status::from_header_map(response.headers());
        assert_eq!(status.unwrap().code(), Code::FailedPrecondition);
        response
    })
}

#[tokio::test]
async fn what_reads_a_status_is_safe_outside_and_panics_inside() {
    let lines = &["!"];
    let outside = reader().layer(SanitizeDetailsLayer::new().layer(server(lines, false)));
    let status = call(outside, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);

    let inside = SanitizeDetailsLayer::new().layer(reader().layer(server(lines, false)));
    let panicked = tokio::spawn(call(inside, "hello")).await.unwrap_err();
    let cause = panicked.into_panic();
    let text = cause.downcast_ref::<String>().unwrap();
    assert!(text.starts_with("Invalid status header"), "{text}");
}

#[tokio::test]
async fn what_is_well_is_not_touched() {
    let mut headers = HeaderMap::new();
    for (value, details) in VALUES {
        headers.insert(DETAILS, HeaderValue::from_static(value));
        sanitize_map(&mut headers);
        assert_eq!(headers.contains_key(DETAILS), details.is_some(), "{value}");
        if !value.contains(',') && details.is_some() {
            assert_eq!(headers[DETAILS], value);
        }
    }
    headers.remove(DETAILS);
    headers.insert("other-bin", HeaderValue::from_static("!"));
    sanitize_map(&mut headers);
    assert_eq!(headers["other-bin"], "!");

    let ended = Status::aborted("").into_http::<Body>();
    assert!(sanitize(ended).body().is_end_stream());
    let broken = channel(|_| Err::<Response<Body>, _>("no route"));
    let status = call(SanitizeDetails::new(broken), "hello").await;
    assert_eq!(status.unwrap_err().code(), Code::Unknown);
}

fn details(type_url: &str, seconds: i64, nanos: i32) -> Vec<u8> {
    let delay = Delay { seconds, nanos };
    let retry_delay = Some(delay);
    let other = Any {
        type_url: "type.googleapis.com/google.rpc.Help".into(),
        value: Vec::new(),
    };
    let info = Any {
        type_url: type_url.into(),
        value: RetryInfo { retry_delay }.encode_to_vec(),
    };
    let details = vec![other, info];
    RpcStatus { details }.encode_to_vec()
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
const LONGEST: i64 = 315_576_000_000;

#[test]
fn a_delay_that_is_no_time_makes_details_malformed() {
    for (seconds, nanos, is_kept) in [
        (0, 0, true),
        (LONGEST, 999_999_999, true),
        (-LONGEST, -999_999_999, true),
        (LONGEST + 1, 0, false),
        (-LONGEST - 1, 0, false),
        (0, 1_000_000_000, false),
        (0, -1_000_000_000, false),
        (i64::MIN, 0, false),
    ] {
        let details = details(RETRY_INFO, seconds, nanos);
        let status = Status::with_details(Code::Aborted, "", details.clone().into());
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        sanitize_map(&mut headers);
        let status = Status::from_header_map(&headers).unwrap();
        let expected = if is_kept { &details[..] } else { b"" };
        assert_eq!(status.details(), expected, "{seconds} {nanos}");
        let _does_not_panic = status.get_error_details();
    }
}

#[test]
#[cfg(debug_assertions)]
fn tonic_types_alone_panics() {
    let details = details(RETRY_INFO, i64::MIN, 0);
    let status = Status::with_details(Code::Aborted, "", details.into());
    let decodes = std::thread::spawn(move || drop(status.get_error_details()));
    decodes.join().unwrap_err();
}

#[test]
fn the_delay_is_what_the_server_asks_for() {
    let delay =
        |details: Vec<u8>| retry_delay(&Status::with_details(Code::Aborted, "", details.into()));
    let of = |seconds, nanos| delay(details(RETRY_INFO, seconds, nanos));
    assert_eq!(of(2, 5), Some(Duration::new(2, 5)));
    assert_eq!(of(0, 0), Some(Duration::ZERO));
    assert_eq!(of(-2, 0), Some(Duration::ZERO));
    assert_eq!(of(0, -5), Some(Duration::ZERO));
    assert_eq!(of(i64::MIN, 0), None);
    assert_eq!(
        delay(details("type.googleapis.com/google.rpc.Help", 2, 5)),
        None
    );
    assert_eq!(delay(b"not protobuf".into()), None);
    assert_eq!(delay(vec![]), None);
    // What tonic-types writes is read.
    let written = tonic_types::ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
    let status = Status::with_error_details(Code::Unavailable, "", written);
    assert_eq!(retry_delay(&status), Some(Duration::from_millis(1500)));
}

#[test]
fn a_layer_is_as_ready_as_what_it_wraps() {
    crate::testing::passes_on_readiness(SanitizeDetailsLayer::new());
}

#[tokio::test]
async fn without_the_layer_a_call_ends_with_internal_and_nothing_is_printed() {
    for in_trailers in [false, true] {
        let call = async { read(server(&["!"], in_trailers)).await.1.map(drop) };
        let status = catch_malformed(call).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.message(), "an error came with malformed details");
    }
    let call = async { read(server(&["Zm8"], true)).await.1.map(drop) };
    let status = catch_malformed(call).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::FailedPrecondition,
        "what is legal stays"
    );
    assert_eq!(
        catch_malformed(async { Ok::<_, Status>(7) }).await.unwrap(),
        7
    );
}

#[tokio::test]
async fn other_panics_go_on() {
    let call = tokio::spawn(catch_malformed::<(), Status>(async { panic!("a bug") }));
    let panic = call.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"a bug"));
}
