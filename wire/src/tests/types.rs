//! Where the names of fields come from: a folder of protos, a set of descriptors, the server
//! itself.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use prost::Message as _;
use tokio::net::TcpListener;

use super::*;
use crate::testing::{framed, post, soon};
use crate::{Descriptors, Tap};

const SUM: &str = "/wire.test.Numbers/Sum";

/// A number of 42, with its prefix.
fn number() -> Vec<u8> {
    framed(&[8, 42])
}

fn protos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/protos")
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("wire-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// How a number is shown that a client sends to a server which knows more than the client does.
fn shown(descriptors: &Descriptors) -> String {
    let mut decoder = Decoder::with(1, Arc::default(), descriptors.clone());
    let request = block(&[(":path", SUM), ("content-type", "application/grpc")]);
    read(&mut decoder, ToServer, HELLO);
    read(&mut decoder, ToServer, &frame(1, 4, 1, &request));
    let frames = read(&mut decoder, ToServer, &frame(0, 0, 1, &number()));
    frames[0].messages()[0].text()
}

#[test]
fn a_folder_of_protos_names_the_fields() {
    let descriptors = Descriptors::built_in();
    assert_eq!(shown(&descriptors), "{ 1: 42 }");
    descriptors.add_protos(&protos()).unwrap();
    assert_eq!(shown(&descriptors), "{ value: 42 }");
    // What is built in is still there.
    assert!(descriptors.method("/grpc.health.v1.Health/Check").is_some());
}

#[test]
fn a_set_of_descriptors_names_the_fields() {
    let folder = folder("set");
    let set = protox::compile(["numbers.proto"], [protos()]).unwrap();
    let file = folder.join("numbers.bin");
    std::fs::write(&file, set.encode_to_vec()).unwrap();
    let descriptors = Descriptors::built_in();
    descriptors.add_descriptor_set(&file).unwrap();
    assert_eq!(shown(&descriptors), "{ value: 42 }");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_comes_last_comes_first() {
    let folder = folder("again");
    let renamed = "syntax = \"proto3\"; package wire.test; message N { uint64 renamed = 1; }
        service Numbers { rpc Sum(stream N) returns (N); }";
    std::fs::write(folder.join("numbers.proto"), renamed).unwrap();
    let descriptors = Descriptors::built_in();
    descriptors.add_protos(&protos()).unwrap();
    descriptors.add_protos(&folder).unwrap();
    assert_eq!(shown(&descriptors), "{ renamed: 42 }");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_wrong_with_a_folder_or_a_file_is_said() {
    let folder = folder("wrong");
    let descriptors = Descriptors::built_in();
    let missing = folder.join("missing");
    let error = descriptors.add_protos(&missing).unwrap_err();
    assert!(error.contains("missing can't be read"), "{error}");
    let error = descriptors.add_protos(&folder).unwrap_err();
    assert!(error.contains("there is no .proto in"), "{error}");
    std::fs::write(
        folder.join("bad.proto"),
        "syntax = \"proto3\"; message M { Lost a = 1; }",
    )
    .unwrap();
    let error = descriptors.add_protos(&folder).unwrap_err();
    assert!(error.contains("Lost"), "{error}");
    let error = descriptors
        .add_descriptor_set(&folder.join("bad.proto"))
        .unwrap_err();
    assert!(error.contains("is not a set of descriptors"), "{error}");
    assert_eq!(shown(&descriptors), "{ 1: 42 }");
    std::fs::remove_dir_all(folder).unwrap();
}

/// What a server does with a call of reflection.
#[derive(Clone, Copy, PartialEq)]
enum Reflects {
    V1,
    V1Alpha,
    Not,
    /// It says nothing.
    Silent,
    /// It sends without end.
    Endless,
    /// It sends what can't be read.
    Garbage,
}

/// A server that takes numbers, and does this with reflection. The questions that it hears are
/// counted.
struct Server {
    address: std::net::SocketAddr,
    calls: Arc<AtomicUsize>,
    files: Arc<Mutex<Vec<String>>>,
}

async fn reflecting(reflects: Reflects) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        address: listener.local_addr().unwrap(),
        calls: Arc::default(),
        files: Arc::default(),
    };
    let (calls, files) = (server.calls.clone(), server.files.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (calls, files) = (calls.clone(), files.clone());
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let answer = answer(reflects, request, respond, calls.clone(), files.clone());
                    tokio::spawn(answer);
                }
            });
        }
    });
    server
}

fn ok() -> Response<()> {
    Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .unwrap()
}

async fn answer(
    reflects: Reflects,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    calls: Arc<AtomicUsize>,
    files: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let path = request.uri().path().to_owned();
    let version = match path.as_str() {
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => Reflects::V1,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => Reflects::V1Alpha,
        _ => {
            let mut out = respond.send_response(ok(), false).ok()?;
            out.send_data(number().into(), false).ok()?;
            let trailers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )]);
            return out.send_trailers(trailers).ok();
        }
    };
    calls.fetch_add(1, Ordering::SeqCst);
    let has_it = reflects == version || !matches!(reflects, Reflects::V1 | Reflects::V1Alpha);
    if reflects == Reflects::Not || !has_it {
        let mut refusal = ok();
        refusal
            .headers_mut()
            .insert("grpc-status", http::HeaderValue::from_static("12"));
        respond.send_response(refusal, true).ok()?;
        return Some(());
    }
    let mut out = respond.send_response(ok(), false).ok()?;
    match reflects {
        Reflects::Silent => std::future::pending().await,
        Reflects::Garbage => out.send_data(Bytes::from_static(&[7; 100]), false).ok(),
        Reflects::Endless => loop {
            send(&mut out, Bytes::from_static(&[0; 16_384])).await?;
        },
        _ => converse(request.into_body(), out, &files).await,
    }
}

