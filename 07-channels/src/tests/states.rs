//! What the observer shows, with a road on which each connection waits until the test lets it pass.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tower::service_fn;

use super::*;
use crate::address::dial;
use crate::observer::{State, observe};

/// A lazy channel to `url` that connects when the semaphore allows it, and its state.
fn watched(url: &str, pass: &Arc<Semaphore>) -> (Channel, watch::Receiver<State>) {
    watched_within(Duration::from_secs(30), url, pass)
}

fn watched_within(
    patience: Duration,
    url: &str,
    pass: &Arc<Semaphore>,
) -> (Channel, watch::Receiver<State>) {
    let (url, pass) = (url.to_owned(), pass.clone());
    let (connector, states) = observe(service_fn(move |_| {
        let (url, pass) = (url.clone(), pass.clone());
        async move {
            pass.acquire().await.unwrap().forget();
            dial(&url).await
        }
    }));
    let endpoint = Endpoint::from_static("http://calculator").connect_timeout(patience);
    (endpoint.connect_with_connector_lazy(connector), states)
}

async fn until(states: &mut watch::Receiver<State>, wanted: State) {
    soon(states.wait_for(|&state| state == wanted))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_channel_is_idle_then_connecting_then_ready_then_idle_again() {
    let (address, stop, _lines) = outage::serve_until_told("127.0.0.1:0").await;
    let pass = Arc::new(Semaphore::new(0));
    let (channel, mut states) = watched(&format!("http://{address}"), &pass);
    assert_eq!(*states.borrow(), State::Idle);

    let call = tokio::spawn({
        let channel = channel.clone();
        async move { square_root(&channel, 16.0).await }
    });
    until(&mut states, State::Connecting).await;
    pass.add_permits(1);
    assert_eq!(soon(call).await.unwrap().unwrap(), 4.0);
    assert_eq!(*states.borrow(), State::Ready);

    let _task = stop.stop();
    until(&mut states, State::Idle).await;
    drop(channel);
}

#[tokio::test]
async fn a_failure_lasts_until_the_next_call_which_tries_again_at_once() {
    let pass = Arc::new(Semaphore::new(1));
    let (channel, mut states) = watched(NOBODY, &pass);
    for _ in 0..3 {
        let status = soon(square_root(&channel, 16.0)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(*states.borrow(), State::TransientFailure);
        // gRPC's other libraries would now wait for a second, and longer each time.
        let mut call = Box::pin(square_root(&channel, 16.0));
        assert!(poll_immediate(&mut call).await.is_none());
        until(&mut states, State::Connecting).await;
        pass.add_permits(1);
        soon(call).await.unwrap_err();
        pass.add_permits(1);
    }
}

/// gRPC's other libraries answer UNAVAILABLE, and so does tonic when it connects by itself.
#[tokio::test]
async fn a_connection_that_takes_too_long_is_a_failure() {
    let never = Arc::new(Semaphore::new(0));
    let (channel, states) = watched_within(Duration::from_millis(50), NOBODY, &never);
    let status = soon(square_root(&channel, 16.0)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert_eq!(*states.borrow(), State::TransientFailure);
}

#[tokio::test]
async fn the_states_end_with_the_channel() {
    let (endpoint, _lines) = start().await;
    let pass = Arc::new(Semaphore::new(1));
    let (channel, mut states) = watched(&endpoint.uri().to_string(), &pass);
    square_root(&channel, 16.0).await.unwrap();
    let clone = channel.clone();
    drop(channel);
    assert_eq!(square_root(&clone, 16.0).await.unwrap(), 4.0);
    assert_eq!(*states.borrow_and_update(), State::Ready);
    drop(clone);
    let end = async { while states.changed().await.is_ok() {} };
    soon(end).await;
    assert_eq!(*states.borrow(), State::Idle);
}
