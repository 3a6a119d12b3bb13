use super::*;

// gRFC A6, "Validation of retryPolicy"
#[test]
fn what_is_invalid_is_an_error() {
    let new = RetryPolicy::new;
    let (zero, one) = (Duration::ZERO, millis(1));
    let code = [Code::Aborted];
    for (policy, sentence) in [
        (
            new(0, one, one, 1.0, code),
            "maxAttempts must be at least 2",
        ),
        (
            new(1, one, one, 1.0, code),
            "maxAttempts must be at least 2",
        ),
        (
            new(2, zero, one, 1.0, code),
            "initialBackoff must be longer than 0s",
        ),
        (
            new(2, one, zero, 1.0, code),
            "maxBackoff must be longer than 0s",
        ),
        (
            new(2, one, one, 0.0, code),
            "backoffMultiplier must be a number above 0",
        ),
        (
            new(2, one, one, -1.0, code),
            "backoffMultiplier must be a number above 0",
        ),
        (
            new(2, one, one, f64::NAN, code),
            "backoffMultiplier must be a number above 0",
        ),
        (
            new(2, one, one, f64::INFINITY, code),
            "backoffMultiplier must be a number above 0",
        ),
    ] {
        assert_eq!(policy.unwrap_err().to_string(), sentence);
    }
    let error = RetryPolicy::new(2, one, one, 1.0, []).unwrap_err();
    assert_eq!(error.to_string(), "retryableStatusCodes must not be empty");
    assert_eq!(
        new(2, one, one, f64::MIN_POSITIVE, code)
            .unwrap()
            .max_attempts(),
        2
    );
}

// gRFC A6, "Limits on Retries and Hedges"
#[test]
fn more_than_five_attempts_are_five() {
    for (given, taken) in [(2, 2), (5, 5), (6, 5), (u32::MAX, 5)] {
        assert_eq!(policy(given).max_attempts(), taken);
    }
}

// gRFC A6, "Exponential Backoff"
#[test]
fn a_pause_grows_up_to_its_limit() {
    let pauses: Vec<_> = (0..5).map(|n| policy(5).pause(n, 1.0)).collect();
    assert_eq!(pauses, [100, 200, 300, 300, 300].map(millis));
    assert_eq!(policy(5).pause(1, 0.8), millis(160));
    assert_eq!(policy(5).pause(1, 1.2), millis(240));
    // The jitter is applied after the limit.
    assert_eq!(policy(5).pause(9, 1.2), millis(360));
    let shrinking = RetryPolicy::new(5, millis(100), millis(300), 0.5, [Code::Aborted]).unwrap();
    assert_eq!(shrinking.pause(2, 1.0), millis(25));
}

#[test]
fn the_longest_pauses_are_durations_too() {
    let longest = RetryPolicy::new(5, Duration::MAX, Duration::MAX, f64::MAX, [Code::Aborted]);
    let longest = longest.unwrap();
    for n in 0..5 {
        assert!(longest.pause(n, 1.2) > Duration::from_secs(u64::MAX / 2));
    }
}

#[test]
fn codes_are_those_that_were_listed() {
    for code in (0..=16).map(Code::from_i32) {
        let expected = [Code::Unavailable, Code::Aborted].contains(&code);
        assert_eq!(policy(2).is_retryable(code), expected);
    }
}
