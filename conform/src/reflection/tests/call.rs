//! Calls of all four kinds, without a stub.

use bytes::Bytes;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage, Value};
use tonic::Code;
use tonic::codegen::http;

use super::*;

pub(super) struct Polite;

fn greeting(name: &str) -> Greeting {
    Greeting {
        text: format!("Hello, {name}!"),
    }
}

#[tonic::async_trait]
impl Greeter for Polite {
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let token = request.metadata().get("token").cloned();
        let name = request.into_inner().name;
        if name.is_empty() {
            return Err(Status::invalid_argument("nobody to greet"));
        }
        let mut response = Response::new(greeting(&name));
        if let Some(token) = token {
            response.metadata_mut().insert("echo", token);
        }
        Ok(response)
    }

    async fn greet_often(
        &self,
        request: Request<Name>,
    ) -> Result<Response<tonic::codegen::BoxStream<Greeting>>, Status> {
        let name = request.into_inner().name;
        let greetings = [1, 2].map(|it| Ok(greeting(&format!("{name} {it}"))));
        Ok(Response::new(futures::stream::iter(greetings).boxed()))
    }

    async fn greet_all(
        &self,
        request: Request<Streaming<Name>>,
    ) -> Result<Response<Greeting>, Status> {
        let names: Vec<_> = request
            .into_inner()
            .map(|it| it.unwrap().name)
            .collect()
            .await;
        Ok(Response::new(greeting(&names.join(", "))))
    }

    async fn greet_each(
        &self,
        request: Request<Streaming<Name>>,
    ) -> Result<Response<tonic::codegen::BoxStream<Greeting>>, Status> {
        let greetings = request.into_inner().map(|name| Ok(greeting(&name?.name)));
        Ok(Response::new(greetings.boxed()))
    }
}

