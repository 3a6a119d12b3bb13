//! Who is told what, what stays hidden, a client that was built without any proto, and the
//! exercises.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};

use conform::reflection::{ReflectionClient, ReflectionError, call_json, method_of, to_json};
use interceptors::{Connection, connect};
use prost::Message;
use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::FileDescriptorSet;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, Receiver};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request};
use wire::testing::{RawCall, framed, soon};

use super::*;

const CALCULATOR: &str = "calculator.v1.Calculator";
const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

#[tokio::test]
async fn members_are_told_of_the_calculator_and_of_nothing_else() {
    let (url, _lines) = start().await;
    let mut ann = client(&url, Some(members::ANN)).await;
    let services = ann.services().await.unwrap();
    assert_eq!(
        services,
        [CALCULATOR, "grpc.reflection.v1.ServerReflection"]
    );
    let types = ann.types_of(CALCULATOR).await.unwrap();
    assert!(method_of(&types, "calculator.v1.Calculator/Maximum").is_some());
    // Names that somebody could guess.
    for guess in [
        "helloworld.Greeter",
        "helloworld.Greeter.SayHello",
        "helloworld.HelloRequest",
        "helloworld.HelloReply",
    ] {
        let error = ann.types_of(guess).await.unwrap_err();
        assert!(
            matches!(error, ReflectionError::NotFound(_)),
            "{guess}: {error}"
        );
    }
}

#[tokio::test]
async fn strangers_are_told_nothing_in_either_version() {
    let (url, _lines) = start().await;
    for token in [
        None,
        Some("Bearer token-of-eve"),
        Some("token-of-ann"),
        Some(""),
    ] {
        let mut eve = client(&url, token).await;
        let error = eve.services().await.unwrap_err();
        assert_eq!(code(&error), Code::Unauthenticated, "{token:?}");
        let error = eve.types_of(CALCULATOR).await.unwrap_err();
        assert_eq!(code(&error), Code::Unauthenticated, "{token:?}");
    }
    for path in [V1, V1ALPHA] {
        let reply = RawCall::new(path).body(framed(&[0x3a, 0])).send(&url).await;
        assert_eq!(reply.status(), Some("UNAUTHENTICATED"), "{path}");
        assert!(reply.messages.is_empty(), "{path}");
    }
}

/// Without reflection the methods are as open as the table says, and as closed.
#[tokio::test]
async fn what_is_not_in_the_table_is_closed_to_members_too() {
    let (url, _lines) = start().await;
    for (path, expected) in [
        ("/calculator.v1.Calculator/SquareRoot", "OK"),
        ("/calculator.v1.Calculator/Divide", "PERMISSION_DENIED"),
        ("/helloworld.Greeter/SayHelloAgain", "PERMISSION_DENIED"),
        ("/nobody.Knows/This", "PERMISSION_DENIED"),
    ] {
        let call = RawCall::new(path).header("authorization", members::ANN);
        let reply = call.body(framed(b"")).send(&url).await;
        assert_eq!(reply.status(), Some(expected), "{path}");
    }
}

#[test]
fn each_method_that_is_there_has_its_row_and_no_other() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let methods = pool.services().flat_map(|service| {
        let name = service.full_name().to_owned();
        let paths = service.methods().map(|it| format!("/{name}/{}", it.name()));
        paths.collect::<Vec<_>>()
    });
    let reflection = [V1, V1ALPHA].map(str::to_owned);
    let incomplete = members::policy()
        .check(methods.chain(reflection))
        .unwrap_err();
    assert_eq!(incomplete.without_method, [""; 0]);
    // Those that no handler answers yet.
    let closed = ["AddUp", "Divide", "Primes", "Sort", "Summarize"];
    let closed = closed.map(|it| format!("/calculator.v1.Calculator/{it}"));
    let greeter = ["SayHello", "SayHelloAgain"].map(|it| format!("/helloworld.Greeter/{it}"));
    let expected: BTreeSet<_> = closed.into_iter().chain(greeter).collect();
    let without_row: BTreeSet<_> = incomplete.without_row.into_iter().collect();
    let forgotten: Vec<_> = without_row.difference(&expected).collect();
    assert!(
        forgotten.is_empty(),
        "without a row in the table: {forgotten:?}"
    );
}

