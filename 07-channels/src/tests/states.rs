//! What a watched channel tells of itself.

use super::*;
use crate::tests::outage::serve_until_told;

#[tokio::test]
async fn a_channel_is_idle_then_ready_then_idle_again() {
    let (address, stop, _lines) = serve_until_told("127.0.0.1:0").await;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let (channel, mut states) = watched(&endpoint);
    assert_eq!(*states.borrow(), State::Idle);
    assert_eq!(square_root(&channel, 16.0).await.unwrap(), 4.0);
    assert_eq!(*states.borrow(), State::Ready);
    let _task = stop.stop();
    let idle = states.wait_for(|&state| state == State::Idle);
    soon("the end of the connection", idle).await.unwrap();
}

#[tokio::test]
async fn a_failure_lasts_until_the_next_call() {
    let (channel, states) = watched(&Endpoint::from_static(NOBODY));
    for _ in 0..3 {
        let failed = soon("a failed call", square_root(&channel, 16.0)).await;
        assert_eq!(failed.unwrap_err().code(), Code::Unavailable);
        assert_eq!(*states.borrow(), State::TransientFailure);
    }
}

#[tokio::test]
async fn the_states_end_with_the_channel() {
    let (endpoint, _lines) = start().await;
    let (channel, mut states) = watched(&endpoint);
    square_root(&channel, 16.0).await.unwrap();
    let clone = channel.clone();
    drop(channel);
    assert_eq!(square_root(&clone, 16.0).await.unwrap(), 4.0);
    assert_eq!(*states.borrow_and_update(), State::Ready);
    drop(clone);
    let end = async { while states.changed().await.is_ok() {} };
    soon("the end of the states", end).await;
    assert_eq!(*states.borrow(), State::Idle);
}
