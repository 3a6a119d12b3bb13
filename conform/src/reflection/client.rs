//! Asks a server what it serves.

use std::time::Duration;

use prost_reflect::{DescriptorPool, FileDescriptor, MethodDescriptor};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::error::UNSUPPORTED;
use super::files::{Files, Missing, invalid};
use super::{Limits, ReflectionError, details, method_of, proto_text, to_json};
use crate::status::escape;

/// The newer one first. The messages of both are the same.
const METHODS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// How long a server may take to end a call that has nothing more to ask.
const MOMENT: Duration = Duration::from_millis(500);

/// Asks a server what it serves, by v1 or, if it doesn't have that, by v1alpha.
///
/// Each question is a call of its own over `service`, a channel with the layers that you put on
/// it. None lasts longer than [`Limits::time`], with connecting; to have a [`Channel`] and what is
/// put around it take part in that, connect lazily.
///
/// [`Channel`]: tonic::transport::Channel
#[derive(Clone, Debug)]
pub struct ReflectionClient<S> {
    service: S,
    limits: Limits,
    metadata: MetadataMap,
    /// The method that the server is known to have.
    method: Option<&'static str>,
}

impl<S> ReflectionClient<S> {
    /// Asks over `service`, within the [default limits](Limits).
    pub fn new(service: S) -> Self {
        Self {
            service,
            limits: Limits::default(),
            metadata: MetadataMap::new(),
            method: None,
        }
    }

    /// Takes no more than `limits` from the server.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sends `metadata` with each question: a token, for instance.
    #[must_use]
    pub fn metadata(mut self, metadata: MetadataMap) -> Self {
        self.metadata = metadata;
        self
    }
}