async fn send(out: &mut SendStream<Bytes>, mut bytes: Bytes) -> Option<()> {
    while !bytes.is_empty() {
        out.reserve_capacity(bytes.len());
        let capacity = std::future::poll_fn(|context| out.poll_capacity(context))
            .await?
            .ok()?;
        out.send_data(bytes.split_to(capacity.min(bytes.len())), false)
            .ok()?;
    }
    Some(())
}

/// Answers questions for files and services.
async fn converse(
    mut body: RecvStream,
    mut out: SendStream<Bytes>,
    files: &Mutex<Vec<String>>,
) -> Option<()> {
    let set = protox::compile(["numbers.proto"], [protos()]).unwrap();
    let file = |name: &str| {
        let file = set.file.iter().find(|file| file.name() == name)?;
        let file = file.encode_to_vec();
        // FileDescriptorResponse, in ServerReflectionResponse.
        Some(field(4, &field(1, &file)))
    };
    let mut buffer = BytesMut::new();
    loop {
        while buffer.len() < 5 || buffer.len() < 5 + usize::from(buffer[4]) {
            buffer.extend_from_slice(&body.data().await?.ok()?);
        }
        let length = usize::from(buffer[4]);
        let question = buffer.split_to(5 + length);
        let text = std::str::from_utf8(&question[7..]).unwrap().to_owned();
        let not_found = || field(7, &[8, 5]);
        let answer = match question[5] >> 3 {
            // ListServiceResponse with two services.
            7 => {
                let names = ["wire.test.Numbers", "wire.test.Numbers"];
                field(
                    6,
                    &names
                        .map(|name| field(1, &field(1, name.as_bytes())))
                        .concat(),
                )
            }
            // Without what it imports.
            4 => file("numbers.proto").unwrap(),
            3 => {
                files.lock().unwrap().push(text.clone());
                file(&text).unwrap_or_else(not_found)
            }
            other => panic!("question {other}"),
        };
        send(&mut out, framed(&answer).into()).await?;
    }
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encode_length_delimiter(bytes.len(), &mut field).unwrap();
    field.extend(bytes);
    field
}

/// A tap that asks the server, after one call through it.
async fn asked(server: &Server) -> Tap {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = Tap::builder()
        .reflection(true)
        .serve(listener, server.address)
        .unwrap();
    let reply = post(tap.url(), SUM, number()).await;
    assert_eq!(reply.status(), Some("OK"));
    soon("the server's types", tap.reflected()).await;
    tap
}

fn texts(tap: &Tap) -> Vec<String> {
    let frames = tap.frames();
    frames
        .iter()
        .flat_map(Frame::messages)
        .map(|message| message.text())
        .collect()
}

#[tokio::test]
async fn a_server_tells_its_types() {
    for reflects in [Reflects::V1, Reflects::V1Alpha] {
        let server = reflecting(reflects).await;
        let tap = asked(&server).await;
        assert_eq!(texts(&tap), ["{ value: 42 }", "{ value: 42 }"]);
        // It was not asked for what everybody has.
        assert_eq!(*server.files.lock().unwrap(), ["sub/number.proto"]);
        // Once is enough, and none of it is seen as traffic.
        let before = server.calls.load(Ordering::SeqCst);
        post(tap.url(), "/wire.test.Numbers/Unknown", number()).await;
        assert_eq!(server.calls.load(Ordering::SeqCst), before);
        assert_eq!(
            tap.frames()
                .iter()
                .filter(|frame| frame.is_request())
                .count(),
            2
        );
    }
}

#[tokio::test]
async fn a_server_without_reflection_is_asked_once_and_nothing_is_said() {
    let server = reflecting(Reflects::Not).await;
    let tap = asked(&server).await;
    post(tap.url(), SUM, number()).await;
    soon("the server's types", tap.reflected()).await;
    assert_eq!(texts(&tap), ["{ 1: 42 }"; 4]);
    assert_eq!(server.calls.load(Ordering::SeqCst), 2, "v1 and v1alpha");
    assert!(notes(&super::traffic::events(&tap)).is_empty());
}

#[tokio::test]
async fn a_server_is_not_asked_for_what_is_known() {
    let server = reflecting(Reflects::V1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = Tap::builder()
        .reflection(true)
        .serve(listener, server.address)
        .unwrap();
    post(tap.url(), "/grpc.health.v1.Health/Check", framed(&[])).await;
    soon("the server's types", tap.reflected()).await;
    assert_eq!(server.calls.load(Ordering::SeqCst), 0);
    // Nor by a tap that was not told to ask.
    let tap = Tap::start(server.address).await.unwrap();
    post(tap.url(), SUM, number()).await;
    soon("the server's types", tap.reflected()).await;
    assert_eq!(server.calls.load(Ordering::SeqCst), 0);
    assert_eq!(texts(&tap), ["{ 1: 42 }"; 2]);
}

#[tokio::test]
async fn a_server_that_says_nothing_or_too_much_holds_up_nothing() {
    for reflects in [Reflects::Silent, Reflects::Endless, Reflects::Garbage] {
        let server = reflecting(reflects).await;
        let begin = Instant::now();
        let tap = asked(&server).await;
        assert!(begin.elapsed() < Duration::from_secs(10));
        assert_eq!(texts(&tap), ["{ 1: 42 }"; 2]);
        // And calls go on.
        assert_eq!(post(tap.url(), SUM, number()).await.status(), Some("OK"));
    }
}
