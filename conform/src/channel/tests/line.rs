//! Connections on which no stream can begin: SETTINGS_MAX_CONCURRENT_STREAMS is 0.

use tokio::sync::mpsc;

use super::*;
use crate::balance::MOST_IN_VAIN;

/// Who accepts connections, lets nobody call, and says when one has begun, true, or ended, false.
async fn full() -> (Served, mpsc::UnboundedReceiver<bool>) {
    let (tell, told) = mpsc::unbounded_channel();
    let served = peer(move |stream| {
        let tell = tell.clone();
        async move {
            let mut builder = h2::server::Builder::new();
            builder.max_concurrent_streams(0);
            let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
            tell.send(true).unwrap();
            assert!(!matches!(connection.accept().await, Some(Ok(_))));
            let _ = tell.send(false);
        }
    });
    (served.await, told)
}

/// Begins a call, and gives it up.
fn give_up(channel: &Channel) {
    let call = call(channel.clone(), "request");
    assert!(futures::FutureExt::now_or_never(call).is_none());
}

async fn connected(server: &Served) -> Channel {
    let fleet = Manual::new("fleet");
    fleet.set(backends([server]));
    let channel = channel(&fleet, ROUND_ROBIN);
    channel.connect();
    let ready = async {
        while channel.state().get() != State::Ready {
            tokio::task::yield_now().await;
        }
    };
    soon(ready).await;
    channel
}

/// RFC 9113, section 6.5.2: such a limit isn't special, but what waits for it is bounded.
#[tokio::test]
async fn a_connection_that_answers_nobody_is_given_up() {
    let (server, mut told) = full().await;
    let channel = connected(&server).await;
    assert_eq!(soon(told.recv()).await, Some(true));
    for _ in 1..MOST_IN_VAIN {
        give_up(&channel);
    }
    assert_eq!(channel.state().get(), State::Ready, "not yet");
    give_up(&channel);
    // It's closed, and there is another, whichever comes first.
    let news = BTreeSet::from([soon(told.recv()).await, soon(told.recv()).await]);
    assert_eq!(news, BTreeSet::from([Some(false), Some(true)]));
}

#[tokio::test]
async fn a_channel_leaves_no_connection_behind_that_lets_no_stream_begin() {
    let (server, mut told) = full().await;
    let channel = connected(&server).await;
    assert_eq!(soon(told.recv()).await, Some(true));
    // One waits in the connection for its stream, the other for the first.
    let patience = Duration::from_millis(100);
    let calls = [(); 2].map(|()| tokio::time::timeout(patience, answer(&channel)));
    assert!(
        futures::future::join_all(calls)
            .await
            .iter()
            .all(Result::is_err)
    );
    drop(channel);
    assert_eq!(soon(told.recv()).await, Some(false));
}