pub(super) fn method(name: &str) -> MethodDescriptor {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/greeter");
    let set = protox::compile(["greeter.proto"], [folder]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(set).unwrap();
    let service = pool.get_service_by_name("greeter.v1.Greeter").unwrap();
    service.methods().find(|it| it.name() == name).unwrap()
}

fn names(
    method: &MethodDescriptor,
    names: &[&str],
) -> Request<impl futures::Stream<Item = DynamicMessage> + Send + use<>> {
    let names: Vec<_> = names
        .iter()
        .map(|name| {
            let mut message = DynamicMessage::new(method.input());
            message.set_field_by_name("name", Value::String((*name).to_owned()));
            message
        })
        .collect();
    Request::new(futures::stream::iter(names))
}

async fn texts(replies: &mut Replies) -> Result<Vec<String>, Status> {
    let mut texts = Vec::new();
    while let Some(reply) = replies.message().await? {
        let text = reply.get_field_by_name("text").unwrap();
        texts.push(text.as_str().unwrap().to_owned());
    }
    Ok(texts)
}

#[tokio::test]
async fn each_kind_of_call_is_made_without_a_stub() {
    for (name, asked, expected) in [
        ("Greet", &["Ann"][..], &["Hello, Ann!"][..]),
        ("GreetOften", &["Ann"], &["Hello, Ann 1!", "Hello, Ann 2!"]),
        ("GreetAll", &["Ann", "Bob"], &["Hello, Ann, Bob!"]),
        ("GreetAll", &[], &["Hello, !"]),
        (
            "GreetEach",
            &["Ann", "Bob"],
            &["Hello, Ann!", "Hello, Bob!"],
        ),
        ("GreetEach", &[], &[]),
    ] {
        let method = method(name);
        let replies = call(GreeterServer::new(Polite), &method, names(&method, asked)).await;
        let mut replies = replies.unwrap().into_inner();
        assert_eq!(texts(&mut replies).await.unwrap(), expected, "{name}");
        assert!(replies.trailers().await.unwrap().is_some(), "{name}");
    }
}

#[tokio::test]
async fn metadata_travels_both_ways_and_errors_keep_their_code() {
    let method = method("Greet");
    let mut request = names(&method, &["Ann"]);
    request.metadata_mut().insert("token", "t".parse().unwrap());
    let response = call(GreeterServer::new(Polite), &method, request)
        .await
        .unwrap();
    assert_eq!(response.metadata().get("echo").unwrap(), "t");
    let refused = call(GreeterServer::new(Polite), &method, names(&method, &[""])).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

/// A server that sends these messages, then OK.
async fn answered(method: &MethodDescriptor, messages: &[&[u8]]) -> Result<Replies, Status> {
    let mut body = Vec::new();
    for message in messages {
        body.push(0);
        body.extend((message.len() as u32).to_be_bytes());
        body.extend(*message);
    }
    let service = tower::service_fn(move |_: http::Request<tonic::body::Body>| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        trailers.insert("left", http::HeaderValue::from_static("7"));
        let frames = [
            Ok::<_, Status>(http_body::Frame::data(Bytes::from(body.clone()))),
            Ok(http_body::Frame::trailers(trailers)),
        ];
        let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
        let response = http::Response::builder().header("content-type", "application/grpc");
        std::future::ready(Ok::<_, Status>(
            response.body(tonic::body::Body::new(body)).unwrap(),
        ))
    });
    Ok(call(service, method, names(method, &["Ann"]))
        .await?
        .into_inner())
}

/// As in gRPC's table of status codes: "response cardinality violation".
#[tokio::test]
async fn a_method_with_one_reply_that_sends_none_or_two_is_unimplemented() {
    for name in ["Greet", "GreetAll"] {
        let method = method(name);
        for (messages, expected) in [
            (&[][..], "the method has one reply, and none came"),
            (&[&b""[..], b""], "the method has one reply, and more came"),
        ] {
            let mut replies = answered(&method, messages).await.unwrap();
            let status = texts(&mut replies).await.unwrap_err();
            assert_eq!(status.code(), Code::Unimplemented);
            assert_eq!(status.message(), expected);
        }
        let mut replies = answered(&method, &[b""]).await.unwrap();
        assert_eq!(texts(&mut replies).await.unwrap(), [""]);
        let trailers = replies.trailers().await.unwrap().unwrap();
        assert_eq!(trailers.get("left").unwrap(), "7");
    }
    for name in ["GreetOften", "GreetEach"] {
        let method = method(name);
        for messages in [&[][..], &[&b""[..]], &[b"", b""]] {
            let mut replies = answered(&method, messages).await.unwrap();
            assert_eq!(texts(&mut replies).await.unwrap().len(), messages.len());
        }
    }
}

#[tokio::test]
async fn a_reply_that_cannot_be_decoded_is_internal() {
    let method = method("Greet");
    for garbage in [&[0xff][..], &[0x0a, 5], &[0x08, 1], &[0x0a, 1, 0xff]] {
        let mut replies = answered(&method, &[garbage]).await.unwrap();
        let status = replies.message().await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        let expected = "what came can't be decoded as greeter.v1.Greeting";
        assert_eq!(status.message(), expected, "{garbage:?}");
    }
}

#[tokio::test]
async fn a_reply_that_needs_too_much_memory_is_refused() {
    let text = "syntax = \"proto3\"; package a; message M { repeated M m = 1; }
        service S { rpc C(M) returns (M); }";
    let pool = DescriptorPool::from_file_descriptor_set(compile(&[("a.proto", text)])).unwrap();
    let method = pool.services().next().unwrap().methods().next().unwrap();
    let service_for = |count: usize| [0x0a, 0].repeat(count);
    for (count, is_taken) in [(1_000, true), (1_000_000, false)] {
        let bytes = Bytes::from(service_for(count));
        let decoded = super::super::call::decode(&method.output(), bytes);
        match decoded {
            Ok(_) => assert!(is_taken),
            Err(status) => {
                assert!(!is_taken);
                assert_eq!(status.code(), Code::ResourceExhausted);
                assert_eq!(
                    status.message(),
                    "a message needs more than 64 MiB of memory"
                );
            }
        }
    }
}

#[test]
fn details_are_read_by_the_types_that_are_known() {
    let text = "syntax = \"proto3\"; package a; message Reason { string text = 1; }";
    let set = compile(&[("a.proto", text)]);
    let mut pool = DescriptorPool::global();
    pool.add_file_descriptor_set(set).unwrap();
    let any = |type_url: &str, value: &[u8]| {
        let mut any = Vec::new();
        prost::encoding::string::encode(1, &type_url.to_owned(), &mut any);
        prost::encoding::bytes::encode(2, &value.to_vec(), &mut any);
        any
    };
    let mut status = Vec::new();
    for any in [
        any("type.googleapis.com/a.Reason", &[0x0a, 1, b'x']),
        any("type.googleapis.com/a.Unknown", &[1, 2, 3]),
        any("type.googleapis.com/a.Reason", &[0xff]),
    ] {
        prost::encoding::bytes::encode(3, &any, &mut status);
    }
    let status = Status::with_details(Code::Aborted, "", status.into());
    let details = details(&status, &pool);
    let [reason, unknown, malformed] = &details[..] else {
        panic!("{details:?}");
    };
    let message = reason.message.as_ref().unwrap();
    assert_eq!(
        message.get_field_by_name("text").unwrap().as_str(),
        Some("x")
    );
    assert_eq!(unknown.type_name, "a.Unknown");
    assert_eq!((&unknown.message, &malformed.message), (&None, &None));
    let garbage = Status::with_details(Code::Aborted, "", Bytes::from_static(&[0xff]));
    assert!(super::super::details(&garbage, &pool).is_empty());
    let many = [0x1a, 0].repeat(1000);
    let many = Status::with_details(Code::Aborted, "", many.into());
    assert_eq!(super::super::details(&many, &pool).len(), 64);
}

#[test]
fn json_values_come_one_after_another_until_one_is_wrong() {
    let name = method("Greet").input();
    let read = |json: &'static str| -> Vec<_> {
        from_json(&name, json.as_bytes())
            .map(|message| match message {
                Ok(message) => to_json(&message).unwrap(),
                Err(error) => error.to_string(),
            })
            .collect()
    };
    assert_eq!(read(""), [""; 0]);
    assert_eq!(
        read("{} {\"name\":\n\"Ann\"}{}"),
        ["{}", "{\"name\":\"Ann\"}", "{}"]
    );
    let wrong = read("{} {\"nam\": 1} {}");
    assert_eq!(wrong.len(), 2);
    assert!(wrong[1].ends_with("this is no greeter.v1.Name: no field is called `nam`"));
    let cut = read("{} {\"name\": ");
    assert_eq!(cut.len(), 2);
    assert!(cut[1].ends_with("a value is missing"), "{cut:?}");
}

#[test]
fn json_holds_nothing_that_a_terminal_obeys() {
    let mut name = DynamicMessage::new(method("Greet").input());
    let text = "a\u{9b}2J\u{202e}\x1b\u{7f}é";
    name.set_field_by_name("name", Value::String(text.into()));
    let json = to_json(&name).unwrap();
    assert_eq!(json, "{\"name\":\"a\\u009b2J\\u202e\\u001b\\u007fé\"}");
    let again = from_json(&name.descriptor(), json.as_bytes())
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(again, name);
}
