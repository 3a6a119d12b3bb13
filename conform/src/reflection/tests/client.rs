//! Lists, descriptions, and versions of reflection.

use tonic::Code;
use tonic::codegen::Service;
use tonic::service::Routes;
use tonic_reflection::server::Builder;

use super::*;

fn greeter() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/greeter");
    let set = protox::compile(["greeter.proto"], [folder]).unwrap();
    set.encode_to_vec()
}

#[tokio::test]
async fn services_are_listed_in_order_each_once() {
    let names = ["b.S", "a.S", "b.S"].map(str::to_owned).to_vec();
    let fake = Fake::new(move |_| one(list(names.clone())));
    assert_eq!(fake.client().services().await.unwrap(), ["a.S", "b.S"]);
}

#[tokio::test]
async fn each_service_of_the_course_is_described_as_it_was_compiled() {
    let set = course();
    let fake = Fake::of(&set);
    let mut client = fake.client();
    let services = client.services().await.unwrap();
    assert!(services.len() > 5, "{services:?}");
    for name in services {
        let types = client.types_of(&name).await.unwrap();
        let service = types.get_service_by_name(&name).unwrap();
        let file = service.parent_file();
        let original = set.file.iter().find(|it| it.name() == file.name()).unwrap();
        assert_eq!(file.file_descriptor_proto(), original);
    }
}

#[tokio::test]
async fn imports_are_asked_for_to_the_last_one_in_one_call() {
    let sources = [
        ("d.proto", "syntax = \"proto3\"; package d; message D {}"),
        (
            "c.proto",
            "syntax = \"proto3\"; package c; import \"d.proto\"; message C { d.D d = 1; }",
        ),
        (
            "b.proto",
            "syntax = \"proto3\"; package b; import public \"d.proto\"; message B {}",
        ),
        (
            "a.proto",
            "syntax = \"proto3\"; package a; import \"b.proto\"; import \"c.proto\";
             service S { rpc Call(c.C) returns (d.D); }",
        ),
    ];
    let fake = Fake::of(&compile(&sources));
    let types = fake.client().types_of("a.S").await.unwrap();
    for message in ["b.B", "c.C", "d.D"] {
        assert!(types.get_message_by_name(message).is_some(), "{message}");
    }
    assert_eq!(fake.calls(), 1);
}

#[tokio::test]
async fn a_server_may_send_imports_before_it_is_asked() {
    let b = file("b.proto", &[]);
    let a = file("a.proto", &["b.proto"]);
    let answer = these([a.encode_to_vec(), b.encode_to_vec()]);
    let fake = Fake::new(move |question| match question {
        MessageRequest::FileContainingSymbol(_) => one(answer.clone()),
        other => panic!("asked for what is there: {other:?}"),
    });
    fake.client().types_of("a.S").await.unwrap();
}

#[tokio::test]
async fn symbols_are_services_messages_enums_methods_fields_and_extensions() {
    let text = "syntax = \"proto2\"; package a; enum E { X = 0; } extend M { optional E e = 100; }
        message M { optional E f = 1; extensions 100 to 199; }
        service S { rpc Call(M) returns (M); }";
    let set = compile(&[("a.proto", text)]);
    let encoded = set.file[0].encode_to_vec();
    let fake = Fake::new(move |_| one(these([encoded.clone()])));
    for symbol in ["a.S", "a.M", "a.E", "a.e", "a.S.Call", "a.M.f"] {
        fake.client().types_of(symbol).await.unwrap();
    }
    for symbol in ["a.T", "a", "a.S.Other", "a.M.g", "M", "S"] {
        let error = fake.client().types_of(symbol).await.unwrap_err();
        let expected =
            format!("the server's description is invalid: no file of them declares `{symbol}`");
        assert_eq!(error.to_string(), expected);
    }
}

/// As servers do, which send a file with all that it imports.
#[tokio::test]
async fn files_that_are_there_already_may_come_again() {
    let text = "syntax = \"proto3\"; package a; import \"google/protobuf/empty.proto\";
        service S { rpc Call(google.protobuf.Empty) returns (google.protobuf.Empty); }";
    let set = compile(&[("a.proto", text)]);
    assert!(set.file.len() > 1);
    let twice = set.file.iter().chain(&set.file);
    let answer = these(twice.map(Message::encode_to_vec));
    let fake = Fake::new(move |_| one(answer.clone()));
    let limits = Limits {
        files: 1,
        ..Limits::default()
    };
    let types = fake.client().limits(limits).types_of("a.S").await;
    types.unwrap();
}

