//! What a server tells and what it lies about, calls without a stub, descriptors as text, and
//! services that stay hidden.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use futures::stream::BoxStream;
use prost::Message;
use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use tonic::{Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::server_reflection_server::{
    ServerReflection, ServerReflectionServer,
};
use tonic_reflection::pb::v1::{
    ErrorResponse, FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
    ServerReflectionResponse, ServiceResponse,
};

use super::*;

mod attack;
mod call;
mod client;
mod command;
mod hide;
mod json;
mod size;
mod text;

/// What a server says to one question: nothing, an answer, or more than it was asked for.
type Answers = BoxStream<'static, Result<MessageResponse, Status>>;

/// A server with reflection that answers as it likes.
#[derive(Clone)]
struct Fake {
    answer: Arc<dyn Fn(MessageRequest) -> Answers + Send + Sync>,
    calls: Arc<AtomicUsize>,
}

impl Fake {
    fn new(answer: impl Fn(MessageRequest) -> Answers + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(answer),
            calls: Arc::default(),
        }
    }

    /// One that knows these files, and answers as `reflection.proto` says.
    fn of(set: &FileDescriptorSet) -> Self {
        let files = set.file.clone();
        Self::new(move |question| one(honest(&files, question)))
    }

    fn client(&self) -> ReflectionClient<ServerReflectionServer<Self>> {
        ReflectionClient::new(ServerReflectionServer::new(self.clone()))
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[tonic::async_trait]
impl ServerReflection for Fake {
    type ServerReflectionInfoStream = BoxStream<'static, Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer.clone();
        let answers = request.into_inner().flat_map(move |question| {
            let question = question.unwrap().message_request.unwrap();
            answer(question).map(|answer| {
                Ok(ServerReflectionResponse {
                    message_response: Some(answer?),
                    ..ServerReflectionResponse::default()
                })
            })
        });
        Ok(Response::new(answers.boxed()))
    }
}

fn one(answer: MessageResponse) -> Answers {
    futures::stream::iter([Ok(answer)]).boxed()
}

fn honest(files: &[FileDescriptorProto], question: MessageRequest) -> MessageResponse {
    let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet {
        file: files.to_vec(),
    });
    let file = match &question {
        MessageRequest::ListServices(_) => {
            let names = pool
                .unwrap()
                .services()
                .map(|it| it.full_name().to_owned())
                .collect();
            return list(names);
        }
        MessageRequest::FileByFilename(name) => files.iter().find(|it| it.name() == name),
        MessageRequest::FileContainingSymbol(symbol) => {
            let pool = pool.unwrap();
            let service = pool.get_service_by_name(symbol).map(|it| it.parent_file());
            let message = pool.get_message_by_name(symbol).map(|it| it.parent_file());
            let file = service.or(message);
            file.and_then(|file| files.iter().find(|it| it.name() == file.name()))
        }
        _ => None,
    };
    match file {
        Some(file) => these([file.encode_to_vec()]),
        None => error(5),
    }
}

fn list(names: Vec<String>) -> MessageResponse {
    let service = names
        .into_iter()
        .map(|name| ServiceResponse { name })
        .collect();
    MessageResponse::ListServicesResponse(ListServiceResponse { service })
}

fn these(files: impl IntoIterator<Item = Vec<u8>>) -> MessageResponse {
    MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
        file_descriptor_proto: files.into_iter().collect(),
    })
}

fn error(code: i32) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse {
        error_code: code,
        error_message: "as told".into(),
    })
}

/// A file that imports these, and declares the service `a.S` if it is `a.proto`.
fn file(name: &str, imports: &[&str]) -> FileDescriptorProto {
    let text = "syntax = \"proto3\"; package a; message M {} service S { rpc C(M) returns (M); }";
    let mut file = match name {
        "a.proto" => compile(&[(name, text)]).file.remove(0),
        _ => FileDescriptorProto {
            name: Some(name.into()),
            syntax: Some("proto3".into()),
            ..FileDescriptorProto::default()
        },
    };
    file.dependency = imports.iter().map(|&it| it.to_owned()).collect();
    file
}

fn set(files: impl IntoIterator<Item = FileDescriptorProto>) -> FileDescriptorSet {
    FileDescriptorSet {
        file: files.into_iter().collect(),
    }
}

/// Compiles sources, with what they import of google.protobuf.
fn compile(sources: &[(&str, &str)]) -> FileDescriptorSet {
    struct Sources(HashMap<String, String>);
    impl FileResolver for Sources {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            match self.0.get(name) {
                Some(source) => File::from_source(name, source),
                None => Err(protox::Error::file_not_found(name)),
            }
        }
    }
    let own = sources
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let mut resolver = ChainFileResolver::new();
    resolver.add(Sources(own.collect()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_source_info(true).include_imports(true);
    for (name, text) in sources {
        if let Err(error) = compiler.open_file(name) {
            panic!("{name}: {error}\n{text}");
        }
    }
    compiler.file_descriptor_set()
}

/// The descriptors of the course's own protos, with all that they import.
fn course() -> FileDescriptorSet {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../protos"));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".proto") {
            names.push(name);
        }
    }
    assert!(names.len() > 5);
    names.sort();
    protox::compile(names, [folder]).unwrap()
}
