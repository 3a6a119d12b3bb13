//! What is said before and after the messages, in all four kinds of call, and the exercises.

use conform::deadline::{ClientDeadline, ClientDeadlineLayer};
use conform::metadata::{
    HeaderLimitLayer, ResponseMetadata, SplitMetadataLayer, Trailers, check_interceptor,
};
use conform::status::explain;
use tokio::sync::mpsc::{self, Receiver};
use tonic::Code;
use tonic::codegen::http;
use tonic::metadata::MetadataMap;
use tonic::service::interceptor::InterceptorLayer;
use tonic::transport::Channel;
use tower::{Layer, ServiceBuilder};
use wire::testing::{outline, soon};
use wire::{Direction, Frame, Tap};

use super::*;
use crate::caller::from_zoe;
use crate::proto::calculator_client::CalculatorClient;

/// A method, numbers that it takes, and what they cost.
const GOOD: [(&str, &[f64], u64); 4] = [
    ("SquareRoot", &[9.0], 1),
    ("Factorize", &[60.0], 4),
    ("Summarize", &[9.0, 16.0], 2),
    ("Maximum", &[9.0, 16.0, 4.0], 3),
];

/// A method, numbers that make it fail, and what was done until then.
const BAD: [(&str, &[f64], u64); 4] = [
    ("SquareRoot", &[-4.0], 1),
    ("Factorize", &[0.0], 0),
    ("Summarize", &[9.0, f64::NAN], 1),
    ("Maximum", &[9.0, 16.0, f64::NAN], 2),
];

#[tokio::test]
async fn the_client_reads_headers_and_trailers_in_all_four_kinds() {
    let mut calculator = connect(start().await.0).await;
    for (method, values, cost) in GOOD {
        let answer = ask(&mut calculator, method, values, zoe()).await.unwrap();
        assert_eq!(
            answer.headers.get("served-by").unwrap(),
            "abacus",
            "{method}"
        );
        let expected = cost.to_string();
        assert_eq!(answer.trailers.get("cost").unwrap(), &*expected, "{method}");
        // Headers come before the work, so they can't say what it costs.
        assert_eq!(
            answer.headers.contains_key("cost"),
            !answer.is_stream,
            "{method}"
        );
    }
}

#[tokio::test]
async fn the_client_reads_trailers_after_failure_in_all_four_kinds() {
    let mut calculator = connect(start().await.0).await;
    for (method, values, cost) in BAD {
        let answer = ask(&mut calculator, method, values, zoe()).await;
        let status = answer.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{method}");
        let expected = cost.to_string();
        assert_eq!(
            status.metadata().get("cost").unwrap(),
            &*expected,
            "{method}"
        );
    }
}

#[tokio::test]
async fn the_server_learns_who_asks_in_all_four_kinds() {
    let (url, mut log) = start().await;
    let mut calculator = connect(url).await;
    for (method, values, _) in GOOD {
        ask(&mut calculator, method, values, zoe()).await.unwrap();
        let line = format!("Zoë (homework, urgent) asked for {method}");
        assert_eq!(soon(&line, log.recv()).await.unwrap(), line);
    }
}

