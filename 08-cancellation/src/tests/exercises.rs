//! The exercises.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures::future::poll_immediate;
use prost::Message;
use wire::testing::{framed, post};

use super::*;
use crate::proto::{Receipt, bank_server};
use crate::resend::transfer_until_certain;
use crate::tests::faulty::{serve_router, serve_with};

#[tokio::test]
#[ignore = "exercise 1: four audits at once"]
async fn exercise_1_a_fifth_audit_is_refused() {
    let (bank, _url, mut lines) = start().await;
    let mut open = Vec::new();
    for number in 1..=4 {
        let audit = begin_audit(&bank).await;
        let audit = audit.unwrap_or_else(|end| panic!("audit {number} of 4 was refused: {end:?}"));
        open.push(audit);
    }
    for round in 1..=3 {
        let fifth = begin_audit(&bank).await.err();
        let fifth = fifth.and_then(Result::err).map(|status| status.code());
        let expected = Some(Code::ResourceExhausted);
        assert_eq!(
            fifth, expected,
            "round {round}: how a fifth audit ends (None: it begins)"
        );

        drop(open.remove(0));
        expect(&mut lines, &["bank: audit: stopped"]).await;
        let mut next = None;
        soon("a place for another audit after one was cancelled", async {
            while next.is_none() {
                next = begin_audit(&bank).await.ok();
            }
        })
        .await;
        open.extend(next);
    }
    let last = soon("the end of an audit", open.remove(0)).await;
    last.expect("an audit within the limit");
}

type Audit = std::pin::Pin<Box<dyn Future<Output = Result<(), Status>> + Send>>;

/// Begins an audit. Returns how it ended if it did so at once.
async fn begin_audit(bank: &Client) -> Result<Audit, Result<(), Status>> {
    let mut other = bank.clone();
    let mut audit: Audit = Box::pin(async move { other.audit(()).await.map(|_| ()) });
    assert!(poll_immediate(&mut audit).await.is_none());
    // Two calls on the same connection: by now the audit has begun, or was refused.
    for _ in 0..2 {
        balances(bank).await;
    }
    poll_immediate(&mut audit).await.map_or(Ok(audit), Err)
}

/// A bank that answers with these codes, one after the other, and keeps what it was asked.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Code>>,
    asked: Arc<Mutex<Vec<Order>>>,
}

#[tonic::async_trait]
impl bank_server::Bank for Scripted {
    async fn transfer(&self, request: Request<Order>) -> Result<Response<Receipt>, Status> {
        self.asked.lock().unwrap().push(request.into_inner());
        match self.answers.lock().unwrap().pop_front() {
            None => panic!("the client is still sending"),
            Some(Code::Ok) => Ok(Response::new(Receipt::default())),
            Some(code) => Err(Status::new(code, "scripted")),
        }
    }
}

#[tokio::test]
#[ignore = "exercise 2: send it again until it's certain"]
async fn exercise_2_an_order_is_sent_until_its_outcome_is_certain() {
    use Code::*;
    for (answers, times, end) in [
        (vec![Ok], 1, Ok),
        (vec![Unavailable, Ok], 2, Ok),
        (
            vec![Unknown, Cancelled, DeadlineExceeded, Internal, Ok],
            5,
            Ok,
        ),
        (
            vec![ResourceExhausted, Aborted, DataLoss, OutOfRange, Ok],
            5,
            Ok,
        ),
        (vec![InvalidArgument, Ok], 1, InvalidArgument),
        (vec![FailedPrecondition, Ok], 1, FailedPrecondition),
        (vec![AlreadyExists, Ok], 1, AlreadyExists),
        (vec![Unavailable, NotFound, Ok], 2, NotFound),
        (
            vec![Internal, Unknown, Unknown, Unknown, Unavailable, Ok],
            5,
            Unavailable,
        ),
    ] {
        let what = format!("the bank answers {answers:?}");
        let asked = Arc::default();
        let bank = Scripted {
            answers: Mutex::new(answers.into()),
            asked: Arc::clone(&asked),
        };
        let url = serve_router(server::builder().add_service(BankServer::new(bank))).await;
        let sent = order("my-order", "Ben", 7);
        let mut bank = connect(&url);
        let result = soon(&what, transfer_until_certain(&mut bank, sent.clone())).await;
        let came = result.map_or_else(|status| status.code(), |_| Ok);
        assert_eq!(came, end, "{what}: what your function returns");
        let asked = asked.lock().unwrap();
        assert_eq!(asked.len(), times, "{what}: how often the order was sent");
        assert!(
            asked.iter().all(|it| *it == sent),
            "{what}: another order: {asked:?}"
        );
    }
}

/// [`Receipt`] as exercise 3 wants it.
#[derive(Clone, PartialEq, Message)]
struct NewReceipt {
    #[prost(bool, tag = "1")]
    done_before: bool,
    #[prost(uint32, tag = "2")]
    times: u32,
}

#[tokio::test]
#[ignore = "exercise 3: how often an order has come"]
async fn exercise_3_a_receipt_tells_how_often_its_order_has_come() {
    let fault = Fault {
        kind: Kind::Fails(Code::Internal),
        booked: true,
    };
    let (url, _lines) = serve_with([None, Some(fault)]).await;
    for (id, done_before, times) in [
        ("a", false, 1),
        ("a", true, 2),
        ("a", true, 3),
        // In doubt: it has come, and there is no receipt.
        ("b", false, 0),
        ("b", false, 2),
        ("b", true, 3),
        ("a", true, 4),
        ("c", false, 1),
    ] {
        let order = framed(&order(id, "Ben", 1).encode_to_vec());
        let reply = post(&url, "/bank.v1.Bank/Transfer", order).await;
        let receipt = reply.messages.first();
        let receipt = receipt.map(|it| NewReceipt::decode(it.clone()).unwrap());
        let expected = (times > 0).then_some(NewReceipt { done_before, times });
        assert_eq!(
            receipt, expected,
            "order {id}: field 2 of the receipt, `times`"
        );
    }
}
