//! Many calls at once over one connection.

use super::*;

#[tokio::test]
async fn ten_slow_calls_at_once_take_as_long_as_one() {
    let (endpoint, mut lines) = start().await;
    let channel = endpoint.connect().await.unwrap();
    let begin = Instant::now();
    let roots = try_join_all([900.0; 10].map(|value| square_root(&channel, value)));
    assert_eq!(roots.await.unwrap(), [30.0; 10]);
    let took = begin.elapsed();
    assert!(
        took < Duration::from_millis(4500),
        "in a row they take nine seconds: {took:?}"
    );
    assert!(
        took >= Duration::from_millis(900),
        "each of them takes 900 ms: {took:?}"
    );
    assert_eq!(
        count(&mut lines, 10).await,
        (1, 10),
        "connections, and calls at once"
    );
}

#[tokio::test]
async fn one_slow_call_does_not_hold_up_the_others() {
    let (endpoint, _lines) = start().await;
    let channel = endpoint.connect().await.unwrap();
    let mut slow = Box::pin(square_root(&channel, LONG));
    assert!(poll_immediate(&mut slow).await.is_none());
    for _ in 0..10 {
        let root = soon("a quick root", square_root(&channel, 4.0)).await;
        assert_eq!(root.unwrap(), 2.0);
    }
    assert!(
        poll_immediate(&mut slow).await.is_none(),
        "it needs a minute"
    );
}

#[tokio::test]
async fn answers_come_as_they_are_ready() {
    let (endpoint, _lines) = start().await;
    let channel = endpoint.connect().await.unwrap();
    let calls = [1600.0, 900.0, 400.0].map(|value| square_root(&channel, value));
    let answers = FuturesUnordered::from_iter(calls);
    let roots: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(roots, [20.0, 30.0, 40.0]);
}

#[tokio::test]
async fn clones_share_one_connection() {
    let (endpoint, mut lines) = start().await;
    let clones = vec![endpoint.connect_lazy(); 10];
    let calls = clones.iter().map(|clone| square_root(clone, 100.0));
    try_join_all(calls).await.unwrap();
    assert_eq!(count(&mut lines, 10).await.0, 1);
}

#[tokio::test]
async fn a_channel_for_each_call_costs_a_connection_for_each_call() {
    let (endpoint, mut lines) = start().await;
    for _ in 0..10 {
        let channel = endpoint.connect().await.unwrap();
        square_root(&channel, 0.0).await.unwrap();
    }
    assert_eq!(count(&mut lines, 10).await.0, 10);
}

#[tokio::test]
async fn what_has_no_root_is_refused_and_the_rest_takes_a_minute_at_most() {
    let (endpoint, _lines) = start().await;
    let channel = endpoint.connect().await.unwrap();
    for (value, message) in [
        (-4.0, "no real number is the square root of -4"),
        (f64::NAN, "no real number is the square root of NaN"),
    ] {
        let refused = soon("a refusal", square_root(&channel, value)).await;
        let status = refused.unwrap_err();
        let expected = (Code::InvalidArgument, message);
        assert_eq!((status.code(), status.message()), expected);
    }
    // A duration has no room for these. The handler must not panic.
    for value in [f64::MAX, f64::INFINITY] {
        let mut slow = Box::pin(square_root(&channel, value));
        assert!(poll_immediate(&mut slow).await.is_none());
        square_root(&channel, 0.0).await.unwrap();
        assert!(
            poll_immediate(&mut slow).await.is_none(),
            "{value} takes a minute"
        );
    }
}
