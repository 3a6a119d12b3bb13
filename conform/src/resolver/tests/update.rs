//! How updates and requests pass between a resolver and its channel.

use std::sync::Arc;
use std::task::Poll;

use futures::FutureExt;
use futures::future::{BoxFuture, join};
use tokio::sync::oneshot;
use tonic::{Code, Status};

use super::*;
use crate::testing::soon;

fn update(port: u16) -> Update {
    Update::new([Backend::at(([127, 0, 0, 1], port).into())])
}

/// The one port of an update.
fn port(update: &Update) -> u16 {
    match update.backends.as_ref().unwrap()[0].addresses()[0] {
        Address::Tcp(address) => address.port(),
        _ => panic!("{update:?}"),
    }
}

#[test]
fn an_update_has_backends_or_an_error_and_perhaps_a_config() {
    assert!(update(1).service_config.is_none());
    let with = update(1).config("{}");
    assert_eq!(with.service_config.unwrap().unwrap(), "{}");
    // gRFC A21, "Implementation": "Irrespective of whether the parsing on the service config
    // failed or not, the resolver always returns the list of addresses from the update."
    let without = update(1).config_failed(Status::unavailable("no TXT"));
    assert_eq!(
        without.service_config.unwrap().unwrap_err().message(),
        "no TXT"
    );
    assert!(without.backends.is_ok());
    let failed = Update::failed(Status::unavailable("no DNS"));
    assert_eq!(failed.backends.unwrap_err().message(), "no DNS");
}

#[tokio::test]
async fn whoever_sends_hears_whether_it_could_be_used() {
    let (updates, mut receiver) = Updates::pair();
    for usable in [true, false] {
        let (answer, ()) = join(updates.send(update(7)), async {
            let delivery = receiver.next().await.unwrap();
            assert_eq!(port(&delivery.update), 7);
            delivery.verdict.give(usable);
        })
        .await;
        assert_eq!(answer, usable);
    }
    // A verdict that was forgotten isn't one.
    let (answer, ()) = join(updates.send(update(7)), async {
        receiver.next().await.unwrap();
    })
    .await;
    assert!(!answer);
}

#[tokio::test]
async fn the_newest_update_wins_and_the_older_ones_are_done_with() {
    let (updates, mut receiver) = Updates::pair();
    let mut first = Box::pin(updates.send(update(1)));
    assert!(futures::poll!(&mut first).is_pending());
    let mut second = Box::pin(updates.send(update(2)));
    assert!(futures::poll!(&mut second).is_pending());
    assert_eq!(futures::poll!(&mut first), Poll::Ready(true));
    let delivery = receiver.next().await.unwrap();
    assert_eq!(port(&delivery.update), 2);
    assert!(receiver.next().now_or_never().is_none());
    delivery.verdict.give(false);
    assert!(!second.await);
}

#[tokio::test]
async fn an_update_whose_sender_gave_up_waiting_still_arrives() {
    let (updates, mut receiver) = Updates::pair();
    assert!(updates.send(update(1)).now_or_never().is_none());
    drop(updates);
    let delivery = receiver.next().await.unwrap();
    assert_eq!(port(&delivery.update), 1);
    delivery.verdict.give(true);
    assert!(receiver.next().await.is_none());
}

#[tokio::test]
async fn waiting_for_an_update_can_be_given_up() {
    let (updates, mut receiver) = Updates::pair();
    assert!(receiver.next().now_or_never().is_none());
    let mut next = Box::pin(receiver.next());
    assert!(futures::poll!(&mut next).is_pending());
    assert!(updates.send(update(1)).now_or_never().is_none());
    // It has been woken, and is dropped before it runs.
    drop(next);
    assert!(receiver.next().now_or_never().flatten().is_some());
}

