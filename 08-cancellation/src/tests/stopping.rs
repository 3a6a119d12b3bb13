//! The ways in which a call is cancelled, and what stops then.

use conform::cancel::unless_cancelled;
use tokio_util::sync::CancellationToken;
use wire::{Direction, Tap};

use super::*;

const STOPPED: &[&str] = &["bank: audit: stopped"];

/// Begins an audit over `tap`. Returns once the server has the request.
async fn begin_audit(tap: &Tap) -> (Client, tokio::task::JoinHandle<Result<(), Status>>) {
    let bank = connect(&tap.url());
    let mut other = bank.clone();
    let call = tokio::spawn(async move { other.audit(()).await.map(|_| ()) });
    let is_asked = |it: &wire::Frame| it.is_end_stream();
    soon("the request", tap.wait_for(is_asked)).await;
    // A call that is answered on the same connection has been behind the audit.
    let _ = bank.clone().get_balances(()).await;
    (bank, call)
}

#[tokio::test]
async fn a_cancellation_travels_on_to_the_branch() {
    let (bank, _url, mut lines) = start().await;
    for id in 1..=3 {
        let mut other = bank.clone();
        let call = other.transfer_naively(order(id, "Ben", 1));
        let hung_up = tokio::time::timeout(Duration::from_millis(300), call).await;
        assert!(hung_up.is_err(), "a credit takes a second");
        expect(&mut lines, &[&format!("branch: credit {id}: stopped")]).await;
    }
    // Nothing is rolled back, and nothing has arrived.
    assert_eq!(balances(&bank).await, (97, 100));
}

#[tokio::test]
async fn a_safe_transfer_goes_on_without_its_caller() {
    let (bank, _url, mut lines) = start().await;
    let mut other = bank.clone();
    let call = other.transfer(order(1, "Ben", 30));
    let hung_up = tokio::time::timeout(Duration::from_millis(300), call).await;
    assert!(hung_up.is_err(), "a credit takes a second");
    expect(&mut lines, &["branch: credit 1: done"]).await;
    soon("the bank to book it, too", async {
        while bank.clone().transfer(order(1, "Ben", 30)).await.is_err() {}
    })
    .await;
    assert_eq!(balances(&bank).await, (70, 130));
    let nothing_more = lines.try_recv();
    assert!(nothing_more.is_err(), "{nothing_more:?}");
}

#[tokio::test]
async fn to_drop_a_call_is_to_send_a_reset_and_no_reason() {
    let (_bank, url, mut lines) = start().await;
    let tap = Tap::start(&url).await.unwrap();
    let (_bank, call) = begin_audit(&tap).await;
    call.abort();
    expect(&mut lines, STOPPED).await;
    let of_audit = |it: &wire::Frame| {
        let call = it.call.as_ref();
        call.is_some_and(|it| it.path.ends_with("Audit")) && it.direction == Direction::ToServer
    };
    let frames = tap.frames().into_iter().filter(of_audit);
    let last = wire::testing::outline(frames).pop();
    assert_eq!(last.as_deref(), Some("client: RST_STREAM CANCEL"));
}

#[tokio::test]
async fn a_lost_connection_cancels_too() {
    let (_bank, url, mut lines) = start().await;
    let tap = Tap::start(&url).await.unwrap();
    let (_bank, call) = begin_audit(&tap).await;
    tap.reset();
    soon("the caller to notice", call)
        .await
        .unwrap()
        .unwrap_err();
    expect(&mut lines, STOPPED).await;
}

#[tokio::test]
async fn a_deadline_cancels_too() {
    let (bank, _url, mut lines) = start().await;
    let mut request = Request::new(());
    request.set_timeout(Duration::from_millis(300));
    let late = soon("the deadline", bank.clone().audit(request)).await;
    // tonic's code for it. Lesson 05's layer says DEADLINE_EXCEEDED.
    assert_eq!(code(late), Code::Cancelled);
    expect(&mut lines, STOPPED).await;
}

#[tokio::test]
async fn an_audit_that_is_not_cancelled_is_done() {
    let (mut bank, _url, mut lines) = start().await;
    soon("the end of an audit", bank.audit(())).await.unwrap();
    expect(&mut lines, &["bank: audit: done"]).await;
}

#[tokio::test]
async fn unless_cancelled_tells_the_caller() {
    let (_bank, url, _lines) = start().await;
    let tap = Tap::start(&url).await.unwrap();
    let (token, mut bank) = (CancellationToken::new(), connect(&tap.url()));
    let cancel = async {
        soon("the request", tap.wait_for(|it| it.is_end_stream())).await;
        token.cancel();
    };
    let call = unless_cancelled(&token, bank.audit(()));
    let (result, ()) = tokio::join!(call, cancel);
    assert_eq!(code(result), Code::Cancelled);
}

/// The handle cancels the upload of the request, and a unary request is uploaded at once.
#[tokio::test]
async fn tonic_alone_does_not_cancel_by_handle_once_the_request_is_sent() {
    let (_bank, url, _lines) = start().await;
    let tap = Tap::start(&url).await.unwrap();
    let mut bank = connect(&tap.url());
    let mut request = Request::new(());
    let handle = request.cancellation_handle();
    let cancel = async {
        soon("the request", tap.wait_for(|it| it.is_end_stream())).await;
        handle.cancel();
    };
    let (result, ()) = tokio::join!(bank.audit(request), cancel);
    result.expect("the call goes on");
}
