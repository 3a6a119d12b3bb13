//! Details that make no sense, from servers that are broken: tonic panics, and this lesson's client does not.

use prost::Message;
use prost::bytes::Bytes;
use tonic::codegen::http::HeaderValue;
use tonic_types::{ErrorDetail, ErrorDetails, pb};

use super::*;
use crate::details::{Detail, LONGEST_WAIT, read, wait};

async fn start_broken() -> Endpoint {
    let (listener, endpoint) = bind().await;
    tokio::spawn(broken::serve(listener));
    endpoint
}

/// Asserts that a task of tonic's client died of malformed details.
fn assert_panicked<T: std::fmt::Debug>(result: Result<T, tokio::task::JoinError>) {
    let panic = result.unwrap_err().into_panic();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("Invalid status header"), "{message}");
}

#[tokio::test]
async fn tonic_panics_over_malformed_details_in_headers() {
    let mut stub = SignupClient::new(start_broken().await.connect_lazy());
    let call = tokio::spawn(async move { stub.leave(Departure::default()).await });
    assert_panicked(call.await);
}

#[tokio::test]
async fn tonic_panics_over_malformed_details_in_trailers() {
    let mut stub = SignupClient::new(start_broken().await.connect_lazy());
    let call = tokio::spawn(async move {
        let answers = stub.register_all(Forms::default()).await.unwrap();
        read_all(answers.into_inner()).await
    });
    assert_panicked(call.await);
}

#[tokio::test]
async fn malformed_details_leave_the_rest_of_the_error() {
    let mut stub = SignupClient::new(harmless(start_broken().await.connect_lazy()));
    for _ in 0..2 {
        let in_headers = stub.leave(Departure::default()).await.unwrap_err();
        let answers = stub.register_all(Forms::default()).await.unwrap();
        let (cards, end) = read_all(answers.into_inner()).await;
        assert_eq!(cards, ["A1990"], "what came before stays");
        for status in [in_headers, end.unwrap_err()] {
            assert_eq!(status.code(), Code::PermissionDenied);
            assert_eq!(status.message(), "the details are malformed");
            assert!(status.details().is_empty());
        }
    }
}

/// A client of a service that answers everything with `status`.
fn answering(
    status: Status,
) -> SignupClient<
    impl tonic::client::GrpcService<
        tonic::body::Body,
        ResponseBody = tonic::body::Body,
        Error = std::convert::Infallible,
    >,
> {
    let service = tower::service_fn(move |_| {
        let response = status.clone().into_http::<tonic::body::Body>();
        std::future::ready(Ok(response))
    });
    SignupClient::new(harmless(service))
}

#[tokio::test]
async fn whatever_is_no_base64_is_harmless() {
    for value in [
        "%%%", "A", "AAAAA", "QR", "_-_-", "A A=", "CAM,CAM", "CAM, CAM", "====", "=", ",", "é",
    ] {
        let mut stub = answering(broken::malformed(
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        ));
        let status = stub.leave(Departure::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{value}");
        assert!(read(&status).is_empty(), "{value}");
    }
}

#[tokio::test]
async fn details_that_are_base64_pass_with_and_without_padding() {
    // google.rpc.Status with code 7.
    for value in ["CAc", "CAc=", "CAcSAA"] {
        let mut stub = answering(broken::malformed(
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        ));
        let status = stub.leave(Departure::default()).await.unwrap_err();
        assert_eq!(status.details()[..2], [8, 7], "{value}");
        assert!(read(&status).is_empty(), "{value}");
    }
}

#[tokio::test]
async fn an_unknown_detail_and_a_useless_one_do_not_cost_the_others() {
    let mut stub = SignupClient::new(harmless(start_broken().await.connect_lazy()));
    let status = stub.register(Form::default()).await.unwrap_err();
    let details = read(&status);
    let [good, unknown, useless] = &details[..] else {
        panic!("{details:?}");
    };
    assert_eq!(good.lines(), ["name is too beautiful"]);
    assert!(matches!(unknown, Detail::Unknown(url) if url.ends_with("/club.v2.Mood")));
    assert!(matches!(useless, Detail::Useless(url) if url.ends_with(".LocalizedMessage")));
    // tonic-types reads all or nothing, or one kind at a time.
    assert!(status.check_error_details().is_err());
    assert!(status.get_error_details().bad_request().is_none());
    assert!(status.get_error_details_vec().is_empty());
    assert!(status.get_details_bad_request().is_some());
}

/// A status whose one detail is a `RetryInfo` with this delay.
fn retry_after(seconds: i64, nanos: i32) -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
    let status = Status::with_error_details(Code::Unavailable, "", details);
    let mut inner = pb::Status::decode(status.details()).unwrap();
    let mut info = pb::RetryInfo::decode(&*inner.details[0].value).unwrap();
    let delay = info.retry_delay.as_mut().unwrap();
    (delay.seconds, delay.nanos) = (seconds, nanos);
    inner.details[0].value = info.encode_to_vec();
    Status::with_details(status.code(), "", Bytes::from(inner.encode_to_vec()))
}

