//! An upload as it travels, an answer before its end, and the exercises.

use conform::status::explain;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use wire::testing::{RawCall, framed, outline, soon};
use wire::{Direction, Frame, Tap};

use super::*;

mod harden;

type Stub = CalculatorClient<Channel>;

#[tokio::test]
async fn an_upload_ends_with_a_half_close_and_only_then_comes_the_reply() {
    let (tap, stub, _log) = start().await;
    let (sender, upload) = open_upload(&tap, &stub).await;
    assert!(!upload.is_finished());
    drop(sender);
    soon("the reply to an upload that is finished", upload)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        outline(&tap),
        [
            "client: Request",
            "client: { value: 1 }",
            "client: { value: 2 }",
            "client: END_STREAM",
            "server: Response",
            "server: { count: 2, mean: 1.5, minimum: 1, maximum: 2 }",
            "server: Trailers",
            "server: END_STREAM",
        ]
    );
}

#[tokio::test]
async fn a_refusal_comes_while_the_upload_is_open_and_stops_the_sender() {
    let (tap, stub, _log) = start().await;
    let (sender, upload) = open_upload(&tap, &stub).await;
    sender.send(Number { value: f64::NAN }).await.unwrap();
    let status = soon("the refusal of NaN", upload)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(
        explain(&status),
        "InvalidArgument: reading 3 is NaN, not a finite number"
    );
    soon("the sender to be told", sender.closed()).await;
    let reset = tap.wait_for(|frame| frame.reset().is_some()).await;
    assert_eq!(
        (reset.direction, reset.reset()),
        (Direction::ToClient, Some("NO_ERROR"))
    );
    assert_eq!(
        outline(&tap)[4..],
        [
            "server: TrailersOnly",
            "server: END_STREAM",
            "server: RST_STREAM NO_ERROR"
        ]
    );
    // The connection goes on.
    assert_eq!(summarize(&stub, &[1.0; 3]).await.unwrap().count, 3);
    assert_eq!(tap.connections(), 1);
}

#[tokio::test]
async fn readings_are_summarized_and_none_are_refused() {
    let (_tap, stub, mut log) = start().await;
    for (readings, mean, minimum, maximum) in [
        (&[19.5, 21.5, 20.5, 22.5][..], 21.0, 19.5, 22.5),
        (&[-3.0, 3.0], 0.0, -3.0, 3.0),
        (&[0.25], 0.25, 0.25, 0.25),
    ] {
        let count = readings.len() as u64;
        let got = summarize(&stub, readings).await.unwrap();
        assert_eq!((got.count, got.mean), (count, mean));
        assert_eq!((got.minimum, got.maximum), (minimum, maximum));
        let line = format!("readings summarized: {count}");
        assert_eq!(soon("a line of the log", log.recv()).await, Some(line));
    }
    let status = summarize(&stub, &[]).await.unwrap_err();
    assert_eq!(explain(&status), "InvalidArgument: no readings, no summary");
    assert!(log.try_recv().is_err(), "nothing was summarized");
}

#[test]
fn no_readings_make_the_mean_overflow() {
    for (readings, mean) in [
        (&[f64::MAX, f64::MAX, f64::MAX][..], f64::MAX),
        (&[f64::MAX, f64::MIN], 0.0),
        (&[f64::MIN, f64::MAX, f64::MIN, f64::MAX], 0.0),
        (&[1e308, 1e308, -2e307], 6e307),
    ] {
        let mut summary = Summary::default();
        for &reading in readings {
            summary.add(reading).unwrap();
        }
        let error = (summary.mean - mean).abs();
        assert!(error <= 1e-15 * f64::MAX, "{readings:?}: {summary:?}");
    }
    let status = Summary::default().add(f64::INFINITY).unwrap_err();
    let expected = "InvalidArgument: reading 1 is inf, not a finite number";
    assert_eq!(explain(&status), expected);
}