#[tokio::test]
async fn a_file_beside_the_well_known_ones_is_asked_for() {
    let name = "google/protobuf/ours.proto";
    let ours = "syntax = \"proto3\"; package ours; message O {}";
    let text = format!(
        "syntax = \"proto3\"; package a; import \"{name}\";
        service S {{ rpc Call(ours.O) returns (ours.O); }}"
    );
    let fake = Fake::of(&compile(&[(name, ours), ("a.proto", &text)]));
    let types = fake.client().types_of("a.S").await.unwrap();
    assert!(types.get_message_by_name("ours.O").is_some());
}

#[tokio::test]
async fn well_known_types_need_not_be_on_the_server() {
    let text = "syntax = \"proto3\"; package a; import \"google/protobuf/empty.proto\";
        service S { rpc Call(google.protobuf.Empty) returns (google.protobuf.Empty); }";
    let mut set = compile(&[("a.proto", text)]);
    set.file.retain(|it| it.name() == "a.proto");
    let encoded = set.file[0].encode_to_vec();
    let fake = Fake::new(move |question| match question {
        MessageRequest::FileContainingSymbol(_) => one(these([encoded.clone()])),
        other => panic!("asked for {other:?}"),
    });
    fake.client().types_of("a.S").await.unwrap();
}

/// A program's own types are in the global pool, under names that a server may have too.
#[tokio::test]
async fn what_the_server_tells_counts_not_what_the_program_knows() {
    let [own, theirs] = ["message M {}", "message M { M m = 1; } service S {}"].map(|text| {
        let text = format!("syntax = \"proto3\"; package global_pool; {text}");
        compile(&[("global_pool.proto", &text)]).file.remove(0)
    });
    DescriptorPool::add_global_file_descriptor_proto(own).unwrap();
    let types = Fake::of(&set([theirs]))
        .client()
        .types_of("global_pool.S")
        .await
        .unwrap();
    let message = types.get_message_by_name("global_pool.M").unwrap();
    assert!(message.get_field_by_name("m").is_some());
    assert!(types.get_message_by_name("google.protobuf.Any").is_some());
}

#[tokio::test]
async fn what_the_server_does_not_know_is_not_found() {
    let fake = Fake::of(&compile(&[(
        "a.proto",
        "syntax = \"proto3\"; package a; service S {}",
    )]));
    let error = fake.client().types_of("a.\x1bT").await.unwrap_err();
    assert!(matches!(&error, ReflectionError::NotFound(name) if name == "a.\x1bT"));
    assert_eq!(error.to_string(), r"the server knows no `a.\u{1b}T`");
}

/// tonic ends the call then; another one goes on.
#[tokio::test]
async fn a_call_that_ends_with_not_found_is_followed_by_another() {
    let set = greeter();
    let server = Builder::configure().register_encoded_file_descriptor_set(&set);
    let mut client = ReflectionClient::new(server.build_v1().unwrap());
    let error = client.types_of("greeter.v1.Nobody").await.unwrap_err();
    assert!(matches!(error, ReflectionError::NotFound(_)), "{error}");
    client.types_of("greeter.v1.Greeter").await.unwrap();
}

/// An import that isn't there ends tonic's call, and is our own to find.
#[tokio::test]
async fn a_call_that_ends_between_two_questions_is_begun_anew() {
    let (a, b) = (file("a.proto", &["b.proto"]), file("b.proto", &[]));
    let fake = Fake::new(move |question| {
        let answer = match question {
            MessageRequest::FileContainingSymbol(_) => these([a.encode_to_vec()]),
            _ => these([b.encode_to_vec()]),
        };
        one(answer)
    });
    // Each call answers one question, and is over.
    let service = tower::service_fn(move |request: tonic::codegen::http::Request<_>| {
        let mut server = ServerReflectionServer::new(Once(fake.clone()));
        async move { server.call(request).await }
    });
    ReflectionClient::new(service)
        .types_of("a.S")
        .await
        .unwrap();
}

#[derive(Clone)]
struct Once(Fake);

#[tonic::async_trait]
impl ServerReflection for Once {
    type ServerReflectionInfoStream = BoxStream<'static, Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let answers = self.0.server_reflection_info(request).await?;
        Ok(answers.map(|it| it.take(1).boxed()))
    }
}

