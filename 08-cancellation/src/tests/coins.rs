//! No coin is ever lost or made: whatever a credit ends with, and wherever work is dropped.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::*;
use crate::tests::faulty::{bank_before, bank_with};

/// Sends an order again until it's answered, and asserts that its coins were moved once.
async fn finish(bank: &Client, order: Order, expected: (i64, i64), what: &str) {
    let (ann, ben) = balances(bank).await;
    assert!(ann + ben <= 200, "{what}: coins were made: {ann} + {ben}");
    assert_eq!(ann, expected.0, "{what}: the debit was undone");
    let again = soon("the order to be carried out", async {
        bank.clone().transfer(order).await
    });
    again.await.expect(what);
    assert_eq!(balances(bank).await, expected, "{what}: sent again");
}

/// Every code but OK, and a panic, before the branch books the credit and after.
#[tokio::test]
async fn no_coin_is_lost_or_made_whatever_the_credit_ends_with() {
    let codes = (1..=16).map(|code| Kind::Fails(Code::from_i32(code)));
    let kinds: Vec<_> = codes.chain([Kind::Panics]).collect();
    let faults = [false, true].map(|booked| kinds.iter().map(move |&kind| Fault { kind, booked }));
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    assert_eq!(faults.len(), 34);
    // The order that is sent again meets no fault.
    let once_each = faults.iter().flat_map(|&fault| [Some(fault), None]);
    let (mut bank, _lines) = start_with(once_each).await;
    for (fault, number) in faults.into_iter().zip(1..) {
        let (order, what) = (order(number, "Ben", 1), format!("{fault:?}"));
        let first = bank.transfer(order.clone()).await;
        assert_eq!(code(first), Code::Unavailable, "{what}");
        finish(&bank, order, (100 - number, 100 + number), &what).await;
    }
}

#[tokio::test]
async fn no_coin_is_lost_or_made_when_the_caller_hangs_up() {
    for booked in [false, true] {
        let kind = Kind::Hangs;
        for is_naive in [false, true] {
            let what = format!("booked: {booked}, naive: {is_naive}");
            let (bank, mut lines) = start_with([Some(Fault { kind, booked })]).await;
            let mut other = bank.clone();
            let call = async {
                match is_naive {
                    true => other.transfer_naively(order(1, "Ben", 30)).await,
                    false => other.transfer(order(1, "Ben", 30)).await,
                }
            };
            cancel_at(&mut lines, "faulty: 1", call).await;
            finish(&bank, order(1, "Ben", 30), (70, 130), &what).await;
        }
    }
}

#[tokio::test]
async fn no_coin_is_lost_or_made_wherever_the_work_is_dropped() {
    for polls in 0..12 {
        let what = format!("dropped after {polls} polls");
        let (log, _lines) = mpsc::channel(16);
        let (bank, ben) = bank_with([], log).await;
        {
            let mut work = pin!(bank.carry_out(order(1, "Ben", 30)));
            for _ in 0..polls {
                let poll = poll_fn(|context| Poll::Ready(work.as_mut().poll(context)));
                if poll.await.is_ready() {
                    break;
                }
                // Lets the connection and the branch get on.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let again = bank.carry_out(order(1, "Ben", 30));
        soon("a receipt", again).await.expect(&what);
        assert_eq!((bank.ledger.coins(), ben.coins()), (70, 130), "{what}");
    }
}

#[tokio::test]
async fn no_coin_is_lost_or_made_when_the_branch_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (log, mut lines) = mpsc::channel(16);
    let bank = bank_before(&format!("http://{address}"), log.clone());
    let first = bank.carry_out(order(1, "Ben", 30)).await;
    assert_eq!(code(first), Code::Unavailable);
    expect(&mut lines, &["bank: transfer 1: in doubt, Unavailable"]).await;

    let ben = Ledger::new(100);
    let ledger = ben.clone();
    let listener = TcpListener::bind(address).await.unwrap();
    let branch = BranchServer::new(Branch { ledger, log });
    let server = server::builder().add_service(branch);
    tokio::spawn(server.serve_with_incoming(server::incoming(listener)));
    bank.carry_out(order(1, "Ben", 30)).await.unwrap();
    assert_eq!((bank.ledger.coins(), ben.coins()), (70, 130));
}

#[tokio::test]
async fn an_order_that_comes_again_is_carried_out_once() {
    let (mut bank, _lines) = start_with([]).await;
    for done_before in [false, true, true] {
        let receipt = bank.transfer(order(1, "Ben", 30)).await.unwrap();
        assert_eq!(receipt.into_inner().done_before, done_before);
        assert_eq!(balances(&bank).await, (70, 130));
    }
}

#[tokio::test]
async fn an_order_that_comes_many_times_at_once_is_carried_out_once() {
    let (bank, _lines) = start_with([]).await;
    let calls = (0..20).map(|_| {
        let mut bank = bank.clone();
        async move { bank.transfer(order(1, "Ben", 30)).await }
    });
    for receipt in join_all(calls).await {
        receipt.unwrap();
    }
    assert_eq!(balances(&bank).await, (70, 130));
}

/// Zoe has no account. The answer of the branch, and nothing else, gives the coins back.
#[tokio::test]
async fn a_refusal_gives_the_coins_back_once() {
    let kind = Kind::Fails(Code::NotFound);
    let faults = [false, true].map(|booked| Some(Fault { kind, booked }));
    let (mut bank, _lines) = start_with(faults).await;
    let in_doubt = (Code::Unavailable, 70);
    let refused = (Code::NotFound, 100);
    for expected in [in_doubt, in_doubt, refused, refused] {
        let status = bank.transfer(order(1, "Zoe", 30)).await.unwrap_err();
        let (ann, ben) = balances(&bank).await;
        assert_eq!((status.code(), ann), expected, "{status}");
        assert_eq!(ben, 100);
    }
}

#[tokio::test]
async fn late_answers_to_a_refused_order_give_nothing_back_twice() {
    let (log, _lines) = mpsc::channel(16);
    let (bank, _) = bank_with([], log).await;
    let calls = (0..10).map(|_| bank.carry_out(order(1, "Zoe", 30)));
    for refused in join_all(calls).await {
        assert_eq!(code(refused), Code::NotFound);
    }
    assert_eq!(bank.ledger.coins(), 100);
}
