//! What a stranger can send, and what the bank keeps of it.

use super::*;

#[tokio::test]
async fn an_order_that_does_not_fit_is_refused_and_never_repeated() {
    let (mut bank, _lines) = start_with([]).await;
    let long = "x".repeat(20_000);
    for (what, order) in [
        ("no id", order("", "Ben", 30)),
        ("an id of 37 letters", order("x".repeat(37), "Ben", 30)),
        ("a long id", order(&long, "Ben", 30)),
        ("an id with a line break", order("1\nbank: done", "Ben", 30)),
        (
            "an id with an escape sequence",
            order("\u{1b}[2J", "Ben", 30),
        ),
        ("no name", order(1, "", 30)),
        ("a name of 65 letters", order(1, &"x".repeat(65), 30)),
        ("a long name", order(1, &long, 30)),
        ("no coins", order(1, "Ben", 0)),
    ] {
        for is_naive in [false, true] {
            let order = order.clone();
            let result = match is_naive {
                true => bank.transfer_naively(order).await,
                false => bank.transfer(order).await,
            };
            let status = result.expect_err(what);
            assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
            assert_eq!(status.message(), "not an order: see bank.proto", "{what}");
        }
    }
    assert_eq!(balances(&bank).await, (100, 100));
    // The longest that fit.
    let (id, name) = ("x".repeat(36), "x".repeat(64));
    let status = bank.transfer(order(id, &name, 30)).await;
    assert_eq!(code(status), Code::NotFound);
}

#[tokio::test]
async fn an_order_that_can_not_be_carried_out_changes_nothing() {
    let (mut bank, _lines) = start_with([]).await;
    let too_much = bank.transfer(order(1, "Ben", 101)).await;
    assert_eq!(code(too_much), Code::FailedPrecondition);
    let too_much = bank.transfer(order(1, "Ben", u32::MAX)).await;
    assert_eq!(code(too_much), Code::FailedPrecondition);
    bank.transfer(order(1, "Ben", 100)).await.unwrap();
    for other in [order(1, "Ben", 99), order(1, "Zoe", 100)] {
        assert_eq!(code(bank.transfer(other).await), Code::AlreadyExists);
    }
    assert_eq!(balances(&bank).await, (0, 200));
}

#[test]
fn a_book_has_an_end() {
    let ledger = Ledger::new(0);
    for number in 0..MAX_ORDERS {
        let order = order(number, "Ben", 1);
        ledger.enter(&order, 1, Step::Done).unwrap();
    }
    let full = ledger.enter(&order("new", "Ben", 1), 1, Step::Done);
    assert_eq!(code(full), Code::ResourceExhausted);
    let known = ledger.enter(&order(0, "Ben", 1), 1, Step::Done);
    assert_eq!(known.unwrap(), Step::Done);
}

#[test]
fn refused_orders_fill_no_book() {
    let ledger = Ledger::new(100);
    for number in 0..=MAX_ORDERS {
        let order = order(number, "Zoe", 1);
        ledger.enter(&order, -1, Step::Open).unwrap();
        ledger.give_back(&order);
    }
    let entered = ledger.enter(&order("new", "Ben", 30), -30, Step::Open);
    assert_eq!((entered.unwrap(), ledger.coins()), (Step::Open, 70));
}

/// The branch listens on an address of its own, where a stranger may call it too.
#[tokio::test(start_paused = true)]
async fn the_branch_checks_orders_and_forgets_what_it_refuses() {
    let (log, mut lines) = mpsc::channel(16);
    let ledger = Ledger::new(100);
    let branch = Branch { ledger, log };
    let credit = async |id: &str, to: &str, coins| {
        let order = Request::new(order(id, to, coins));
        branch_server::Branch::credit(&branch, order).await
    };
    for (id, to, coins) in [
        ("x".repeat(3_000_000), "Ben", 30),
        ("1\nbranch: credit 2: done".to_owned(), "Ben", 30),
        ("1".to_owned(), "Ben", 0),
        ("1".to_owned(), "", 30),
    ] {
        let refused = credit(&id, to, coins).await;
        assert_eq!(code(refused), Code::InvalidArgument);
    }
    assert!(lines.try_recv().is_err(), "nothing was begun");
    // An order that was refused doesn't keep its id from another.
    for (to, expected) in [("Zoe", false), ("Ben", true)] {
        let reply = credit("1", to, 30).await.unwrap().into_inner();
        assert_eq!(reply.credited, expected, "{to}");
    }
    assert_eq!(branch.ledger.coins(), 130);
    for number in 0..=MAX_ORDERS {
        credit(&format!("z{number}"), "Zoe", 30).await.unwrap();
    }
    let reply = credit("2", "Ben", 30).await.unwrap().into_inner();
    assert!(reply.credited, "there is room in the book");
}

#[test]
fn a_late_refusal_gives_nothing_back_of_another_order_with_its_id() {
    let ledger = Ledger::new(100);
    let (old, new) = (order(1, "Zoe", 30), order(1, "Ben", 50));
    ledger.enter(&old, -30, Step::Open).unwrap();
    ledger.give_back(&old);
    assert_eq!(ledger.coins(), 100);
    ledger.enter(&new, -50, Step::Open).unwrap();
    ledger.give_back(&old);
    assert_eq!(ledger.coins(), 50);
    ledger.close(&new);
    ledger.give_back(&new);
    assert_eq!(ledger.coins(), 50, "what has arrived doesn't come back");
}

/// Transfers whose callers are gone, and whose branch says nothing.
#[tokio::test]
async fn transfers_without_callers_are_bounded_and_end() {
    let (kind, booked) = (Kind::Hangs, false);
    let (bank, mut lines) = start_with([Some(Fault { kind, booked }); MAX_TRANSFERS]).await;
    let calls = (0..MAX_TRANSFERS).map(|number| {
        let mut other = bank.clone();
        async move { other.transfer(order(number, "Ben", 1)).await }
    });
    let all_begun = async {
        for _ in 0..MAX_TRANSFERS {
            let line = soon("a credit to begin", lines.recv()).await.unwrap();
            assert!(line.starts_with("faulty: "), "{line}");
        }
    };
    // The callers hang up once all of their credits have begun.
    tokio::select! {
        results = join_all(calls) => panic!("answered: {results:?}"),
        () = all_begun => {}
    }
    let one_more = bank.clone().transfer(order("more", "Ben", 1)).await;
    assert_eq!(code(one_more), Code::ResourceExhausted);
    assert_eq!(balances(&bank).await, (36, 100), "it was not debited");

    // Their own deadline: five seconds later they are over.
    tokio::time::pause();
    for _ in 0..MAX_TRANSFERS {
        let line = soon("a transfer to end", lines.recv()).await.unwrap();
        assert!(line.ends_with("in doubt, DeadlineExceeded"), "{line}");
    }
    tokio::time::resume();
    bank.clone().transfer(order(0, "Ben", 1)).await.unwrap();
    assert_eq!(balances(&bank).await, (36, 101));
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (log, _lines) = mpsc::channel(1);
    tokio::spawn(serve(listener, log));
    let bank = connect(&url);
    let calls = (0..3).map(|id| {
        let mut bank = bank.clone();
        async move { bank.transfer(order(id, "Ben", 1)).await }
    });
    for receipt in soon("transfers without a log", join_all(calls)).await {
        receipt.unwrap();
    }
}
