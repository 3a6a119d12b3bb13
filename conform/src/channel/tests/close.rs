//! The end of a channel: `ManagedChannel.shutdown` of grpc-java is the model.

use futures::{FutureExt, StreamExt};

use super::*;

/// It isn't there, and doesn't come.
async fn stays_away(closed: &mut (impl Future<Output = ()> + Unpin)) {
    for _ in 0..100 {
        tokio::task::yield_now().await;
        assert!(futures::poll!(&mut *closed).is_pending());
    }
}

#[tokio::test]
async fn a_channel_that_is_closed_takes_no_more_calls_and_lets_running_ones_end() {
    let (server, go_on, count) = held().await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, ROUND_ROBIN);
    let running = tokio::spawn({
        let channel = channel.clone();
        async move { answer(&channel).await }
    });
    soon(async {
        while count.load(Ordering::SeqCst) < 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let clone = channel.clone();
    let mut state = clone.state();
    let mut closed = Box::pin(channel.close());
    assert_eq!(
        soon(state.changed_from(State::Ready)).await,
        Some(State::Shutdown)
    );
    assert_eq!(state.get(), State::Shutdown);
    assert_eq!(channel.state().get(), State::Shutdown);
    for channel in [&channel, &clone] {
        let status = call(channel.clone(), "request").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("closed"), "{status}");
        // It's at once, also for those that would wait.
        let waiting = calls(channel, WaitForReady(true)).now_or_never();
        assert_eq!(waiting.unwrap().unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1, "they were sent nowhere");
    stays_away(&mut closed).await;
    go_on.send(true).unwrap();
    assert_eq!(soon(running).await.unwrap().unwrap(), "held");
    soon(closed).await;
    // Once more, and nobody waits for anything.
    soon(clone.close()).await;
    drop((channel, clone));
    assert_eq!(soon(state.changed_from(State::Shutdown)).await, None);
}

#[tokio::test]
async fn a_call_that_waits_when_its_channel_is_closed_is_made_all_the_same() {
    let fleet = Manual::new("fleet");
    let channel = channel(&fleet, ROUND_ROBIN);
    // One waits for its config, the other one for a connection.
    let mut late = Box::pin(answer(&channel));
    assert!(futures::poll!(&mut late).is_pending());
    let mut closed = Box::pin(channel.close());
    let server = named("one").await;
    fleet.set(Update::new([Backend::at(nowhere().await)]));
    assert_eq!(soon(late).await, Err(Code::Unavailable));
    soon(&mut closed).await;

    let channel = super::channel(&fleet, ROUND_ROBIN);
    let mut waiting = Box::pin(calls(&channel, WaitForReady(true)));
    assert!(futures::poll!(&mut waiting).is_pending());
    let mut closed = Box::pin(channel.close());
    fleet.set(backends([&server]));
    assert_eq!(soon(waiting).await.unwrap().get_ref(), "one");
    soon(&mut closed).await;
}

/// The end of a stream is that of its messages, or of whoever reads them.
#[tokio::test]
async fn a_stream_is_open_until_its_end() {
    let server = serve(Identity::new(), replies(&[Ok(b"one"), Ok(b"two")])).await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    for reads_to_the_end in [true, false] {
        let channel = channel(&fleet, "{}");
        let requests = futures::stream::iter([Bytes::from_static(b"request")]);
        let mut stream = crate::testing::stream(channel.clone(), requests)
            .await
            .unwrap();
        let mut closed = Box::pin(channel.close());
        stream.next().await.unwrap().unwrap();
        stays_away(&mut closed).await;
        if reads_to_the_end {
            while stream.next().await.is_some() {}
            soon(closed).await;
        } else {
            drop(stream);
            soon(closed).await;
        }
    }
}

/// A call that is dropped has ended; and a channel that was never used has none.
#[tokio::test]
async fn nobody_waits_for_calls_that_are_gone() {
    let (server, _go_on, count) = held().await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, "{}");
    let mut running = Box::pin(answer(&channel));
    soon(async {
        while count.load(Ordering::SeqCst) < 1 {
            assert!(futures::poll!(&mut running).is_pending());
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut closed = Box::pin(channel.close());
    stays_away(&mut closed).await;
    drop(running);
    soon(closed).await;
    soon(super::channel(&fleet, "{}").close()).await;
}

#[tokio::test]
async fn a_channel_that_is_closed_lets_go_of_its_connections() {
    let (ended, mut has_ended) = tokio::sync::mpsc::unbounded_channel();
    let server = crate::testing::peer(move |stream| {
        let ended = ended.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let status = Status::ok("").into_http::<()>();
                respond.send_response(status, true).unwrap();
            }
            let _ = ended.send(());
        }
    });
    let server = server.await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&server]));
    let channel = channel(&fleet, ROUND_ROBIN);
    channel.connect();
    soon(channel.state().wait_for(State::Ready)).await.unwrap();
    assert!(has_ended.try_recv().is_err());
    soon(channel.close()).await;
    soon(has_ended.recv()).await.unwrap();
}