#[tokio::test]
#[ignore = "exercise 1: answer before the upload ends"]
async fn exercise_1_adds_up_to_the_first_zero() {
    let (_tap, stub, _log) = start().await;
    for (numbers, expected) in [
        (&[1.0, 2.5, 4.0][..], 7.5),
        (&[], 0.0),
        (&[0.0, 9.0], 0.0),
        (&[-1.0, 3.0, 0.0, 5.0, 0.0], 2.0),
    ] {
        let numbers = numbers.iter().map(|&value| Number { value });
        let numbers: Vec<_> = numbers.collect();
        let mut stub = stub.clone();
        let reply = stub.add_up(tokio_stream::iter(numbers.clone())).await;
        let got = reply.map(|reply| reply.into_inner().value);
        let got = got.unwrap_or_else(|status| {
            panic!(
                "the sum of {numbers:?}: expected {expected}, got {}",
                explain(&status)
            )
        });
        assert_eq!(got, expected, "the sum of {numbers:?} (left: yours)");
    }

    // This upload stays open: `sender` isn't dropped.
    let (sender, numbers) = mpsc::channel(8);
    for value in [1.0, 2.0, -4.0, 0.0, 100.0] {
        sender.send(Number { value }).await.unwrap();
    }
    let mut stub = stub.clone();
    let reply = stub.add_up(ReceiverStream::new(numbers));
    let what = "the sum: the zero has been sent, and the answer must not wait for the upload's end";
    let got = soon(what, reply).await.unwrap().into_inner().value;
    assert_eq!(got, -1.0, "1 + 2 - 4, then a zero (left: yours)");
    soon("the sender to be told", sender.closed()).await;
}

#[tokio::test]
#[ignore = "exercise 2: upload in batches"]
async fn exercise_2_uploads_in_batches() {
    let (_tap, mut stub, mut log) = start().await;
    let mut in_batches = async |readings: &[f64], size| {
        let (sender, receiver) = mpsc::channel(100);
        for &reading in readings {
            sender.send(reading).await.unwrap();
        }
        drop(sender);
        let batches = summarize_in_batches(&mut stub, receiver, size);
        let got = soon("the end of summarize_in_batches", batches).await;
        let got = got.map_err(|status| explain(&status))?;
        let got: Vec<_> = got.iter().map(|it| (it.count, it.mean)).collect();
        Ok::<_, String>(got)
    };
    let readings = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 10.0];
    for (size, expected) in [
        (3, vec![(3, 2.0), (3, 5.0), (1, 10.0)]),
        (7, vec![(7, 31.0 / 7.0)]),
        (100, vec![(7, 31.0 / 7.0)]),
        (1, readings.map(|reading| (1, reading)).to_vec()),
    ] {
        let got = in_batches(&readings, size).await;
        let calls = expected.len();
        assert_eq!(
            got.map(|got| got.len()),
            Ok(calls),
            "summaries of 7 readings, {size} a call (left: yours)"
        );
        let got = in_batches(&readings, size).await.unwrap();
        for (got, expected) in got.iter().zip(&expected) {
            assert_eq!(
                got.0, expected.0,
                "the count of a call's readings (left: yours)"
            );
            assert!(
                (got.1 - expected.1).abs() < 1e-9,
                "a mean of {}, expected {}",
                got.1,
                expected.1
            );
        }
        for (count, _) in expected.iter().chain(&expected) {
            let line = log.try_recv().ok();
            let expected = Some(format!("readings summarized: {count}"));
            assert_eq!(
                line, expected,
                "the server's log: is each batch a call? (left: yours)"
            );
        }
    }
    assert_eq!(
        in_batches(&[], 3).await,
        Ok(vec![]),
        "no readings, no call (left: yours)"
    );
    let got = in_batches(&[1.0, 2.0, f64::NAN, 3.0, 4.0], 2).await;
    let expected = Err("InvalidArgument: reading 1 is NaN, not a finite number".to_owned());
    assert_eq!(
        got, expected,
        "the second batch begins with NaN (left: yours)"
    );
    let lines = (log.try_recv().ok(), log.try_recv().ok());
    let expected = (Some("readings summarized: 2".to_owned()), None);
    assert_eq!(
        lines, expected,
        "after a call that fails, none is begun (left: yours)"
    );
}

