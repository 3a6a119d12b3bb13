//! The ways in which a call is cancelled, and what each side learns of it.

use deadlines::client_layer::ClientDeadlineLayer;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tower::Layer;

use super::tap::{RESET, Tap};
use super::*;

/// An audit that takes much longer than it takes to hang up.
const LONG: Pages = Pages { count: 20_000 };
const BEGINS: &str = "north: audit: begins";
const STOPPED: &str = "north: audit: stopped";

#[tokio::test]
async fn the_caller_gets_cancelled_and_the_work_stops() {
    let (mut stub, mut lines) = start().await;
    for _ in 0..5 {
        let status = hang_up_at(&mut lines, BEGINS, stub.audit(LONG))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Cancelled);
        expect(&mut lines, &[STOPPED]).await;
    }
}

#[tokio::test]
async fn a_call_that_is_not_cancelled_is_answered() {
    let (mut stub, mut lines) = start().await;
    let token = CancellationToken::new();
    let pages = Pages { count: 3 };
    let first = unless_cancelled(&token, stub.audit(pages)).await.unwrap();
    let again = stub.audit(pages).await.unwrap();
    assert_eq!(first.into_inner(), again.into_inner());
    expect(&mut lines, &[BEGINS, "north: audit: done"]).await;
}

#[tokio::test]
async fn a_call_that_was_cancelled_before_is_not_made() {
    let (mut stub, mut lines) = start().await;
    let token = CancellationToken::new();
    token.cancel();
    let result = unless_cancelled(&token, stub.audit(LONG)).await;
    assert_eq!(result.unwrap_err().code(), Code::Cancelled);
    stub.audit(Pages { count: 1 }).await.unwrap();
    expect(&mut lines, &[BEGINS, "north: audit: done"]).await;
}

#[tokio::test]
async fn a_call_whose_task_is_aborted_stops() {
    let (stub, mut lines) = start().await;
    let mut other = stub.clone();
    let task = tokio::spawn(async move { other.audit(LONG).await });
    expect(&mut lines, &[BEGINS]).await;
    task.abort();
    expect(&mut lines, &[STOPPED]).await;
}