/// Only in builds with overflow checks, which tests are.
#[test]
#[cfg(debug_assertions)]
#[should_panic = "attempt to negate with overflow"]
fn tonic_types_panics_over_a_delay_that_cannot_be_negated() {
    let _ = retry_after(i64::MIN, 0).get_error_details();
}

#[test]
fn a_delay_below_zero_is_useless_and_one_without_end_is_cut_short() {
    for (seconds, nanos) in [
        (i64::MIN, 0),
        (i64::MIN, i32::MIN),
        (-1, 0),
        (0, -1),
        (1, i32::MIN),
    ] {
        let details = read(&retry_after(seconds, nanos));
        assert!(
            matches!(details[..], [Detail::Useless(_)]),
            "{seconds} {nanos}"
        );
        assert_eq!(wait(&details), None);
    }
    for (seconds, nanos) in [(i64::MAX, 0), (i64::MAX, i32::MAX), (11, 0)] {
        let details = read(&retry_after(seconds, nanos));
        assert_eq!(wait(&details), Some(LONGEST_WAIT));
        assert!(details[0].lines()[0].starts_with("try again in"));
    }
    let details = read(&retry_after(1, 500_000_000));
    assert_eq!(wait(&details), Some(Duration::from_millis(1500)));
    assert_eq!(details[0].lines(), ["try again in 2 s"]);
}

#[test]
fn details_that_contradict_the_status_are_not_used() {
    let details = ErrorDetails::with_bad_request_violation("name", "is blank");
    let status = Status::with_error_details(Code::InvalidArgument, "", details);
    assert!(matches!(read(&status)[..], [Detail::Known(_)]));
    let bytes = Bytes::copy_from_slice(status.details());
    let status = Status::with_details(Code::NotFound, "", bytes);
    assert!(matches!(read(&status)[..], [Detail::Useless(_)]));
    // tonic-types does not look at it.
    assert!(status.get_error_details().bad_request().is_some());
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let details = retry_after(1, 1).details().to_vec();
    let mut details = [
        details,
        Status::with_error_details(
            Code::Unavailable,
            "",
            ErrorDetails::with_bad_request_violation("name", "is blank"),
        )
        .details()
        .to_vec(),
    ]
    .concat();
    // Every byte of a real one replaced by every other, and every prefix of it.
    for index in 0..details.len() {
        let byte = details[index];
        for other in 0..=u8::MAX {
            details[index] = other;
            read_and_show(&details);
        }
        details[index] = byte;
        read_and_show(&details[..index]);
    }
    // Messages in messages, without end.
    read_and_show(&[&[0x1a; 10_000][..], &[0xff; 10]].concat());
    // Bytes of no meaning.
    let mut state = 1_u64;
    for length in 0..2000 {
        let noise = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        });
        read_and_show(&noise.take(length % 64).collect::<Vec<_>>());
    }
}

fn read_and_show(details: &[u8]) {
    let details = Bytes::copy_from_slice(details);
    let details = read(&Status::with_details(Code::Unavailable, "", details));
    for detail in &details {
        assert!(detail.lines().len() <= 1000);
    }
    assert!(wait(&details).is_none_or(|wait| wait <= LONGEST_WAIT));
}

#[test]
fn a_known_detail_without_words_for_it_is_no_error() {
    let details = ErrorDetails::with_debug_info(["a stack".to_owned()], "");
    let status = Status::with_error_details(Code::Internal, "", details);
    let details = read(&status);
    assert!(matches!(
        details[..],
        [Detail::Known(ErrorDetail::DebugInfo(_))]
    ));
    assert_eq!(details[0].lines().len(), 1);
}
