//! The exercises.

use super::*;
use crate::pool::Pool;

type Call<'a> = std::pin::Pin<Box<dyn Future<Output = Result<f64, Status>> + 'a>>;

#[tokio::test]
#[ignore = "exercise 1: twenty calls at once, over all connections"]
async fn exercise_1_a_twenty_first_call_is_refused() {
    let (endpoint, _lines) = start().await;
    let (one, two) = (endpoint.connect_lazy(), endpoint.connect_lazy());
    let mut open: Vec<Call> = Vec::new();
    for channel in [&one, &two] {
        for _ in 0..10 {
            let mut call: Call = Box::pin(square_root(channel, LONG));
            let end = poll_immediate(&mut call).await;
            assert!(
                end.is_none(),
                "one of the first twenty calls ended at once: {end:?}"
            );
            open.push(call);
        }
        if open.len() == 10 {
            let eleventh = soon("the eleventh call", square_root(channel, 0.0)).await;
            eleventh.expect("ten calls are open, and an eleventh was refused");
        }
    }
    for round in 1..=3 {
        // On each of the two connections: the limit is the server's, not a connection's.
        for channel in [&two, &one] {
            let end = soon("an answer to call 21", square_root(channel, 0.0)).await;
            let end = end.map_err(|status| status.code());
            let expected = Err(Code::ResourceExhausted);
            assert_eq!(
                end, expected,
                "round {round}: twenty calls are open, and one more comes"
            );
        }
        drop(open.remove(0));
        let place = async { while square_root(&two, 0.0).await.is_err() {} };
        soon("a place for a call after one was cancelled", place).await;
        let mut call: Call = Box::pin(square_root(&two, LONG));
        assert!(poll_immediate(&mut call).await.is_none());
        open.push(call);
    }
    let refused = square_root(&two, -4.0).await.unwrap_err();
    assert_eq!(
        refused.code(),
        Code::ResourceExhausted,
        "the limit comes before the work"
    );
}

#[tokio::test]
#[ignore = "exercise 2: a pool of connections"]
async fn exercise_2_a_pool_uses_its_connections_in_turn() {
    let (endpoint, mut lines) = start().await;
    let pool = Pool::new(&endpoint, 3);
    let mut connections = Vec::new();
    for _ in 0..9 {
        square_root(&pool.channel(), 0.0).await.unwrap();
        connections.push(count(&mut lines, 1).await.0);
    }
    let expected = [1, 1, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        connections, expected,
        "new connections at each of nine calls, in a pool of 3"
    );

    // Calls at once are spread evenly, and a call that is over doesn't matter.
    let channels: Vec<_> = (0..6).map(|_| pool.channel()).collect();
    let calls = channels.iter().map(|channel| square_root(channel, 300.0));
    try_join_all(calls).await.unwrap();
    assert_eq!(
        count(&mut lines, 6).await,
        (0, 6),
        "new connections, and calls at once"
    );

    let empty = Pool::new(&endpoint, 0);
    let root = soon(
        "a call in a pool of size 0",
        square_root(&empty.channel(), 0.0),
    )
    .await;
    root.expect("a pool of size 0 has one connection");
}

#[test]
#[ignore = "exercise 3: calls from code that isn't async"]
fn exercise_3_blocking_code_asks_for_many_roots_at_once() {
    // The server has a runtime of its own, and `square_roots` has none around it.
    let elsewhere = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (endpoint, mut lines) = elsewhere.block_on(start());
    let url = endpoint.uri().to_string();

    let values = [400.0, 900.0, 225.0, 625.0, 400.0, 1600.0];
    let roots = crate::blocking::square_roots(&url, &values);
    let roots = roots.expect("the roots of six values");
    let expected = [20.0, 30.0, 15.0, 25.0, 20.0, 40.0];
    assert_eq!(roots, expected, "the roots of {values:?}, in this order");
    let counted = elsewhere.block_on(count(&mut lines, 6));
    assert_eq!(counted, (1, 6), "connections, and calls at once");

    let none = crate::blocking::square_roots(&url, &[]).unwrap();
    assert!(none.is_empty(), "the roots of no values: {none:?}");
    for (what, url, values) in [
        ("one value of two is negative", &*url, [1.0, -1.0]),
        ("there's no server", NOBODY, [1.0, 1.0]),
        ("the URL is malformed", "no URL", [1.0, 1.0]),
    ] {
        let roots = crate::blocking::square_roots(url, &values);
        assert!(roots.is_err(), "{what}: expected an error, got {roots:?}");
    }
}