impl<S> ReflectionClient<S>
where
    S: GrpcService<Body> + Clone,
    S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// The full names of all services that the server tells of, in order.
    ///
    /// # Errors
    ///
    /// If the server has no reflection, or doesn't keep within the [`Limits`].
    pub async fn services(&mut self) -> Result<Vec<String>, ReflectionError> {
        let limits = self.limits;
        let services = async {
            let mut conversation = Conversation::new(self);
            let question = MessageRequest::ListServices("*".into());
            let answer = conversation.ask(question).await?;
            let Some(MessageResponse::ListServicesResponse(list)) = answer else {
                return Err(invalid(
                    "no list of services in the answer to that question",
                ));
            };
            if list.service.len() > limits.files {
                return Err(ReflectionError::TooManyFiles(limits.files));
            }
            conversation.end().await;
            let mut names: Vec<_> = list.service.into_iter().map(|it| it.name).collect();
            names.sort();
            names.dedup();
            Ok(names)
        };
        let services = timeout(limits.time, services).await;
        services.unwrap_or(Err(ReflectionError::TooLong(limits.time)))
    }

    /// The file that declares `symbol` (the full name of a service, a message …), with all files
    /// that it imports.
    ///
    /// # Errors
    ///
    /// If the server doesn't know `symbol`, or sends files that make no sense, or doesn't keep
    /// within the [`Limits`].
    pub async fn types_of(&mut self, symbol: &str) -> Result<DescriptorPool, ReflectionError> {
        let limits = self.limits;
        let types = async {
            let mut files = Files::new(limits);
            let mut conversation = Conversation::new(self);
            let question = MessageRequest::FileContainingSymbol(symbol.into());
            let answer = conversation.ask(question).await?;
            let answer = answer.ok_or_else(|| ReflectionError::NotFound(symbol.into()))?;
            files.take(descriptors(answer)?)?;
            // Each answer has to bring the file that was asked for, so they end with the limit.
            while let Some(missing) = files.next_missing() {
                let question = MessageRequest::FileByFilename(missing.file.clone());
                let Some(answer) = conversation.ask(question).await? else {
                    let Missing { file, importer } = missing;
                    return Err(ReflectionError::MissingFile { file, importer });
                };
                let names = files.take(descriptors(answer)?)?;
                if !names.contains(&missing.file) {
                    return Err(invalid(format!(
                        "asked for `{}`, it sent others",
                        missing.file
                    )));
                }
            }
            conversation.end().await;
            // On a thread of its own: thousands of names to look up would hold up other calls.
            let pool = tokio::task::spawn_blocking(move || files.build()).await;
            let pool =
                pool.unwrap_or_else(|_| Err(invalid("types can't be built of its files")))?;
            if file_of(&pool, symbol).is_none() {
                return Err(invalid(format!("no file of them declares `{symbol}`")));
            }
            Ok(pool)
        };
        let types = timeout(limits.time, types).await;
        types.unwrap_or(Err(ReflectionError::TooLong(limits.time)))
    }

    /// The method that is called `package.Service/Method`.
    ///
    /// # Errors
    ///
    /// As for [`types_of`](Self::types_of); if the service doesn't have it, it's not found.
    pub async fn method(&mut self, name: &str) -> Result<MethodDescriptor, ReflectionError> {
        let service = name.split_once('/').map_or(name, |(service, _)| service);
        let types = self.types_of(service).await?;
        method_of(&types, name).ok_or_else(|| ReflectionError::NotFound(name.into()))
    }

    /// The text of the file that declares `symbol`, as [`proto_text`] has it.
    ///
    /// # Errors
    ///
    /// As for [`types_of`](Self::types_of).
    pub async fn text_of(&mut self, symbol: &str) -> Result<String, ReflectionError> {
        let types = self.types_of(symbol).await?;
        let file = file_of(&types, symbol);
        let file = file.ok_or_else(|| ReflectionError::NotFound(symbol.into()))?;
        Ok(proto_text(&file))
    }

    /// The details of `status`, a line each: the name of its type, and the message as JSON.
    ///
    /// Types that are not among `known` are asked for.
    pub async fn detail_lines(&mut self, status: &Status, known: &DescriptorPool) -> Vec<String> {
        let mut lines = Vec::new();
        for mut detail in details(status, known) {
            if detail.message.is_none()
                && let Ok(types) = self.types_of(&detail.type_name).await
            {
                detail = detail.read(&types);
            }
            let json = detail.message.as_ref().and_then(|it| to_json(it).ok());
            let json = json.unwrap_or_else(|| "of a type that the server doesn't tell".into());
            lines.push(format!("{}: {json}", escape(&detail.type_name)));
        }
        lines
    }
}

fn descriptors(answer: MessageResponse) -> Result<Vec<Vec<u8>>, ReflectionError> {
    match answer {
        MessageResponse::FileDescriptorResponse(files) => Ok(files.file_descriptor_proto),
        _ => Err(invalid("no files in the answer to a question for files")),
    }
}

/// The file of `types` that declares `symbol`: the full name of a service, a method, a message, a
/// field, an enum or an extension.
pub fn file_of(types: &DescriptorPool, symbol: &str) -> Option<FileDescriptor> {
    let message = types.get_message_by_name(symbol).map(|it| it.parent_file());
    let service = || Some(types.get_service_by_name(symbol)?.parent_file());
    let enumeration = || Some(types.get_enum_by_name(symbol)?.parent_file());
    let extension = || Some(types.get_extension_by_name(symbol)?.parent_file());
    let member = || {
        let (parent, name) = symbol.rsplit_once('.')?;
        if let Some(message) = types.get_message_by_name(parent) {
            return message
                .get_field_by_name(name)
                .map(|_| message.parent_file());
        }
        let service = types.get_service_by_name(parent)?;
        let has_method = service.methods().any(|it| it.name() == name);
        has_method.then(|| service.parent_file())
    };
    message
        .or_else(service)
        .or_else(enumeration)
        .or_else(extension)
        .or_else(member)
}

/// Questions and answers, in one call as long as the server goes on.
struct Conversation<'a, S> {
    client: &'a mut ReflectionClient<S>,
    call: Option<Call>,
    bytes: usize,
}

struct Call {
    questions: mpsc::Sender<ServerReflectionRequest>,
    answers: Streaming<ServerReflectionResponse>,
}