#[tokio::test]
async fn a_call_that_loses_a_race_stops() {
    let (mut stub, mut lines) = start().await;
    tokio::select! {
        _ = stub.audit(LONG) => unreachable!("it takes too long"),
        () = expect(&mut lines, &[BEGINS]) => {}
    }
    expect(&mut lines, &[STOPPED]).await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_stops() {
    let (mut stub, mut lines) = start().await;
    let mut journal = stub.journal(()).await.unwrap().into_inner();
    stub.audit(Pages { count: 1 }).await.unwrap();
    assert_eq!(journal.message().await.unwrap().unwrap().text, BEGINS);
    expect(&mut lines, &[BEGINS, "north: audit: done"]).await;
    drop(journal);
    expect(&mut lines, &["north: a reader of the journal: gone"]).await;
}

#[tokio::test]
async fn a_cancellation_travels_to_the_other_branch() {
    let (stub, mut lines) = start().await;
    set_desks(&stub, false).await;
    for number in 1..=3 {
        let mut other = stub.clone();
        let order = order(&number.to_string(), "Ben", 1);
        let begins = format!("south: credit {number}: begins");
        let call = other.transfer_naively(order);
        hang_up_at(&mut lines, &begins, call).await.unwrap_err();
        let north = format!("north: transfer {number}: stopped between debit and credit");
        let south = format!("south: credit {number}: stopped");
        expect(&mut lines, &[&north, &south]).await;
    }
}

#[tokio::test]
async fn a_deadline_cancels_too() {
    let (endpoint, mut lines) = serve_bank().await;
    let mut stub = BankClient::new(ClientDeadlineLayer.layer(endpoint.connect_lazy()));
    stub.set_desks(bank::Desks { open: false }).await.unwrap();
    let mut request = Request::new(order("1", "Ben", 30));
    request.set_timeout(Duration::from_millis(1500));
    let status = stub.transfer_naively(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    let north = "north: transfer 1: stopped between debit and credit";
    let south = "south: credit 1: stopped";
    expect(&mut lines, &["south: credit 1: begins", north, south]).await;
}

#[tokio::test]
async fn a_lost_connection_cancels_too() {
    let (endpoint, mut lines) = serve_bank().await;
    let tap = Tap::before(&endpoint).await;
    let mut stub = Stub::new(tap.endpoint.connect_lazy());
    let (result, ()) = tokio::join!(stub.audit(LONG), async {
        expect(&mut lines, &[BEGINS]).await;
        tap.cut();
    });
    // The caller did not cancel. tonic has UNKNOWN for it, where gRPC has UNAVAILABLE.
    assert_eq!(result.unwrap_err().code(), Code::Unknown);
    expect(&mut lines, &[STOPPED]).await;
}

#[tokio::test]
async fn the_reason_stays_with_the_caller() {
    let (endpoint, mut lines) = serve_bank().await;
    let mut tap = Tap::before(&endpoint).await;
    let mut stub = Stub::new(tap.endpoint.connect_lazy());
    let status = hang_up_at(&mut lines, BEGINS, stub.audit(LONG))
        .await
        .unwrap_err();
    assert_eq!(status.message(), "the caller hung up");
    // All that is sent: a reset of four bytes, the number 8, CANCEL.
    let frames = tap.sent(RESET).await;
    assert_eq!(frames.last().unwrap(), &(RESET, vec![0, 0, 0, 8]));
    expect(&mut lines, &[STOPPED]).await;
}

#[tokio::test]
async fn the_two_sides_judge_differently() {
    let (endpoint, mut lines) = serve_bank().await;
    let mut stub = BankClient::new(ClientDeadlineLayer.layer(endpoint.connect_lazy()));
    stub.set_desks(bank::Desks { open: false }).await.unwrap();
    let mut request = Request::new(order("1", "Ben", 30));
    request.set_timeout(Duration::from_millis(1500));
    let status = stub.transfer(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    stub.set_desks(bank::Desks { open: true }).await.unwrap();
    let begins = "south: credit 1: begins";
    let gone = "north: transfer 1: goes on alone";
    let booked = ["south: credit 1: booked", "north: transfer 1: booked"];
    expect(&mut lines, &[begins, gone]).await;
    expect(&mut lines, &booked).await;
}

/// The handle cancels the upload of the request, and a unary request has been uploaded at once.
#[tokio::test]
async fn tonics_cancellation_handle_does_nothing_once_the_request_is_sent() {
    let (mut stub, mut lines) = start().await;
    set_desks(&stub, false).await;
    let mut request = Request::new(order("1", "Ben", 30));
    let handle = request.cancellation_handle();
    let mut other = stub.clone();
    let call = tokio::spawn(async move { other.transfer(request).await });
    expect(&mut lines, &["south: credit 1: begins"]).await;
    handle.cancel();
    set_desks(&stub, true).await;
    assert!(soon(call).await.unwrap().is_ok());
    // Not "goes on alone".
    let booked = ["south: credit 1: booked", "north: transfer 1: booked"];
    expect(&mut lines, &booked).await;

    let mut request = Request::new(());
    let handle = request.cancellation_handle();
    let mut journal = stub.journal(request).await.unwrap().into_inner();
    handle.cancel();
    for _ in 0..100 {
        stub.audit(Pages { count: 1 }).await.unwrap();
        for expected in [BEGINS, "north: audit: done"] {
            assert_eq!(journal.message().await.unwrap().unwrap().text, expected);
        }
    }
}

#[tokio::test]
async fn tonics_cancellation_handle_cancels_an_open_upload() {
    let (stub, mut lines) = start().await;
    let (_sender, coins) = mpsc::channel::<Coin>(1);
    let mut request = Request::new(ReceiverStream::new(coins));
    let handle = request.cancellation_handle();
    let mut other = stub.clone();
    let call = tokio::spawn(async move { other.deposit(request).await });
    expect(&mut lines, &["north: deposit: begins"]).await;
    handle.cancel();
    let status = soon(call).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Cancelled, "{}", status.message());
    expect(&mut lines, &["north: deposit: stopped"]).await;
}
