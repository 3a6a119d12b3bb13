use tonic::GrpcMethod;
use tonic::codegen::http::Version;

use super::*;

pub(crate) mod script;

fn headers(values: &[&str]) -> HeaderMap {
    let values = values.iter();
    values
        .map(|value| (PUSHBACK.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

// gRFC A6, "Pushback"
#[test]
fn a_pushback_is_a_signed_number_of_32_bits() {
    for (values, expected) in [
        (&[][..], Pushback::None),
        (&["0"], Pushback::After(Duration::ZERO)),
        (&["70"], Pushback::After(Duration::from_millis(70))),
        (
            &["2147483647"],
            Pushback::After(Duration::from_millis(2_147_483_647)),
        ),
        (&["2147483648"], Pushback::Stop),
        (&["-1"], Pushback::Stop),
        (&["-0"], Pushback::Stop),
        (&["+1"], Pushback::Stop),
        (&["07"], Pushback::Stop),
        (&["00"], Pushback::Stop),
        (&["7ms"], Pushback::Stop),
        (&["1.5"], Pushback::Stop),
        (&[""], Pushback::Stop),
        (&["5", "5"], Pushback::Stop),
    ] {
        assert_eq!(pushback(&headers(values)), expected, "{values:?}");
    }
}

// gRFC A6, "Validation of retryThrottling"
#[test]
fn a_throttle_has_bounds() {
    for (max, ratio, sentence) in [
        (0, 1, "maxTokens must be from 1 to 1000"),
        (1001, 1, "maxTokens must be from 1 to 1000"),
        (1, 0, "tokenRatio must be at least 0.001"),
    ] {
        let error = Throttle::new(max, ratio).unwrap_err();
        assert_eq!(error.to_string(), sentence);
    }
    Throttle::new(1, u32::MAX).unwrap();
    Throttle::new(1000, 1).unwrap();
}

// gRFC A6, "Throttling Retry Attempts and Hedged RPCs"
#[test]
fn tokens_are_counted_in_thousandths_and_clones_share_them() {
    let throttle = Throttle::new(3, 546).unwrap();
    let clone = throttle.clone();
    assert_eq!(clone.thousandths(), 3000);
    throttle.succeeded();
    assert_eq!(clone.thousandths(), 3000);
    for (left, is_open) in [(2000, true), (1000, false), (0, false), (0, false)] {
        throttle.failed();
        assert_eq!((clone.thousandths(), clone.is_open()), (left, is_open));
    }
    for (left, is_open) in [(546, false), (1092, false), (1638, true), (2184, true)] {
        clone.succeeded();
        assert_eq!(
            (throttle.thousandths(), throttle.is_open()),
            (left, is_open)
        );
    }
    (0..10).for_each(|_| throttle.succeeded());
    assert_eq!(clone.thousandths(), 3000);
    let large = Throttle::new(1000, u32::MAX).unwrap();
    large.failed();
    large.succeeded();
    assert_eq!(large.thousandths(), 1_000_000);
}

// gRFC A6: at half of the tokens nothing is sent again.
#[test]
fn half_of_the_tokens_are_too_few() {
    let throttle = Throttle::new(4, 1).unwrap();
    throttle.failed();
    throttle.failed();
    assert_eq!(throttle.thousandths(), 2000);
    assert!(!throttle.is_open());
    throttle.succeeded();
    assert!(throttle.is_open());
}

#[test]
fn each_code_is_in_its_own_set() {
    let all = (0..=16).map(Code::from_i32);
    for code in all.clone() {
        let codes: Codes = [code].into_iter().collect();
        for other in all.clone() {
            assert_eq!(codes.contains(other), code == other);
        }
    }
    assert!(Codes::default().is_empty());
    // gRFC A6, "Validation of retryPolicy", has nothing against a code that is listed twice.
    let twice: Codes = [Code::Aborted, Code::Aborted].into_iter().collect();
    assert!(twice.contains(Code::Aborted));
}

#[test]
fn a_body_that_counts_is_as_long_as_the_one_inside() {
    let counted = |inner: Body| {
        let throttle = Throttle::new(1, 1).unwrap();
        let failures = Codes::default();
        counted::Counted::new(inner, counted::Count { throttle, failures })
    };
    let body = counted(Body::new(http_body_util::Full::new(Bytes::from("reply"))));
    assert_eq!(
        (body.is_end_stream(), body.size_hint().exact()),
        (false, Some(5))
    );
    assert!(counted(Body::empty()).is_end_stream());
}

#[test]
fn a_call_that_was_dropped_says_so() {
    assert_eq!(NoRetry.to_string(), "the call was dropped on purpose");
}

/// An extension of the caller's own.
#[derive(Clone, Debug, PartialEq)]
struct Own(u32);

/// What `head` hands out for one attempt after another is the same.
fn all_the_same(request: Request<()>) {
    let (parts, ()) = request.into_parts();
    let expected = parts.clone();
    let mut head = Head::new(parts);
    for _ in 1..=3 {
        let parts = head.next(false).unwrap();
        assert_eq!(parts.method, expected.method);
        assert_eq!(parts.uri, expected.uri);
        assert_eq!(parts.version, expected.version);
        assert_eq!(parts.headers, expected.headers);
        let (got, wanted) = (&parts.extensions, &expected.extensions);
        assert_eq!(got.len(), wanted.len());
        assert_eq!(got.get::<Own>(), wanted.get::<Own>());
        assert_eq!(got.get::<Deadline>(), wanted.get::<Deadline>());
        let methods = [got, wanted].map(|it| it.get::<GrpcMethod<'static>>().map(|it| it.method()));
        assert_eq!(methods[0], methods[1]);
        let marks = [got, wanted].map(|it| it.get::<IsAttempt>().is_some());
        assert_eq!(marks[0], marks[1]);
        let calls = [got, wanted].map(|it| it.get::<PerCall>().map(|it| it.throttle.is_some()));
        assert_eq!(calls[0], calls[1]);
    }
}

#[test]
fn each_attempt_has_the_whole_head() {
    let request = || {
        let request = Request::post("http://localhost/a.B/C").version(Version::HTTP_2);
        let request = request.header("x-own", "one").header("te", "trailers");
        request.header("x-own", "two").body(()).unwrap()
    };
    all_the_same(request());
    let mut own = request();
    own.extensions_mut().insert(Own(1));
    all_the_same(own);
    let mut usual = request();
    usual.extensions_mut().insert(GrpcMethod::new("a.B", "C"));
    usual
        .extensions_mut()
        .insert(Deadline::after(Duration::from_secs(1)).unwrap());
    usual.extensions_mut().insert(IsAttempt);
    let call = PerCall {
        throttle: Throttle::new(1, 1).ok(),
        ..PerCall::default()
    };
    usual.extensions_mut().insert(call);
    all_the_same(usual.clone());
    usual.extensions_mut().insert(Own(1));
    all_the_same(usual);
}

#[test]
fn nothing_is_kept_after_the_last_attempt() {
    let (parts, ()) = Request::new(()).into_parts();
    let mut head = Head::new(parts);
    assert!(head.next(true).is_some());
    assert!(head.next(false).is_none());
}