impl<'a, S> Conversation<'a, S>
where
    S: GrpcService<Body> + Clone,
    S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    fn new(client: &'a mut ReflectionClient<S>) -> Self {
        Self {
            client,
            call: None,
            bytes: 0,
        }
    }

    /// `None` if the server doesn't know what is asked for.
    async fn ask(
        &mut self,
        question: MessageRequest,
    ) -> Result<Option<MessageResponse>, ReflectionError> {
        let question = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        };
        let answer = match self.answer(question).await {
            Ok(answer) => answer,
            Err(status) => {
                self.call = None;
                return self.refused(status);
            }
        };
        self.bytes += prost::Message::encoded_len(&answer);
        if self.bytes > self.client.limits.bytes {
            return Err(ReflectionError::TooManyBytes(self.client.limits.bytes));
        }
        match answer.message_response {
            Some(MessageResponse::ErrorResponse(error)) => {
                self.refused(Status::new(error.error_code.into(), error.error_message))
            }
            Some(answer) => Ok(Some(answer)),
            None => Err(invalid("an answer with nothing in it")),
        }
    }

    /// Ends the call as one that is complete; the server has a moment to agree.
    async fn end(mut self) {
        if let Some(Call {
            questions,
            mut answers,
        }) = self.call.take()
        {
            drop(questions);
            let _ = timeout(MOMENT, answers.message()).await;
        }
    }

    fn refused(&self, status: Status) -> Result<Option<MessageResponse>, ReflectionError> {
        match status.code() {
            // In a message, as reflection.proto has it; or as the end of the call, as tonic has it.
            Code::NotFound => Ok(None),
            Code::Unimplemented => {
                let status = Status::unimplemented(UNSUPPORTED);
                Err(ReflectionError::Unsupported(status))
            }
            // tonic's word for a message that is larger than its reader takes.
            Code::OutOfRange => Err(ReflectionError::TooManyBytes(self.client.limits.bytes)),
            _ => Err(ReflectionError::Call(status)),
        }
    }

    async fn answer(
        &mut self,
        question: ServerReflectionRequest,
    ) -> Result<ServerReflectionResponse, Status> {
        if let Some(call) = &mut self.call
            && call.questions.send(question.clone()).await.is_ok()
        {
            // A call that has ended answers no more questions. Others may.
            if let Some(answer) = call.answers.message().await? {
                return Ok(answer);
            }
        }
        let known = self.client.method;
        for method in METHODS {
            if known.is_some_and(|known| known != method) {
                continue;
            }
            match self.begin(method, question.clone()).await {
                Err(status) if status.code() == Code::Unimplemented && known.is_none() => {}
                other => {
                    self.client.method = Some(method);
                    return other;
                }
            }
        }
        Err(Status::unimplemented("no reflection"))
    }

    /// Begins a call, with the question in it from the start: many servers send nothing, not even
    /// headers, before they have been asked.
    async fn begin(
        &mut self,
        method: &'static str,
        question: ServerReflectionRequest,
    ) -> Result<ServerReflectionResponse, Status> {
        let mut grpc = Grpc::new(self.client.service.clone())
            .max_decoding_message_size(self.client.limits.bytes);
        grpc.ready()
            .await
            .map_err(|error| Status::from_error(error.into()))?;
        let (sender, receiver) = mpsc::channel(1);
        // There is room for one.
        let _ = sender.try_send(question);
        let questions = futures::stream::unfold(receiver, async |mut receiver| {
            Some((receiver.recv().await?, receiver))
        });
        let mut request = Request::new(questions);
        *request.metadata_mut() = self.client.metadata.clone();
        let codec = ProstCodec::default();
        let response = grpc.streaming(request, PathAndQuery::from_static(method), codec);
        let mut answers = response.await?.into_inner();
        let answer = answers.message().await?;
        self.call = Some(Call {
            questions: sender,
            answers,
        });
        answer.ok_or_else(|| Status::internal("the call has ended without an answer"))
    }
}
