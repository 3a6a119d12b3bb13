//! Asks a server for its own types: gRPC's reflection, v1 and v1alpha, by a connection of its own.
//!
//! In bounded time and memory, and silent where a server doesn't have it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::Request;
use prost_reflect::DescriptorPool;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::grpc::{Descriptors, PREFIX, Raw, Source, fields};

/// How long a server may take to tell its types.
const PATIENCE: Duration = Duration::from_secs(3);

/// How much it may tell.
const BYTES: usize = 8 * 1024 * 1024;

/// How many questions it is asked: one a service, and one a file that is missing.
const QUESTIONS: usize = 2_000;

/// How often it is asked again when a connection failed.
const TRIES: u32 = 3;

const METHODS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Fields of `ServerReflectionRequest`.
const FILE_BY_FILENAME: u8 = 3;
const FILE_CONTAINING_SYMBOL: u8 = 4;
const LIST_SERVICES: u8 = 7;

/// Fields of `ServerReflectionResponse`.
const FILE_DESCRIPTOR_RESPONSE: u64 = 4;
const LIST_SERVICES_RESPONSE: u64 = 6;

type Failure = Box<dyn Error + Send + Sync>;

/// A server that may be asked.
#[derive(Debug)]
pub(crate) struct Reflection {
    server: String,
    state: Arc<watch::Sender<State>>,
    tries: AtomicU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NotAsked,
    Asking,
    Settled,
}

impl Reflection {
    pub fn of(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            state: Arc::new(watch::Sender::new(State::NotAsked)),
            tries: AtomicU32::new(0),
        }
    }

    /// A method is called. The server is asked if no proto knows it, and if it was not asked
    /// before.
    pub fn needs(&self, path: &str, descriptors: &Descriptors) {
        if *self.state.borrow() != State::NotAsked || descriptors.method(path).is_some() {
            return;
        }
        let asks = self.state.send_if_modified(|state| {
            let asks = *state == State::NotAsked;
            *state = State::Asking;
            asks
        });
        if !asks {
            return;
        }
        let last = self.tries.fetch_add(1, Ordering::Relaxed) + 1 >= TRIES;
        let (server, state) = (self.server.clone(), self.state.clone());
        let descriptors = descriptors.clone();
        tokio::spawn(async move {
            let answer = timeout(PATIENCE, ask(&server)).await;
            let next = match answer {
                Ok(Ok(set)) => {
                    let add = move || descriptors.decode_descriptor_set(Source::Server, &set);
                    // What can't be used leaves messages without names, no more.
                    let _ = tokio::task::spawn_blocking(add).await;
                    State::Settled
                }
                Ok(Err(_)) if !last => State::NotAsked,
                _ => State::Settled,
            };
            state.send_replace(next);
        });
    }

    /// Waits for the answer that is under way, if one is.
    pub async fn settled(&self) {
        if *self.state.borrow() != State::Asking {
            return;
        }
        let mut state = self.state.subscribe();
        // The task that asks ends in time itself, unless its runtime is gone.
        let settled = state.wait_for(|state| *state != State::Asking);
        let _ = timeout(2 * PATIENCE, settled).await;
    }
}

/// Returns a `FileDescriptorSet` of all that the server tells: empty if it has no reflection.
async fn ask(server: &str) -> Result<Vec<u8>, Failure> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = h2::client::Builder::new()
        .max_concurrent_reset_streams(4)
        .handshake::<_, Bytes>(stream)
        .await?;
    // Ends together with this task.
    let _connection = JoinSet::from_iter([async move { drop(connection.await) }]);
    for method in METHODS {
        let client = client.clone().ready().await?;
        let files = match Conversation::begin(client, server, method).await {
            Ok(mut conversation) => conversation.files().await,
            Err(failure) => Err(failure),
        };
        if let Ok(files) = files {
            return Ok(files);
        }
    }
    Ok(Vec::new())
}

/// One call of reflection: a question, an answer, and so on.
struct Conversation {
    questions: SendStream<Bytes>,
    response: Option<h2::client::ResponseFuture>,
    answers: Option<RecvStream>,
    buffer: BytesMut,
    read: usize,
    asked: usize,
}