/// What the exercise asks for, as prost generates it.
#[derive(Clone, PartialEq, prost::Message)]
struct Summaries {
    #[prost(map = "string, message", tag = "1")]
    by_sensor: std::collections::HashMap<String, Summary>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Reading {
    #[prost(string, tag = "1")]
    sensor: String,
    #[prost(double, tag = "2")]
    value: f64,
}

#[tokio::test]
#[ignore = "exercise 3: a summary for each sensor"]
async fn exercise_3_summarizes_by_sensor() {
    let (tap, _stub, _log) = start().await;
    let post = async |readings: &[(&str, f64)]| {
        let frames = readings.iter().map(|&(sensor, value)| {
            let sensor = sensor.to_owned();
            framed(&prost::Message::encode_to_vec(&Reading { sensor, value }))
        });
        let body = frames.collect::<Vec<_>>().concat();
        let path = "/calculator.v1.Calculator/SummarizeBySensor";
        RawCall::new(path).body(body).send(tap.url()).await
    };
    let reply = post(&[("roof", 1.5), ("cellar", 8.0), ("roof", 2.5)]).await;
    let got = (reply.status(), reply.message());
    assert_eq!(
        got.0,
        Some("OK"),
        "SummarizeBySensor of three readings (left: yours): {got:?}"
    );
    let got: Summaries = prost::Message::decode(reply.messages[0].clone()).unwrap();
    let mut got: Vec<_> = got.by_sensor.into_iter().collect();
    got.sort_by(|left, right| left.0.cmp(&right.0));
    let got: Vec<_> = got
        .iter()
        .map(|(sensor, it)| (sensor.as_str(), it.count, it.mean))
        .collect();
    let expected = [("cellar", 1, 8.0), ("roof", 2, 2.0)];
    assert_eq!(got, expected, "sensor, count and mean (left: yours)");

    for (readings, why) in [
        (&[][..], "no readings, no summary"),
        (
            &[("roof", 1.0), ("roof", f64::NAN)],
            "reading 2 is NaN, not a finite number",
        ),
    ] {
        let reply = post(readings).await;
        let got = (reply.status(), reply.message());
        let expected = (Some("INVALID_ARGUMENT"), Some(why.to_owned()));
        assert_eq!(got, expected, "for {readings:?} (left: yours)");
    }

    let sensors: Vec<_> = (0..101).map(|number| number.to_string()).collect();
    let readings: Vec<_> = sensors.iter().map(|it| (it.as_str(), 1.0)).collect();
    let got = (
        post(&readings[..100]).await.status(),
        post(&readings).await.status(),
    );
    let expected = (Some("OK"), Some("RESOURCE_EXHAUSTED"));
    assert_eq!(got, expected, "for 100 sensors and for 101 (left: yours)");
}

async fn summarize(stub: &Stub, readings: &[f64]) -> Result<Summary, Status> {
    let readings: Vec<_> = readings.iter().map(|&value| Number { value }).collect();
    let mut stub = stub.clone();
    let reply = stub.summarize(tokio_stream::iter(readings)).await;
    reply.map(Response::into_inner)
}

/// Begins an upload of 1 and 2 and leaves it open. Both readings have passed the tap.
async fn open_upload(
    tap: &Tap,
    stub: &Stub,
) -> (Sender<Number>, JoinHandle<Result<Summary, Status>>) {
    let is_second = |frame: &Frame| {
        let messages = frame.messages();
        messages.iter().any(|it| it.text() == "{ value: 2 }")
    };
    let mut uploads = 1 + tap.frames().iter().filter(|frame| is_second(frame)).count();
    let (sender, readings) = mpsc::channel(4);
    let mut stub = stub.clone();
    let upload = tokio::spawn(async move {
        let reply = stub.summarize(ReceiverStream::new(readings)).await;
        reply.map(Response::into_inner)
    });
    for value in [1.0, 2.0] {
        sender.send(Number { value }).await.unwrap();
    }
    tap.wait_for(|frame| {
        uploads -= usize::from(is_second(frame));
        uploads == 0
    })
    .await;
    (sender, upload)
}

/// Serves behind a tap; returns the tap, a stub and the log.
async fn start() -> (Tap, Stub, Receiver<String>) {
    let (log, lines) = mpsc::channel(64);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = Tap::start(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(serve(listener, log));
    let stub = Stub::connect(tap.url()).await.unwrap();
    (tap, stub, lines)
}
