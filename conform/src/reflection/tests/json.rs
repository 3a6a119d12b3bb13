//! Calls with JSON, and what tools on a terminal need.

use std::io::{Cursor, Read};
use std::sync::mpsc::{Receiver, Sender, channel};

use greeter::greeter_server::GreeterServer;
use tonic::Code;
use tonic::metadata::MetadataMap;

use super::call::{Polite, method};
use super::*;

async fn ask(name: &str, json: &str) -> Result<Vec<String>, CallError> {
    let json = Cursor::new(json.to_owned());
    let service = GreeterServer::new(Polite);
    let response = call_json(service, &method(name), Request::new(()), json).await?;
    let mut replies = response.into_inner();
    let mut texts = Vec::new();
    while let Some(reply) = replies.message().await? {
        texts.push(to_json(&reply)?);
    }
    let trailers = replies.trailers().await?.unwrap();
    assert_eq!(trailers.get("grpc-status").unwrap(), "0");
    Ok(texts)
}

#[tokio::test]
async fn each_kind_of_call_is_made_with_json() {
    for (name, json, expected) in [
        (
            "Greet",
            r#"{"name": "Ann"}"#,
            &[r#"{"text":"Hello, Ann!"}"#][..],
        ),
        (
            "GreetOften",
            r#"{"name": "Ann"}"#,
            &[r#"{"text":"Hello, Ann 1!"}"#, r#"{"text":"Hello, Ann 2!"}"#],
        ),
        (
            "GreetAll",
            r#"{"name": "A"} {"name": "B"}"#,
            &[r#"{"text":"Hello, A, B!"}"#],
        ),
        ("GreetAll", "", &[r#"{"text":"Hello, !"}"#]),
        (
            "GreetEach",
            r#"{"name": "A"}{}"#,
            &[r#"{"text":"Hello, A!"}"#, r#"{"text":"Hello, !"}"#],
        ),
        ("GreetEach", "", &[]),
    ] {
        assert_eq!(ask(name, json).await.unwrap(), expected, "{name} {json}");
    }
}

#[tokio::test]
async fn one_message_is_neither_none_nor_two() {
    for name in ["Greet", "GreetOften"] {
        for json in ["", "{}{}", "{}{}{}"] {
            let error = ask(name, json).await.unwrap_err();
            assert!(matches!(error, CallError::Input(_)));
            let expected = format!("{name} takes one message, not none or many");
            assert_eq!(error.to_string(), expected);
        }
        for json in ["{} x", "x"] {
            let error = ask(name, json).await.unwrap_err();
            assert!(
                error.to_string().contains(": expected a value: a number"),
                "{error}"
            );
        }
    }
}

/// Reads what is typed in a test, and waits where nothing is.
struct Typed(Receiver<&'static str>, Cursor<Vec<u8>>);

impl Read for Typed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        let Ok(line) = self.0.recv() else {
            return Ok(0);
        };
        self.1 = Cursor::new(line.as_bytes().to_vec());
        self.1.read(buffer)
    }
}

fn typed() -> (Sender<&'static str>, Typed) {
    let (sender, receiver) = channel();
    (sender, Typed(receiver, Cursor::default()))
}

#[tokio::test]
async fn a_reply_comes_before_the_next_message_is_typed() {
    let (keyboard, reader) = typed();
    keyboard.send("{\"name\": \"A\"}\n").unwrap();
    let service = GreeterServer::new(Polite);
    let response = call_json(service, &method("GreetEach"), Request::new(()), reader).await;
    let mut replies = response.unwrap().into_inner();
    for next in ["{\"name\": \"B\"}\n", "{}\n"] {
        let reply = crate::testing::soon(replies.message())
            .await
            .unwrap()
            .unwrap();
        assert!(to_json(&reply).unwrap().contains("Hello"));
        keyboard.send(next).unwrap();
    }
    crate::testing::soon(replies.message())
        .await
        .unwrap()
        .unwrap();
    drop(keyboard);
    assert!(
        crate::testing::soon(replies.message())
            .await
            .unwrap()
            .is_none()
    );
}

/// An upload that ended at the wrong message would look complete to the server.
#[tokio::test]
async fn a_wrong_message_breaks_the_call_off() {
    let (ends, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let service = tower::service_fn(move |request: tonic::codegen::http::Request<_>| {
        let ends = ends.clone();
        let on_end = crate::status::OnEnd::new(move |code| ends.send(code).unwrap());
        async move {
            use tonic::codegen::Service;
            Ok::<_, Status>(on_end.watch(GreeterServer::new(Polite).call(request).await.unwrap()))
        }
    });
    let (keyboard, reader) = typed();
    keyboard.send("{\"name\": \"A\"}\n").unwrap();
    let response = call_json(service, &method("GreetEach"), Request::new(()), reader).await;
    let mut replies = response.unwrap().into_inner();
    replies.message().await.unwrap().unwrap();
    keyboard.send("{\"nobody\": 1}\n").unwrap();
    let error = crate::testing::soon(replies.message()).await.unwrap_err();
    assert!(
        error.to_string().contains("no field is called `nobody`"),
        "{error}"
    );
    drop(replies);
    assert_eq!(ended.recv().await, Some(None), "broken off");
    // With nothing before it, too: GreetAll answers only when all is there.
    let error = ask("GreetAll", "{} {").await.unwrap_err();
    assert!(error.to_string().ends_with("a } is missing"), "{error}");
}

#[test]
fn what_is_no_json_is_said_with_its_place_and_what_was_expected() {
    let greet = method("Greet").input();
    let no_name = "this is no greeter.v1.Name: ";
    let mut wrong = Vec::new();
    for (json, place, expected) in [
        (
            "{name: 1}",
            "1, column 2",
            "expected a field's name in \"\"",
        ),
        (
            "{'name': 1}",
            "1, column 2",
            "expected a field's name in \"\"",
        ),
        (
            "{\n\"name\" 1}",
            "2, column 8",
            "expected a colon after the field's name",
        ),
        (
            "{\"name\": Ann}",
            "1, column 10",
            "expected a value: a number",
        ),
        (
            "{\"name\": nobody}",
            "1, column 11",
            "expected a value: a number",
        ),
        (
            "{} {\"name\": \"a\" \"b\"}",
            "1, column 17",
            "expected a comma and the next field, or }",
        ),
        (
            "{\"name\": \"a\",}",
            "1, column 14",
            "expected something after the comma",
        ),
        ("{\"name\": -}", "1, column 11", "expected a number"),
        ("{\n\n", "3, column 0", "expected more: a } is missing"),
        (
            "{\"name\": \"a",
            "1, column 11",
            "expected more: the \" after a text is missing",
        ),
        (
            "{\"name\": ",
            "1, column 9",
            "expected more: a value is missing",
        ),
        (
            "{\"name\": \"a\n\"}",
            "2, column 0",
            "a new line in it is written as \\n",
        ),
        (
            "{\"nam\": \"a\"}",
            "1, column 7",
            &format!("{no_name}no field is called `nam`"),
        ),
        (
            "{\"name\": 12}",
            "1, column 12",
            &format!("{no_name}expected a string, not integer `12`"),
        ),
        (
            "{\"name\": {}}",
            "1, column 10",
            &format!("{no_name}expected a string, not an object"),
        ),
        (
            "{\"name\": []}",
            "1, column 10",
            &format!("{no_name}expected a string, not a list"),
        ),
        (
            "12",
            "1, column 2",
            &format!("{no_name}expected an object, {{\"field\": value}}, not integer `12`"),
        ),
    ] {
        let error = error_of(&greet, json);
        let (line, said) = error.split_once(": ").unwrap();
        if line != format!("line {place}") || !said.contains(expected) {
            wrong.push(format!("{json}: {error}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
    let list = DescriptorPool::global();
    let list = list
        .get_message_by_name("google.protobuf.ListValue")
        .unwrap();
    for (json, expected) in [
        ("[1", "expected more: a ] is missing"),
        ("[1 2]", "expected a comma and the next value, or ]"),
        ("[1,]", "expected something after the comma"),
        (
            &"[".repeat(200),
            "lists and objects stand too deep in each other",
        ),
    ] {
        let error = error_of(&list, json);
        assert!(error.ends_with(expected), "{json}: {error}");
    }
}

/// What is wrong with the last of these messages.
fn error_of(message: &prost_reflect::MessageDescriptor, json: &str) -> String {
    let read: Vec<_> = from_json(message, json.as_bytes()).collect();
    let (wrong, right) = read.split_last().unwrap();
    assert!(right.iter().all(Result::is_ok), "{json}");
    wrong.as_ref().unwrap_err().to_string()
}

/// A reader that fails isn't one that has ended.
#[test]
fn what_cannot_be_read_is_not_the_end() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::PermissionDenied.into())
        }
    }
    let mut messages = from_json(&method("Greet").input(), Broken);
    let error = messages.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    assert!(messages.next().is_none());
}

#[tokio::test]
async fn errors_of_a_call_keep_their_status() {
    let error = ask("Greet", "{}").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the call has failed: InvalidArgument: nobody to greet"
    );
    assert_eq!(
        crate::status::explain(&error),
        "InvalidArgument: nobody to greet"
    );
    assert_eq!(status_of(&error).unwrap().code(), Code::InvalidArgument);
    let error = ask("Greet", "").await.unwrap_err();
    assert!(status_of(&error).is_none());
}

#[test]
fn metadata_is_typed_as_name_and_value() {
    let mut metadata = MetadataMap::new();
    for line in ["Token: a:b", "token:c", " who : me ", "data-bin: AAE="] {
        add_metadata(&mut metadata, line).unwrap();
    }
    let tokens: Vec<_> = metadata.get_all("token").iter().collect();
    assert_eq!(tokens, ["a:b", "c"]);
    assert_eq!(metadata.get("who").unwrap(), "me");
    assert_eq!(
        &metadata.get_bin("data-bin").unwrap().to_bytes().unwrap()[..],
        [0, 1]
    );
    let lines = ["data-bin: AAE=", "token: a:b", "token: c", "who: me"];
    assert_eq!(metadata_lines(&metadata), lines);
    for wrong in ["token", "", ": x", "a b: c", "a: b\nc", "grpc-status: 1"] {
        let status = add_metadata(&mut metadata.clone(), wrong).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{wrong}");
    }
}

#[test]
fn metadata_is_printed_so_that_no_terminal_obeys_it() {
    let mut headers = tonic::codegen::http::HeaderMap::new();
    let value = tonic::codegen::http::HeaderValue::from_bytes("a\u{9b}2J".as_bytes()).unwrap();
    headers.insert("x", value);
    assert_eq!(
        metadata_lines(&MetadataMap::from_headers(headers)),
        [r"x: a\u{9b}2J"]
    );
}

#[test]
fn methods_are_found_by_service_and_name_and_described() {
    let types = method("Greet").parent_pool().clone();
    for (name, expected) in [
        ("Greet", "Greet(Name) returns (Greeting)"),
        ("GreetOften", "GreetOften(Name) returns (stream Greeting)"),
        ("GreetAll", "GreetAll(stream Name) returns (Greeting)"),
        (
            "GreetEach",
            "GreetEach(stream Name) returns (stream Greeting)",
        ),
    ] {
        let found = method_of(&types, &format!("greeter.v1.Greeter/{name}")).unwrap();
        assert_eq!(signature(&found), expected);
    }
    for wrong in [
        "greeter.v1.Greeter",
        "greeter.v1.Greeter/Shout",
        "Greeter/Greet",
        "/",
        "",
    ] {
        assert!(method_of(&types, wrong).is_none(), "{wrong}");
    }
}

#[tokio::test]
async fn methods_texts_and_details_are_asked_for() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/greeter");
    let fake = Fake::of(&protox::compile(["greeter.proto"], [folder]).unwrap());
    let mut client = fake.client();
    let found = client.method("greeter.v1.Greeter/GreetAll").await.unwrap();
    assert_eq!(found.full_name(), "greeter.v1.Greeter.GreetAll");
    for wrong in [
        "greeter.v1.Greeter/Shout",
        "greeter.v1.Greeter",
        "greeter.v1.Nobody/Greet",
    ] {
        let error = client.method(wrong).await.unwrap_err();
        assert!(
            matches!(error, ReflectionError::NotFound(_)),
            "{wrong}: {error}"
        );
    }
    let text = client.text_of("greeter.v1.Name").await.unwrap();
    assert!(
        text.contains("message Name {\n  string name = 1;\n}\n"),
        "{text}"
    );

    let mut details = Vec::new();
    for (name, value) in [
        ("greeter.v1.Name", &[0x0a, 1, b'x'][..]),
        ("google.protobuf.Empty", &[]),
        ("a.Stranger\n", &[]),
    ] {
        let mut any = Vec::new();
        prost::encoding::string::encode(1, &format!("type.googleapis.com/{name}"), &mut any);
        prost::encoding::bytes::encode(2, &value.to_vec(), &mut any);
        prost::encoding::bytes::encode(3, &any, &mut details);
    }
    let status = Status::with_details(Code::Aborted, "", details.into());
    let lines = client
        .detail_lines(&status, &DescriptorPool::global())
        .await;
    let expected = [
        r#"greeter.v1.Name: {"name":"x"}"#,
        "google.protobuf.Empty: {}",
        r"a.Stranger\n: of a type that the server doesn't tell",
    ];
    assert_eq!(lines, expected);
}