impl Conversation {
    async fn begin(
        mut client: SendRequest<Bytes>,
        server: &str,
        method: &str,
    ) -> Result<Self, Failure> {
        let request = Request::post(format!("http://{server}{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let (response, questions) = client.send_request(request, false)?;
        Ok(Self {
            questions,
            response: Some(response),
            answers: None,
            buffer: BytesMut::new(),
            read: 0,
            asked: 0,
        })
    }

    /// The files of all services, and those that they import.
    async fn files(&mut self) -> Result<Vec<u8>, Failure> {
        let known = DescriptorPool::global();
        let mut files = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for service in services(&self.question(LIST_SERVICES, "*").await?)? {
            let answer = self.question(FILE_CONTAINING_SYMBOL, &service).await?;
            take_files(&answer, &mut files, &mut missing);
        }
        while let Some(file) = missing.pop_first() {
            if files.contains_key(&file) || known.get_file_by_name(&file).is_some() {
                continue;
            }
            let answer = self.question(FILE_BY_FILENAME, &file).await?;
            take_files(&answer, &mut files, &mut missing);
            // One that it doesn't have is not asked for again.
            files.entry(file).or_default();
        }
        let mut set = Vec::new();
        for (name, file) in files {
            if !file.is_empty() && known.get_file_by_name(&name).is_none() {
                put_bytes(&mut set, 1, &file);
            }
        }
        Ok(set)
    }

    /// Asks one question, and returns the answer.
    async fn question(&mut self, field: u8, text: &str) -> Result<Bytes, Failure> {
        self.asked += 1;
        if self.asked > QUESTIONS {
            return Err("too many services or files".into());
        }
        let mut message = Vec::new();
        put_bytes(&mut message, field, text.as_bytes());
        let mut framed = vec![0];
        framed.extend(u32::try_from(message.len())?.to_be_bytes());
        framed.extend(message);
        self.send(framed.into()).await?;
        self.answer().await
    }

    async fn send(&mut self, mut framed: Bytes) -> Result<(), Failure> {
        while !framed.is_empty() {
            self.questions.reserve_capacity(framed.len());
            let capacity = poll_fn(|context| self.questions.poll_capacity(context)).await;
            let capacity = capacity.ok_or("the stream has ended")??;
            let part = framed.split_to(capacity.min(framed.len()));
            self.questions.send_data(part, false)?;
        }
        Ok(())
    }

    async fn answer(&mut self) -> Result<Bytes, Failure> {
        if let Some(response) = self.response.take() {
            let response = response.await?;
            if response.headers().contains_key("grpc-status") {
                return Err("no reflection".into());
            }
            self.answers = Some(response.into_body());
        }
        let answers = self.answers.as_mut().ok_or("no response")?;
        loop {
            if let Some([compressed, a, b, c, d]) = self.buffer.first_chunk::<PREFIX>().copied() {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                if compressed != 0 || length > BYTES {
                    return Err("an answer that is too long, or compressed".into());
                }
                if self.buffer.len() >= PREFIX + length {
                    let _prefix = self.buffer.split_to(PREFIX);
                    return Ok(self.buffer.split_to(length).freeze());
                }
            }
            let data = answers.data().await.ok_or("the call has ended")??;
            answers.flow_control().release_capacity(data.len())?;
            self.read += data.len();
            if self.read > BYTES {
                return Err("too much to be kept".into());
            }
            self.buffer.extend_from_slice(&data);
        }
    }
}

/// The names in a `ListServiceResponse`.
fn services(answer: &[u8]) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    let list = inner(answer, LIST_SERVICES_RESPONSE).ok_or("no list of services")?;
    for service in values(list, 1) {
        for name in values(service, 1) {
            names.push(String::from_utf8(name.to_vec())?);
        }
    }
    Ok(names)
}

/// Takes the files of a `FileDescriptorResponse`, each by its name, and what they import.
fn take_files(
    answer: &[u8],
    files: &mut BTreeMap<String, Vec<u8>>,
    missing: &mut BTreeSet<String>,
) {
    let response = inner(answer, FILE_DESCRIPTOR_RESPONSE).unwrap_or_default();
    for file in values(response, 1) {
        let name = values(file, 1).into_iter().next().unwrap_or_default();
        let Ok(name) = std::str::from_utf8(name) else {
            continue;
        };
        for import in values(file, 3) {
            missing.extend(std::str::from_utf8(import).map(str::to_owned));
        }
        files.insert(name.to_owned(), file.to_vec());
    }
}

fn inner(message: &[u8], number: u64) -> Option<&[u8]> {
    values(message, number).into_iter().next()
}

/// The values of a field of bytes, text or messages.
fn values(message: &[u8], number: u64) -> Vec<&[u8]> {
    let fields = fields(message).unwrap_or_default().into_iter();
    let of_number = fields.filter(|field| field.number == number);
    let bytes = of_number.filter_map(|field| match field.value {
        Raw::Bytes(bytes) => Some(bytes),
        _ => None,
    });
    bytes.collect()
}

/// Writes a field of bytes, text or a message.
fn put_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
}