#[tokio::test]
async fn each_kind_of_call_is_made_with_json_alone() {
    let (url, _lines) = start().await;
    for (method, json, expected) in [
        ("SquareRoot", r#"{"value": 16}"#, &[r#"{"value":4.0}"#][..]),
        (
            "Factorize",
            r#"{"value": 6}"#,
            &[r#"{"value":"2"}"#, r#"{"value":"3"}"#],
        ),
        ("Factorize", r#"{"value": "1"}"#, &[]),
        (
            "Maximum",
            r#"{"value": 3}{"value": -Infinity}"#,
            &["line 1, column 24: expected a number"],
        ),
        (
            "Maximum",
            r#"{"value": 3}{"value": "Infinity"}{"value": 4}"#,
            &[
                r#"{"value":3.0}"#,
                r#"{"value":"Infinity"}"#,
                r#"{"value":"Infinity"}"#,
            ],
        ),
        ("Maximum", "", &[]),
        ("SquareRoot", "{}", &["{}"]),
        (
            "SquareRoot",
            "",
            &["SquareRoot takes one message, not none or many"],
        ),
        (
            "SquareRoot",
            "{}{}",
            &["SquareRoot takes one message, not none or many"],
        ),
    ] {
        let got = ask(&url, method, json).await;
        // A reply may come before what is wrong is read.
        let got: Vec<_> = got.iter().map(String::as_str).collect();
        assert!(got.ends_with(expected), "{method} {json}: {got:?}");
    }
}

/// What `ask` prints of a service compiles, and to the same descriptor.
#[tokio::test]
async fn what_is_printed_is_the_proto_that_was_compiled() {
    let (url, _lines) = start().await;
    let text = client(&url, Some(members::ANN))
        .await
        .text_of(CALCULATOR)
        .await
        .unwrap();
    let folder = std::env::temp_dir().join(format!("printed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("calculator.proto"), &text).unwrap();
    let compiled = protox::compile(["calculator.proto"], [&folder]);
    std::fs::remove_dir_all(&folder).unwrap();
    let original = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let [printed, original] = [compiled.unwrap(), original].map(|set| {
        let mut files = set.file.into_iter();
        let mut file = files.find(|it| it.name() == "calculator.proto").unwrap();
        file.source_code_info = None;
        file
    });
    assert_eq!(printed, original, "{text}");
    assert!(
        text.contains("// Unary: one request, one reply. Lesson 01.\n"),
        "{text}"
    );
}

#[tokio::test]
async fn v1_and_v1alpha_tell_the_same() {
    let (url, _lines) = start().await;
    // "List the services", which is field 7 in both.
    for (path, version) in [(V1, "v1"), (V1ALPHA, "v1alpha")] {
        let call = RawCall::new(path).header("authorization", members::ANN);
        let reply = call.body(framed(&[0x3a, 1, b'*'])).send(&url).await;
        assert_eq!(reply.status(), Some("OK"), "{path}");
        let text = String::from_utf8_lossy(&reply.messages[0]).into_owned();
        assert!(text.contains(CALCULATOR), "{text}");
        let reflection = format!("grpc.reflection.{version}.ServerReflection");
        assert!(text.contains(&reflection), "{text}");
        assert!(!text.contains("helloworld"), "{text}");
    }
}

#[tokio::test]
async fn the_log_says_who_asked_for_reflection_and_how_it_ended() {
    let (url, mut lines) = start().await;
    client(&url, None).await.services().await.unwrap_err();
    client(&url, Some(members::ANN))
        .await
        .services()
        .await
        .unwrap();
    for end in ["Unauthenticated", "Ok"] {
        let line = soon("a line of the log", lines.recv()).await.unwrap();
        assert_eq!(line.trim_end_matches(", slow"), format!("{V1}: {end}"));
    }
}

/// Thousands of questions, on many calls at once, whose answers nobody reads.
#[tokio::test]
async fn a_flood_of_questions_holds_nobody_up() {
    let (url, _lines) = start().await;
    let question = framed(&[&[0x22, CALCULATOR.len() as u8][..], CALCULATOR.as_bytes()].concat());
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (url, question) = (url.clone(), question.clone());
        flood.spawn(async move {
            let channel = connect(url).await.unwrap();
            let mut stubs = Vec::new();
            for _ in 0..25 {
                let questions = question_stream(&question[5..]);
                let mut grpc = tonic::client::Grpc::new(channel.clone());
                grpc.ready().await.unwrap();
                let mut request = Request::new(questions);
                request
                    .metadata_mut()
                    .insert("authorization", members::ANN.parse().unwrap());
                let path = tonic::codegen::http::uri::PathAndQuery::from_static(V1);
                let codec = tonic_prost::ProstCodec::<Raw, Raw>::default();
                stubs.push(grpc.streaming(request, path, codec).await.unwrap());
            }
            std::future::pending::<()>().await
        });
    }
    // Without a deadline: on a busy machine it's late, but it comes.
    let endpoint = tonic::transport::Endpoint::from_shared(url.clone()).unwrap();
    for _ in 0..5 {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", members::ANN.parse().unwrap());
        let ann = ReflectionClient::new(endpoint.connect_lazy()).metadata(metadata);
        soon("a description", ann.clone().types_of(CALCULATOR))
            .await
            .unwrap();
    }
}

/// The same question without end.
fn question_stream(question: &[u8]) -> impl futures::Stream<Item = Raw> + Send + use<> {
    let symbol = String::from_utf8(question[2..].to_vec()).unwrap();
    futures::stream::repeat(Raw { symbol })
}

/// A `ServerReflectionRequest` with `file_containing_symbol`.
#[derive(Clone, PartialEq, Message)]
struct Raw {
    #[prost(string, tag = "4")]
    symbol: String,
}

#[tokio::test]
#[ignore = "exercise 1: greet, and stay hidden"]
async fn exercise_1_the_greeter_greets_everyone_and_stays_hidden() {
    let (url, _lines) = start().await;
    let path = "/helloworld.Greeter/SayHello";
    for (name, token) in [("Ann", members::ANN), ("Zoë", ""), ("", "")] {
        let request = [&[0x0a, name.len() as u8], name.as_bytes()].concat();
        let call = RawCall::new(path)
            .header("authorization", token)
            .body(framed(&request));
        let reply = call.send(&url).await;
        let who = if token.is_empty() {
            "a stranger"
        } else {
            "a member"
        };
        expect(
            reply.status(),
            Some("OK"),
            format!("the status of {path}, called by {who}"),
        );
        let greeting = format!("Hello, {name}!");
        let expected = [&[0x0a, greeting.len() as u8], greeting.as_bytes()].concat();
        let got = reply.messages.first().map(|message| message.to_vec());
        let what = format!("the reply's bytes for `{name}`: `{greeting}` as field 1");
        expect(got, Some(expected), what);
    }
    let told = client(&url, Some(members::ANN))
        .await
        .types_of("helloworld.Greeter")
        .await;
    expect(
        told.is_err(),
        true,
        "whether the greeter is still hidden from Ann",
    );
}

#[test]
#[ignore = "exercise 2: a template"]
fn exercise_2_a_template_has_every_field() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(set).unwrap();
    for (name, expected) in [
        ("calculator.v1.Number", r#"{"value":0}"#),
        ("calculator.v1.Operands", r#"{"left":0,"right":0}"#),
        ("calculator.v1.Integer", r#"{"value":"0"}"#),
        ("helloworld.HelloRequest", r#"{"name":""}"#),
        ("google.protobuf.FileDescriptorSet", r#"{"file":[]}"#),
    ] {
        let global = DescriptorPool::global();
        let message = pool.get_message_by_name(name);
        let message = message
            .or_else(|| global.get_message_by_name(name))
            .unwrap();
        let got: String = template::template(&message).split_whitespace().collect();
        expect(
            got.as_str(),
            expected,
            format!("the template for {name}, without spaces"),
        );
    }
}

/// The client is not built anew: it asks.
#[tokio::test]
#[ignore = "exercise 3: a new method"]
async fn exercise_3_multiply_is_described_and_called() {
    let (url, _lines) = start().await;
    let text = client(&url, Some(members::ANN))
        .await
        .text_of(CALCULATOR)
        .await
        .unwrap();
    let rpc = "rpc Multiply(Operands) returns (Number);";
    expect(
        text.contains(rpc),
        true,
        format!("whether the description has `{rpc}`"),
    );
    let before = text
        .split(rpc)
        .next()
        .and_then(|it| it.trim_end().lines().last());
    let is_comment = before.is_some_and(|line| line.trim().starts_with("//"));
    expect(
        is_comment,
        true,
        "whether a comment above it says what it does",
    );
    for (json, expected) in [
        (r#"{"left": 6, "right": 7}"#, r#"{"value":42.0}"#),
        (r#"{"left": -0.5, "right": 3}"#, r#"{"value":-1.5}"#),
        ("{}", "{}"),
    ] {
        let got = ask(&url, "Multiply", json).await.join(" ");
        expect(
            got.as_str(),
            expected,
            format!("what Multiply answers to {json}"),
        );
    }
}

/// Fails with a sentence that says what was expected and what came.
#[track_caller]
fn expect<T: PartialEq + Debug>(got: T, expected: T, what: impl Display) {
    assert!(
        got == expected,
        "{what}: expected {expected:?}, got {got:?}"
    );
}

/// Calls a method of the calculator as a stranger, by what Ann is told. The replies, and the
/// error if there is one.
async fn ask(url: &str, method: &str, json: &str) -> Vec<String> {
    let types = client(url, Some(members::ANN))
        .await
        .types_of(CALCULATOR)
        .await
        .unwrap();
    let Some(method) = method_of(&types, &format!("{CALCULATOR}/{method}")) else {
        return vec![format!("no method {method}")];
    };
    let channel = connect(url.to_owned()).await.unwrap();
    let json = std::io::Cursor::new(json.to_owned());
    let mut replies = match call_json(channel, &method, Request::new(()), json).await {
        Ok(response) => response.into_inner(),
        Err(error) => return vec![conform::status::explain(&error)],
    };
    let mut lines = Vec::new();
    loop {
        match soon("a reply", replies.message()).await {
            Ok(Some(reply)) => lines.push(to_json(&reply).unwrap()),
            Ok(None) => return lines,
            Err(error) => {
                lines.push(conform::status::explain(&error));
                return lines;
            }
        }
    }
}

fn code(error: &ReflectionError) -> Code {
    match error {
        ReflectionError::Call(status) => status.code(),
        other => panic!("{other}"),
    }
}

async fn client(url: &str, token: Option<&str>) -> ReflectionClient<Connection> {
    let mut metadata = MetadataMap::new();
    if let Some(token) = token {
        metadata.insert("authorization", token.parse().unwrap());
    }
    let channel = connect(url.to_owned()).await.unwrap();
    ReflectionClient::new(channel).metadata(metadata)
}

/// Serves on a free port; returns the URL and the log.
async fn start() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (log, lines) = mpsc::channel(1024);
    tokio::spawn(serve(listener, log));
    (url, lines)
}