#[tokio::test]
async fn the_summary_is_that_of_lesson_03() {
    let mut calculator = connect(start().await.0).await;
    let readings = [f64::MAX, -f64::MAX].map(|value| Number { value });
    let summary = calculator
        .summarize(from_zoe(tokio_stream::iter(readings)))
        .await;
    let summary = summary.unwrap().into_inner();
    let expected = Summary {
        count: 2,
        mean: 0.0,
        minimum: -f64::MAX,
        maximum: f64::MAX,
    };
    assert_eq!(summary, expected);
    let nothing = from_zoe(tokio_stream::empty::<Number>());
    let status = calculator.summarize(nothing).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_reply_has_headers_before_it_and_trailers_after_it() {
    let frames = frames_of_a_square_root(9.0).await;
    let request = &frames[0];
    assert_eq!(all(request, "tag"), ["homework", "urgent"]);
    assert_eq!(all(request, "caller-bin"), ["Wm/Dqw"], "Zoë in Base64");
    let answer: Vec<_> = frames
        .iter()
        .filter(|it| it.direction == Direction::ToClient)
        .collect();
    assert_eq!(
        outline(answer.iter().copied()),
        [
            "server: Response",
            "server: { value: 3 }",
            "server: Trailers",
            "server: END_STREAM"
        ]
    );
    let (headers, trailers) = (answer[0], answer[answer.len() - 1]);
    assert_eq!(all(headers, "served-by"), ["abacus"]);
    assert!(all(headers, "cost").is_empty(), "the cost isn't known yet");
    assert_eq!(all(trailers, "cost"), ["1"]);
    assert_eq!(all(trailers, "grpc-status"), ["0"]);
}

#[tokio::test]
async fn an_error_without_a_message_has_only_trailers() {
    let frames = frames_of_a_square_root(-4.0).await;
    let answer: Vec<_> = frames
        .iter()
        .filter(|it| it.direction == Direction::ToClient)
        .collect();
    assert_eq!(
        outline(answer.iter().copied()),
        ["server: TrailersOnly", "server: END_STREAM"]
    );
    assert_eq!(all(answer[0], "grpc-status"), ["3"]);
    assert_eq!(all(answer[0], "cost"), ["1"]);
    assert!(
        all(answer[0], "served-by").is_empty(),
        "it went with the response"
    );
}

#[test]
fn whatever_a_caller_calls_itself_is_noted_in_one_line() {
    for (name, value, noted) in [
        ("caller", "Ann", "somebody ()"),
        ("caller-bin", "QW5u", "Ann ()"),
        ("caller-bin", "QW5u,Qm9i", "somebody ()"),
        ("caller-bin", "***", "somebody ()"),
        ("caller-bin", "//8", "\u{fffd}\u{fffd} ()"),
        ("caller-bin", "G1sySgo", r"\u{1b}[2J\n ()"),
        ("tag", "\u{9b}2J", r"somebody (\u{9b}2J)"),
    ] {
        let mut headers = http::HeaderMap::new();
        let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.insert(name, value);
        let metadata = MetadataMap::from_headers(headers);
        assert_eq!(caller::describe(&metadata), noted);
    }
}

#[tokio::test]
async fn a_stream_ends_after_a_minute_though_its_client_is_still_there() {
    let mut calculator = connect(start().await.0).await;
    // The product of two primes below 2³²: the search for the first one takes many seconds.
    let value = 18_446_743_979_220_271_189;
    let replies = calculator.factorize(from_zoe(Integer { value })).await;
    let mut replies = replies.unwrap().into_inner();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    let status = soon("the end", replies.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

/// As *Harden it* has it.
#[tokio::test]
async fn a_hardened_client_keeps_the_rules() {
    let (url, mut log) = start().await;
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let channel = ServiceBuilder::new()
        .layer(InterceptorLayer::new(check_interceptor))
        .layer(HeaderLimitLayer::new(8 * 1024))
        .layer(SplitMetadataLayer::new())
        .service(channel);
    let mut calculator = CalculatorClient::new(channel);
    let nine = || from_zoe(Number { value: 9.0 });

    for (name, value, code) in [
        ("grpc-cost", "1".to_owned(), Code::InvalidArgument),
        ("letter", "x".repeat(10_000), Code::ResourceExhausted),
    ] {
        let mut request = nine();
        request.metadata_mut().insert(name, value.parse().unwrap());
        let status = calculator.square_root(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{name}: {}", explain(&status));
    }
    log.try_recv()
        .expect_err("a request that breaks the rules was sent");

    let response = calculator.square_root(nine()).await.unwrap();
    let metadata = response.extensions().get::<ResponseMetadata>().unwrap();
    assert_eq!(metadata.headers().get("served-by").unwrap(), "abacus");
    assert!(metadata.headers().get("cost").is_none());
    assert_eq!(metadata.trailers().get("cost").unwrap(), "1");
}

#[tokio::test]
#[ignore = "exercise 1: no answer for nobody"]
async fn exercise_1_asks_every_caller_for_a_name() {
    let (url, mut log) = start().await;
    let mut calculator = connect(url).await;
    for (method, values, _) in GOOD {
        for name in [None, Some(""), Some(" \t")] {
            let mut metadata = MetadataMap::new();
            if let Some(name) = name {
                let name = MetadataValue::from_bytes(name.as_bytes());
                metadata.insert_bin("caller-bin", name);
            }
            let answer = ask(&mut calculator, method, values, metadata).await;
            let call = match name {
                None => format!("{method} without `caller-bin`"),
                Some(name) => format!("{method} with `caller-bin` {name:?}"),
            };
            let Err(status) = answer else {
                panic!("{call}: expected INVALID_ARGUMENT, got an answer");
            };
            assert!(
                status.code() == Code::InvalidArgument,
                "{call}: expected INVALID_ARGUMENT, got {}",
                explain(&status)
            );
            let message = status.message();
            assert!(
                message.contains("caller-bin"),
                "{message:?} should name caller-bin"
            );
        }
        if let Err(status) = ask(&mut calculator, method, values, zoe()).await {
            panic!("{method} refuses Zoë: {}", explain(&status));
        }
        let line = soon("a line of the log", log.recv()).await.unwrap();
        assert!(line.starts_with("Zoë"), "a handler ran for nobody: {line}");
    }
}

#[tokio::test]
#[ignore = "exercise 2: what it cost in all"]
async fn exercise_2_adds_up_what_calls_cost() {
    let mut calculator = connect(start_prices().await).await;
    for (values, numbers, cost) in [
        (&[][..], &[][..], 0),
        (&[9.0, 16.0], &[], 700),
        (&[-4.0, 9.0], &[], 700),
        (&[], &[6, 6], 26),
        (&[9.0], &[6, 0], 350 + 13 + 5),
        // For 7 this server charges nothing, and says nothing of it.
        (&[], &[7, 6], 13),
    ] {
        let total = spending::total_cost(&mut calculator, values, numbers).await;
        let total = total.unwrap_or_else(|status| {
            panic!("{values:?}, {numbers:?}: {}", explain(&status));
        });
        assert_eq!(
            total, cost,
            "the cost of the roots of {values:?} and the factors of {numbers:?}"
        );
    }
    let total = spending::total_cost(&mut calculator, &[], &[6, 8]).await;
    let code = total.err().map(|status| status.code());
    assert_eq!(
        code,
        Some(Code::Aborted),
        "factors of 8: only INVALID_ARGUMENT is expected"
    );
}

#[tokio::test]
#[ignore = "exercise 3: a receipt"]
async fn exercise_3_sends_a_receipt() {
    let mut calculator = connect(start().await.0).await;
    for (method, values, cost) in GOOD {
        let answer = ask(&mut calculator, method, values, zoe()).await;
        let answer = answer.unwrap_or_else(|status| panic!("{method}: {}", explain(&status)));
        assert_receipt(method, &answer.trailers, cost);
    }
    for (method, values, cost) in BAD {
        let answer = ask(&mut calculator, method, values, zoe()).await;
        let status = answer.err();
        let status = status.unwrap_or_else(|| panic!("{method} of {values:?} should fail"));
        assert_receipt(method, status.metadata(), cost);
    }
}

/// A receipt for Zoë: field 1 is a string, field 2 a varint, and absent if it's 0.
fn assert_receipt(method: &str, trailers: &MetadataMap, cost: u64) {
    let receipt = trailers.get_bin("receipt-bin");
    let receipt = receipt.unwrap_or_else(|| panic!("{method}: no trailer receipt-bin"));
    let mut expected = vec![0x0a, "Zoë".len() as u8];
    expected.extend("Zoë".bytes());
    if cost > 0 {
        expected.extend([0x10, cost as u8]);
    }
    let what = format!("{method}: the bytes of a receipt for \"Zoë\" about {cost}");
    assert_eq!(receipt.to_bytes().unwrap(), expected, "{what}");
    let cost = cost.to_string();
    assert_eq!(
        trailers.get("cost").unwrap(),
        &*cost,
        "{method}: the trailer cost stays"
    );
}

/// A calculator with prices of its own.
struct Prices;

#[tonic::async_trait]
impl Calculator for Prices {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        Trailers::of(&request).lock().insert("cost", 350.into());
        let value = unary::square_root(request.into_inner().value)?;
        Ok(Response::new(Number { value }))
    }

    async fn factorize(
        &self,
        request: Request<Integer>,
    ) -> Result<Response<BoxStream<Integer>>, Status> {
        let trailers = Trailers::of(&request);
        let number = request.into_inner().value;
        if number == 7 {
            return Ok(Response::new(Box::pin(tokio_stream::empty())));
        }
        if number == 8 {
            return Err(Status::aborted("8"));
        }
        trailers.lock().insert("cost", 5.into());
        if number == 0 {
            return Err(Status::invalid_argument("0"));
        }
        // The price goes up while the stream is read.
        let replies = tokio_stream::iter([2, 3]).map(move |value| {
            trailers.lock().insert("cost", 13.into());
            Ok(Integer { value })
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

async fn start_prices() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = conform::server::builder()
        .layer(TrailersLayer::new())
        .add_service(CalculatorServer::new(Prices))
        .serve_with_incoming(conform::server::incoming(listener));
    tokio::spawn(server);
    url
}

/// Serves on a free port; returns where, and the log.
async fn start() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (log, lines) = mpsc::channel(64);
    tokio::spawn(serve(listener, log));
    (url, lines)
}

type Client = CalculatorClient<ClientDeadline<Channel>>;

async fn connect(url: String) -> Client {
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    CalculatorClient::new(ClientDeadlineLayer::new().layer(channel))
}

fn zoe() -> MetadataMap {
    from_zoe(()).into_parts().0
}

/// What tonic's own client has of the metadata of a call that succeeded.
struct Answer {
    headers: MetadataMap,
    trailers: MetadataMap,
    is_stream: bool,
}

/// Makes one call of `method` with this metadata, and reads the answer to its end.
async fn ask(
    calculator: &mut Client,
    method: &str,
    values: &[f64],
    metadata: MetadataMap,
) -> Result<Answer, Status> {
    let numbers: Vec<_> = values.iter().map(|&value| Number { value }).collect();
    let first = numbers[0];
    let request = Request::from_parts(metadata, Default::default(), tokio_stream::iter(numbers));
    let one = |headers: &MetadataMap| Answer {
        headers: headers.clone(),
        trailers: headers.clone(),
        is_stream: false,
    };
    match method {
        "SquareRoot" => {
            let root = calculator.square_root(request.map(|_| first)).await?;
            Ok(one(root.metadata()))
        }
        "Factorize" => {
            let value = first.value as u64;
            let number = request.map(|_| Integer { value });
            read(calculator.factorize(number).await?).await
        }
        "Summarize" => Ok(one(calculator.summarize(request).await?.metadata())),
        _ => read(calculator.maximum(request).await?).await,
    }
}

async fn read<T>(response: Response<Streaming<T>>) -> Result<Answer, Status> {
    let headers = response.metadata().clone();
    let mut messages = response.into_inner();
    while messages.message().await?.is_some() {}
    Ok(Answer {
        headers,
        trailers: messages.trailers().await?.unwrap_or_default(),
        is_stream: true,
    })
}

async fn frames_of_a_square_root(value: f64) -> Vec<Frame> {
    let tap = Tap::start(start().await.0).await.unwrap();
    let mut calculator = connect(tap.url()).await;
    let _ = calculator.square_root(from_zoe(Number { value })).await;
    let mut frames = tap.frames();
    frames.retain(Frame::belongs_to_a_call);
    frames
}

fn all(frame: &Frame, name: &str) -> Vec<String> {
    let fields = frame.fields().iter().filter(|field| field.name() == name);
    fields.map(|field| field.value().to_string()).collect()
}
