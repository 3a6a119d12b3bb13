//! What a transfer promises when its caller hangs up, and when its order comes again.

use super::*;
use crate::bank::Receipt;

/// Hangs up on a careful transfer of 30 while its credit waits for a clerk. The desks stay closed.
async fn leave_a_transfer(stub: &Stub, lines: &mut Lines) {
    set_desks(stub, false).await;
    let mut other = stub.clone();
    let call = other.transfer(order("1", "Ben", 30));
    let status = hang_up_at(lines, "south: credit 1: begins", call)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    expect(lines, &["north: transfer 1: goes on alone"]).await;
}

#[tokio::test]
async fn a_transfer_moves_coins() {
    let (mut stub, _lines) = start().await;
    for (id, transferred) in [("1", (70, 130)), ("2", (40, 160))] {
        stub.transfer(order(id, "Ben", 30)).await.unwrap();
        assert_eq!(balances(&stub).await, transferred);
    }
    stub.transfer_naively(order("3", "Ben", 40)).await.unwrap();
    assert_eq!(balances(&stub).await, (0, 200));
}

#[tokio::test]
async fn nobody_rolls_back_what_was_done_before_the_cancellation() {
    let (stub, mut lines) = start().await;
    set_desks(&stub, false).await;
    let mut other = stub.clone();
    let call = other.transfer_naively(order("1", "Ben", 30));
    let status = hang_up_at(&mut lines, "south: credit 1: begins", call)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    let stopped = "north: transfer 1: stopped between debit and credit";
    expect(&mut lines, &[stopped, "south: credit 1: stopped"]).await;
    set_desks(&stub, true).await;
    assert_eq!(balances(&stub).await, (70, 100), "30 are gone");
}

#[tokio::test]
async fn a_transfer_that_has_begun_is_finished_without_its_caller() {
    let (stub, mut lines) = start().await;
    leave_a_transfer(&stub, &mut lines).await;
    set_desks(&stub, true).await;
    expect(
        &mut lines,
        &["south: credit 1: booked", "north: transfer 1: booked"],
    )
    .await;
    assert_eq!(balances(&stub).await, (70, 130));
}

#[tokio::test]
async fn an_order_that_comes_again_is_carried_out_once() {
    let (mut stub, _lines) = start().await;
    let again = stub.transfer(order("1", "Ben", 30)).await.unwrap();
    assert_eq!(again.into_inner(), Receipt { again: false });
    for _ in 0..3 {
        let again = stub.transfer(order("1", "Ben", 30)).await.unwrap();
        assert_eq!(again.into_inner(), Receipt { again: true });
    }
    assert_eq!(balances(&stub).await, (70, 130));
}

#[tokio::test]
async fn an_order_that_comes_again_too_early_is_carried_out_once() {
    let (stub, mut lines) = start().await;
    leave_a_transfer(&stub, &mut lines).await;
    let mut other = stub.clone();
    let (again, ()) = tokio::join!(other.transfer(order("1", "Ben", 30)), async {
        expect(&mut lines, &["south: credit 1: begins"]).await;
        set_desks(&stub, true).await;
    });
    again.unwrap();
    assert_eq!(balances(&stub).await, (70, 130));
}

#[tokio::test]
async fn an_id_stands_for_one_order() {
    let (mut stub, _lines) = start().await;
    stub.transfer(order("1", "Ben", 30)).await.unwrap();
    for other in [order("1", "Ben", 31), order("1", "Zoe", 30)] {
        let status = stub.transfer(other).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists);
        assert_eq!(balances(&stub).await, (70, 130));
    }
}

#[tokio::test]
async fn an_order_that_is_refused_changes_nothing() {
    let (mut stub, _lines) = start().await;
    for (order, code) in [
        (order("1", "Ben", 101), Code::FailedPrecondition),
        (order("2", "Zoe", 30), Code::NotFound),
        (order("2", "Zoe", 30), Code::NotFound),
        (order("3", "Ben", 0), Code::InvalidArgument),
        (order("", "Ben", 30), Code::InvalidArgument),
    ] {
        let status = stub.transfer(order.clone()).await.unwrap_err();
        assert_eq!(status.code(), code, "{order:?}");
        assert_eq!(balances(&stub).await, (100, 100));
    }
}

#[tokio::test]
async fn an_order_in_doubt_is_settled_by_sending_it_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (journal, mut lines) = mpsc::unbounded_channel();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let north = North {
        ledger: Ledger::of("Ann", 100),
        south: BranchClient::new(endpoint.connect_lazy()),
        desks: Desks::default(),
        journal: Journal::new(journal),
    };
    let status = transfer::carry_out(north.clone(), order("1", "Ben", 30))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    expect(&mut lines, &["north: transfer 1: in doubt"]).await;

    let listener = TcpListener::bind(address).await.unwrap();
    let south = South {
        ledger: Ledger::of("Ben", 100),
        desks: north.desks.clone(),
        journal: north.journal.clone(),
    };
    let server = Server::builder().add_service(BranchServer::new(south));
    tokio::spawn(server.serve_with_incoming(incoming(listener)));
    transfer::carry_out(north.clone(), order("1", "Ben", 30))
        .await
        .unwrap();
    let ben = north.south.clone().balance(()).await.unwrap().into_inner();
    assert_eq!((north.ledger.coins(), ben.coins), (70, 130));
}
