//! What a new connection for each call costs, measured.

use super::*;

const ROUNDS: usize = 10;
const CALLS: usize = 50;

/// Everything runs on this machine. Over a network each connection also travels there and back.
#[tokio::test]
#[ignore = "benchmark: calls on one connection against a connection for each call"]
async fn benchmark_one_connection_against_one_for_each_call() {
    let (endpoint, _lines) = start().await;
    let channel = endpoint.connect().await.unwrap();
    let (mut shared, mut own) = (Vec::new(), Vec::new());
    // In turn, so that whatever else the machine does slows both alike.
    for _ in 0..ROUNDS {
        for _ in 0..CALLS {
            let begin = Instant::now();
            square_root(&channel, 0.0).await.unwrap();
            shared.push(begin.elapsed());
        }
        for _ in 0..CALLS {
            let begin = Instant::now();
            let channel = endpoint.connect().await.unwrap();
            square_root(&channel, 0.0).await.unwrap();
            own.push(begin.elapsed());
        }
    }
    let (shared, own) = (median(shared), median(own));
    let factor = own.as_secs_f64() / shared.as_secs_f64();
    println!("a call on an open connection, median: {shared:?}");
    println!("a connection and a call, median: {own:?}");
    println!("factor: {factor:.1}");
    assert!(factor > 1.0);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
