//! The two orders of play, and a server that ends the call first.

use std::pin::pin;

use futures::poll;

use super::*;
use crate::abacus::MOST_TO_SORT;

#[tokio::test]
async fn maximum_answers_each_number_before_the_next_is_sent() {
    let (sender, sent) = mpsc::channel(1);
    let answers = in_time(calculator().await.maximum(ReceiverStream::new(sent))).await;
    let mut answers = answers.unwrap().into_inner();
    for (value, largest) in [
        (f64::NEG_INFINITY, f64::NEG_INFINITY),
        (-3.0, -3.0),
        (4.0, 4.0),
        (1.0, 4.0),
        (4.5, 4.5),
    ] {
        sender.send(Number { value }).await.unwrap();
        let answer = in_time(answers.message()).await.unwrap().unwrap();
        assert_eq!(answer.value, largest);
    }
    drop(sender);
    assert!(in_time(answers.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn no_number_has_no_maximum() {
    let answers = calculator().await.maximum(numbers(&[])).await.unwrap();
    let (answers, end) = read(answers.into_inner()).await;
    assert_eq!(answers, [0.0; 0]);
    end.unwrap();
}

#[tokio::test]
async fn nan_ends_maximum_after_the_answers_before_it() {
    let sent = numbers(&[1.0, 2.0, f64::NAN, 3.0]);
    let answers = calculator().await.maximum(sent).await.unwrap();
    let (answers, end) = read(answers.into_inner()).await;
    assert_eq!(answers, [1.0, 2.0]);
    assert_eq!(end.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_server_ends_the_call_first_and_the_sender_notices() {
    let mut calculator = calculator().await;
    for _ in 0..20 {
        let (sender, sent) = mpsc::channel(1);
        let answers = in_time(calculator.maximum(ReceiverStream::new(sent))).await;
        let mut answers = answers.unwrap().into_inner();
        for value in [1.0, f64::INFINITY] {
            sender.send(Number { value }).await.unwrap();
            let answer = in_time(answers.message()).await.unwrap().unwrap();
            assert_eq!(answer.value, value);
        }
        assert!(in_time(answers.message()).await.unwrap().is_none());
        in_time(sender.closed()).await;
        assert!(sender.send(Number { value: 2.0 }).await.is_err());
    }
}

#[tokio::test]
async fn a_client_that_goes_on_sending_is_stopped_with_ok() {
    let mut calculator = calculator().await;
    let without_end = stream::iter([1.0]).chain(stream::repeat(f64::INFINITY));
    let without_end = without_end.map(|value| Number { value });
    let answers = in_time(calculator.maximum(without_end)).await;
    let answers = answers.unwrap().into_inner().take(3).collect::<Vec<_>>();
    let answers = in_time(answers).await;
    let values = answers.into_iter().map(|answer| answer.unwrap().value);
    assert_eq!(values.collect::<Vec<_>>(), [1.0, f64::INFINITY]);
}

#[tokio::test]
async fn sort_does_not_answer_before_the_last_number() {
    let mut calculator = calculator().await;
    let mut other = calculator.clone();
    let (sender, sent) = mpsc::channel(1);
    let mut sorting = pin!(calculator.sort(ReceiverStream::new(sent)));
    for value in [3.0, 1.0, 2.0] {
        assert!(poll!(&mut sorting).is_pending());
        in_time(sender.send(Number { value })).await.unwrap();
    }
    // Calls that go there and back on the same connection: time enough for an answer to come first.
    for _ in 0..20 {
        let answers = other.maximum(numbers(&[1.0])).await.unwrap();
        read(answers.into_inner()).await.1.unwrap();
        assert!(poll!(&mut sorting).is_pending());
    }
    drop(sender);
    let answers = in_time(sorting).await.unwrap().into_inner();
    let (answers, end) = read(answers).await;
    assert_eq!(answers, [1.0, 2.0, 3.0]);
    end.unwrap();
}

#[tokio::test]
async fn sort_takes_so_many_numbers_and_no_more() {
    let mut calculator = calculator().await;
    let mut falling: Vec<f64> = (0..100_000).rev().map(f64::from).collect();
    assert_eq!(falling.len(), MOST_TO_SORT);
    let answers = in_time(calculator.sort(numbers(&falling))).await.unwrap();
    let (answers, end) = read(answers.into_inner()).await;
    assert!(answers.iter().copied().eq((0..100_000).map(f64::from)));
    end.unwrap();

    falling.push(-1.0);
    let status = in_time(calculator.sort(numbers(&falling))).await;
    assert_eq!(status.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn sort_orders_all_numbers_and_refuses_what_is_none() {
    let mut calculator = calculator().await;
    let odd = [f64::INFINITY, 0.5, -0.5, f64::MIN, f64::NEG_INFINITY];
    let answers = calculator.sort(numbers(&odd)).await.unwrap();
    let (answers, end) = read(answers.into_inner()).await;
    let sorted = [f64::NEG_INFINITY, f64::MIN, -0.5, 0.5, f64::INFINITY];
    assert_eq!(answers, sorted);
    end.unwrap();

    let status = calculator.sort(numbers(&[1.0, f64::NAN])).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_sender_who_does_not_read_has_to_wait_and_loses_nothing() {
    const MANY: u32 = 50_000;
    let mut calculator = calculator().await;
    let mut other = calculator.clone();
    let (sender, sent) = mpsc::channel(1);
    let answers = calculator.maximum(ReceiverStream::new(sent)).await.unwrap();
    let sending = tokio::spawn(async move {
        for value in (0..MANY).map(f64::from) {
            sender.send(Number { value }).await.unwrap();
        }
    });
    for _ in 0..1_000 {
        let answers = other.maximum(numbers(&[1.0])).await.unwrap();
        read(answers.into_inner()).await.1.unwrap();
    }
    assert!(!sending.is_finished());
    let (answers, end) = read(answers.into_inner()).await;
    assert!(answers.into_iter().eq((0..MANY).map(f64::from)));
    end.unwrap();
    sending.await.unwrap();
}