#[tokio::test]
async fn requests_coalesce() {
    let (updates, receiver) = Updates::pair();
    assert!(updates.asked().now_or_never().is_none());
    for _ in 0..3 {
        receiver.ask();
    }
    assert!(updates.asked().now_or_never().is_some());
    assert!(updates.asked().now_or_never().is_none());
    let mut asked = Box::pin(updates.asked());
    assert!(futures::poll!(&mut asked).is_pending());
    receiver.ask();
    soon(asked).await;
}

#[tokio::test]
async fn nothing_is_sent_to_a_channel_that_is_gone() {
    let (updates, receiver) = Updates::pair();
    let mut waiting = Box::pin(updates.send(update(1)));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(receiver);
    assert!(!soon(waiting).await);
    assert!(!soon(updates.send(update(2))).await);
}

/// Runs what it is given.
struct Runs<F>(F);

impl<F: Future<Output = ()> + Send + 'static> Resolver for Runs<F> {
    fn run(self: Box<Self>, updates: Updates) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _updates = updates;
            self.0.await;
        })
    }
}

#[tokio::test]
async fn a_resolver_that_ends_or_panics_without_a_word_is_heard_as_an_error_once() {
    let ends: Box<dyn Resolver> = Box::new(Runs(async {}));
    let panics = Box::new(Runs(async { panic!("as told") }));
    for resolver in [ends, panics] {
        let mut receiver = UpdatesReceiver::spawn(resolver);
        let delivery = soon(receiver.next()).await.unwrap();
        let status = delivery.update.backends.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "the resolver has ended and found nothing");
        delivery.verdict.give(false);
        assert!(soon(receiver.next()).await.is_none());
        assert!(soon(receiver.next()).await.is_none());
    }
}

#[tokio::test]
async fn the_resolver_ends_with_its_channel() {
    let (kept, dropped) = oneshot::channel::<()>();
    let receiver = UpdatesReceiver::spawn(Box::new(Runs(async move {
        let _kept = kept;
        std::future::pending().await
    })));
    drop(receiver);
    assert!(soon(dropped).await.is_err());
}

#[tokio::test]
async fn what_is_not_delivered_is_dropped_with_the_channel() {
    let attribute = Arc::new(());
    let (updates, receiver) = Updates::pair();
    let backend = Backend::at(([127, 0, 0, 1], 1).into()).with(attribute.clone());
    let mut send = Box::pin(updates.send(Update::new([backend])));
    assert!(futures::poll!(&mut send).is_pending());
    assert_eq!(Arc::strong_count(&attribute), 2);
    drop(receiver);
    assert_eq!(Arc::strong_count(&attribute), 1);
}

#[tokio::test]
async fn what_is_set_by_hand_reaches_each_channel() {
    let manual = Manual::new("fleet");
    let schemes = Schemes::new().with(manual.clone());
    let channel = || {
        let target = schemes.target("fleet:greeter").unwrap();
        UpdatesReceiver::spawn(schemes.build(&target).unwrap())
    };
    let mut early = channel();
    assert!(early.next().now_or_never().is_none());
    let (mut asked, mut refused) = (manual.asked(), manual.refused());
    manual.set(update(1));
    let mut late = channel();
    for receiver in [&mut early, &mut late] {
        let delivery = soon(receiver.next()).await.unwrap();
        assert_eq!(port(&delivery.update), 1);
        delivery.verdict.give(true);
    }
    assert_eq!(*refused.borrow(), 0);

    manual.set(update(2));
    let delivery = soon(early.next()).await.unwrap();
    assert_eq!(port(&delivery.update), 2);
    delivery.verdict.give(false);
    soon(refused.wait_for(|&times| times == 1)).await.unwrap();

    assert_eq!(*asked.borrow(), 0);
    late.ask();
    soon(asked.wait_for(|&times| times == 1)).await.unwrap();
    early.ask();
    soon(asked.wait_for(|&times| times == 2)).await.unwrap();

    // The last word holds on when nobody can say another.
    drop((schemes, manual));
    soon(late.next()).await.unwrap().verdict.give(true);
    assert!(soon(late.next()).await.is_none());
}