#[tokio::test]
async fn a_server_with_v1alpha_only_is_asked_that_way() {
    let set = greeter();
    let server = Builder::configure().register_encoded_file_descriptor_set(&set);
    let routes = Routes::new(server.build_v1alpha().unwrap());
    let mut client = ReflectionClient::new(routes);
    let services = client.services().await.unwrap();
    let expected = [
        "greeter.v1.Greeter",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    assert_eq!(services, expected);
    client.types_of("greeter.v1.Greeter").await.unwrap();
}

#[tokio::test]
async fn v1_is_asked_first_and_no_version_again_that_is_not_there() {
    let set = greeter();
    let server = Builder::configure().register_encoded_file_descriptor_set(&set);
    let alpha = Routes::new(server.build_v1alpha().unwrap());
    let (paths, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let service = tower::service_fn(move |request: tonic::codegen::http::Request<_>| {
        let path = request.uri().path().split('.').nth(2).unwrap().to_owned();
        paths.send(path).unwrap();
        alpha.clone().call(request)
    });
    let mut client = ReflectionClient::new(service);
    client.services().await.unwrap();
    client.types_of("greeter.v1.Greeter").await.unwrap();
    drop(client);
    let mut versions = Vec::new();
    while let Some(version) = asked.recv().await {
        versions.push(version);
    }
    assert_eq!(versions, ["v1", "v1alpha", "v1alpha"]);
}

#[tokio::test]
async fn a_server_without_reflection_says_so() {
    let error = ReflectionClient::new(Routes::default())
        .services()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server has no reflection, or doesn't offer it"
    );
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_is_not_taken_for_another_version() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let service = tower::service_fn(move |_: tonic::codegen::http::Request<tonic::body::Body>| {
        counted.fetch_add(1, Ordering::SeqCst);
        let refused = Status::permission_denied("members\nonly").into_http();
        std::future::ready(Ok::<
            tonic::codegen::http::Response<tonic::body::Body>,
            Status,
        >(refused))
    });
    let error = ReflectionClient::new(service).services().await.unwrap_err();
    let ReflectionError::Call(status) = &error else {
        panic!("{error}");
    };
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(
        error.to_string(),
        r"the server refused: PermissionDenied: members\nonly"
    );
    assert_eq!(
        crate::status::explain(&error),
        r"PermissionDenied: members\nonly"
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1);

    let fake = Fake::new(|_| one(error_response(7)));
    let error = fake.client().services().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server refused: PermissionDenied: as told"
    );
}

#[test]
fn a_refusal_without_a_message_is_its_code() {
    let error = ReflectionError::Call(Status::permission_denied(""));
    assert_eq!(error.to_string(), "the server refused: PermissionDenied");
}

#[tokio::test]
async fn as_many_bytes_as_the_limit_are_taken() {
    let answer = list(vec!["a.S".into(); 100]);
    let size = ServerReflectionResponse {
        message_response: Some(answer.clone()),
        ..ServerReflectionResponse::default()
    };
    let size = size.encoded_len();
    let fake = Fake::new(move |_| one(answer.clone()));
    for (bytes, is_enough) in [(size, true), (size - 1, false)] {
        let limits = Limits {
            bytes,
            ..Limits::default()
        };
        let services = fake.client().limits(limits).services().await;
        assert_eq!(services.is_ok(), is_enough, "{services:?}");
    }
}

fn error_response(code: i32) -> MessageResponse {
    super::error(code)
}

#[tokio::test]
async fn metadata_travels_with_each_question() {
    let service = tower::service_fn(|request: tonic::codegen::http::Request<_>| {
        let is_member = request.headers().contains_key("authorization");
        async move {
            if !is_member {
                return Ok(Status::unauthenticated("who are you?").into_http());
            }
            let fake = Fake::new(|_| one(list(vec!["a.S".into()])));
            ServerReflectionServer::new(fake).call(request).await
        }
    });
    let mut client = ReflectionClient::new(service);
    client.services().await.unwrap_err();
    let mut metadata = tonic::metadata::MetadataMap::new();
    metadata.insert("authorization", "Bearer me".parse().unwrap());
    let mut client = client.metadata(metadata);
    assert_eq!(client.services().await.unwrap(), ["a.S"]);
    assert_eq!(client.services().await.unwrap(), ["a.S"]);
}

#[tokio::test]
async fn a_call_ends_as_one_that_is_complete() {
    let (ends, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let set = greeter();
    let server = Builder::configure().register_encoded_file_descriptor_set(&set);
    let server = Routes::new(server.build_v1().unwrap());
    let service = tower::service_fn(move |request: tonic::codegen::http::Request<_>| {
        let (mut server, ends) = (server.clone(), ends.clone());
        let on_end = crate::status::OnEnd::new(move |code| ends.send(code).unwrap());
        async move { Ok::<_, Status>(on_end.watch(server.call(request).await.unwrap())) }
    });
    let mut client = ReflectionClient::new(service);
    client.services().await.unwrap();
    assert_eq!(ended.recv().await, Some(Some(Code::Ok)));
    client.types_of("greeter.v1.Greeter").await.unwrap();
    assert_eq!(ended.recv().await, Some(Some(Code::Ok)));
}
