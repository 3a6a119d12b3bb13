//! Who gets in and who doesn't, over real connections; and the exercises. Tokens that are no good
//! have their table in `conform`, in the tests of its module `credentials`.

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Streaming};
use tonic_prost::ProstCodec;
use wire::testing::soon;

use super::*;
use crate::proto::calculator_client::CalculatorClient;
use crate::proto::{Integer, Number, Operands};
use crate::ticket::Ticket;

type Stub = CalculatorClient<Connection>;

const SIXTEEN: Number = Number { value: 16.0 };

#[tokio::test]
async fn a_member_is_known_by_certificate_and_token() {
    let mut course = start().await;
    let root = course.stub("ann", "ann").square_root(SIXTEEN).await;
    assert_eq!(root.unwrap().into_inner().value, 4.0);
    let maxima = course.stub("ann", "ann").maximum(numbers()).await.unwrap();
    assert_eq!(values(maxima.into_inner()).await, [9.0, 16.0, 16.0]);
    let root = course.stub("bob", "bob").square_root(SIXTEEN).await;
    assert_eq!(root.unwrap().into_inner().value, 4.0);
    let lines = [
        "ann takes a root",
        "ann asks for maxima",
        "bob takes a root",
    ];
    assert_eq!(course.log(3).await, lines);
}

#[tokio::test]
async fn without_a_certificate_of_the_ca_nobody_gets_as_far_as_a_call() {
    let mut course = start().await;
    for certificate in ["stranger", ""] {
        let refused = course.stub(certificate, "ann").square_root(SIXTEEN).await;
        assert_eq!(
            refused.unwrap_err().code(),
            Code::Unavailable,
            "{certificate}"
        );
    }
    course
        .stub("bob", "bob")
        .square_root(SIXTEEN)
        .await
        .unwrap();
    assert_eq!(
        course.log(1).await,
        ["bob takes a root"],
        "nothing before it"
    );
}

#[tokio::test]
async fn all_kinds_of_call_refuse_a_stolen_token_in_the_same_words() {
    let mut course = start().await;
    let refusals = each_kind(course.stub("bob", "ann")).await;
    for status in refusals {
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(status.message(), "this call needs valid credentials");
    }
    let paths = ["SquareRoot", "Factorize", "Summarize", "Maximum"];
    let line =
        |method| format!("/calculator.v1.Calculator/{method}: refused: a token of somebody else");
    assert_eq!(course.log(4).await, paths.map(line));
}

#[tokio::test]
async fn who_is_known_and_may_not_is_denied_in_all_kinds_of_call() {
    let course = start().await;
    let mut bob = course.stub("bob", "bob");
    for refusal in [
        bob.maximum(numbers()).await.err(),
        bob.factorize(Integer { value: 12 }).await.err(),
        bob.summarize(numbers()).await.err(),
        bob.divide(Operands::default()).await.err(),
    ] {
        let status = refusal.unwrap();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(status.message(), "you may not call this method");
    }
}

/// A method that is added to the proto fails this test until somebody has decided about it.
#[test]
fn the_table_has_a_row_for_each_method_and_no_other() {
    let set = protox::compile(["calculator.proto"], ["../protos"]).unwrap();
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let service = format!("{}.{}", file.package(), service.name());
                methods.push(format!("/{service}/{}", method.name()));
            }
        }
    }
    assert!(methods.len() > 7);
    policy().check(methods).unwrap();
}

#[tokio::test]
async fn over_a_plain_channel_no_token_is_sent() {
    let course = start().await;
    let endpoint = Endpoint::from_shared(course.url.replace("https", "http")).unwrap();
    let mut ann = CalculatorClient::new(connect(&endpoint, &course.certs, "ann"));
    let status = ann.square_root(SIXTEEN).await.unwrap_err();
    assert_eq!(
        status.message(),
        "credentials aren't sent without TLS: the URL must begin with https://"
    );
}

#[tokio::test]
async fn silent_connections_and_half_handshakes_keep_no_member_out() {
    let course = start().await;
    let address = course.url.strip_prefix("https://").unwrap();
    let mut strangers = Vec::new();
    for number in 0..200 {
        let mut stranger = TcpStream::connect(address).await.unwrap();
        if number % 2 == 0 {
            stranger
                .write_all(b"\x16\x03\x01\x02\x00\x01")
                .await
                .unwrap();
        }
        strangers.push(stranger);
    }
    let mut ann = course.stub("ann", "ann");
    let root = soon("a root", ann.square_root(SIXTEEN)).await;
    assert_eq!(root.unwrap().into_inner().value, 4.0);
}

#[test]
fn without_certificates_a_sentence_says_which_command_makes_them() {
    let folder = TempDir::new().unwrap();
    let error = Certs(folder.path().join("none")).ca().unwrap_err();
    let expected = "there are no certificates: `cargo 14 certs` makes them";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn certificates_are_made_anew_each_time_and_only_their_owner_can_read_them() {
    let folder = TempDir::new().unwrap();
    let certs = Certs(folder.path().join("certs"));
    certs.make().unwrap();
    let first = certs.read("ann.key").unwrap();
    certs.make().unwrap();
    assert_ne!(certs.read("ann.key").unwrap(), first);
    #[cfg(unix)]
    for file in std::fs::read_dir(&certs.0).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
#[ignore = "exercise 1: let all members add up"]
async fn exercise_1_members_add_up() {
    let course = start().await;
    for name in ["ann", "bob"] {
        let numbers = tokio_stream::iter([1.5, 2.5, 0.0, 7.0].map(|value| Number { value }));
        let sum = course.stub(name, name).add_up(numbers).await;
        let sum = sum
            .map(|sum| sum.into_inner().value)
            .map_err(|status| status.code());
        assert_eq!(
            sum,
            Ok(4.0),
            "{name} adds 1.5 and 2.5 up, to the first zero"
        );
    }
    let refused = course.stub("bob", "ann").add_up(numbers()).await.map(drop);
    let code = refused.unwrap_err().code();
    assert_eq!(code, Code::Unauthenticated, "with a stolen token");
    let closed = course.stub("ann", "ann").sort(numbers()).await.map(drop);
    let code = closed.unwrap_err().code();
    assert_eq!(
        code,
        Code::PermissionDenied,
        "the other methods stay closed"
    );
}

#[tokio::test]
#[ignore = "exercise 2: send a ticket of your own with each call"]
async fn exercise_2_a_ticket_travels_with_each_call() {
    use conform::credentials::{CallCredentials, CallInfo};
    struct Recorder(Ticket, std::sync::Mutex<Vec<(Option<String>, bool)>>);
    #[tonic::async_trait]
    impl CallCredentials for Recorder {
        async fn metadata(&self, call: &CallInfo) -> Result<tonic::metadata::MetadataMap, Status> {
            let metadata = self.0.metadata(call).await?;
            let ticket = metadata.get("x-custom-auth-ticket");
            let text = ticket.and_then(|it| it.to_str().ok()).map(str::to_owned);
            let is_hidden = ticket.is_some_and(|it| it.is_sensitive());
            self.1.lock().unwrap().push((text, is_hidden));
            Ok(metadata)
        }
    }
    for ticket in ["seat-14", "seat-15"] {
        let recorder = Recorder(Ticket(ticket.into()), Default::default());
        let recorder = std::sync::Arc::new(recorder);
        let endpoint = Endpoint::from_static("https://127.0.0.1:1");
        let layer = CallCredentialsLayer::new(&endpoint, recorder.clone());
        let mut stub = CalculatorClient::new(layer.layer(endpoint.connect_lazy()));
        stub.square_root(SIXTEEN).await.unwrap_err();
        let seen = recorder.1.lock().unwrap().clone();
        assert_eq!(seen.len(), 1, "one call");
        let (sent, is_hidden) = &seen[0];
        assert_eq!(
            sent.as_deref(),
            Some(ticket),
            "the value of x-custom-auth-ticket"
        );
        assert!(
            is_hidden,
            "a ticket is a secret: mark its value as sensitive"
        );
    }
    let broken = Ticket("a\nb".into());
    let endpoint = Endpoint::from_static("https://127.0.0.1:1");
    let layer = CallCredentialsLayer::new(&endpoint, broken);
    let mut stub = CalculatorClient::new(layer.layer(endpoint.connect_lazy()));
    let status = stub.square_root(SIXTEEN).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::Internal,
        "a ticket that isn't printable ASCII"
    );
}

/// What the exercise asks for, by its numbers: the test has to compile before the proto has it.
#[derive(Clone, PartialEq, prost::Message)]
struct Me {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    certificate_names: Vec<String>,
}

#[tokio::test]
#[ignore = "exercise 3: tell members who they are"]
async fn exercise_3_members_learn_who_they_are() {
    let course = start().await;
    for name in ["ann", "bob"] {
        let endpoint = endpoint(course.url.clone(), &course.certs, name).unwrap();
        let mut grpc = Grpc::new(connect(&endpoint, &course.certs, name));
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static("/calculator.v1.Calculator/WhoAmI");
        let codec = ProstCodec::<(), Me>::default();
        let me = grpc.unary(Request::new(()), path, codec).await;
        let me = me
            .map(tonic::Response::into_inner)
            .map_err(|status| status.code());
        let expected = Me {
            name: name.into(),
            certificate_names: vec![name.into()],
        };
        assert_eq!(me, Ok(expected), "what {name} hears");
    }
}

/// A server with certificates of its own.
struct Course {
    url: String,
    certs: Certs,
    lines: mpsc::Receiver<String>,
    _folder: TempDir,
}

async fn start() -> Course {
    let folder = TempDir::new().unwrap();
    let certs = Certs(folder.path().to_owned());
    certs.make().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (log, lines) = mpsc::channel(100);
    let theirs = certs.clone();
    tokio::spawn(async move {
        let served = serve(listener, &theirs, log).await;
        served.map_err(|error| error.to_string()).unwrap();
    });
    Course {
        url,
        certs,
        lines,
        _folder: folder,
    }
}

impl Course {
    fn stub(&self, certificate: &str, token: &'static str) -> Stub {
        let endpoint = endpoint(self.url.clone(), &self.certs, certificate).unwrap();
        CalculatorClient::new(connect(&endpoint, &self.certs, token))
    }

    async fn log(&mut self, lines: usize) -> Vec<String> {
        let mut log = Vec::new();
        while log.len() < lines {
            log.extend(soon("a line of the log", self.lines.recv()).await);
        }
        log
    }
}

/// How each kind of call ends at once, uploads that never end among them.
async fn each_kind(mut stub: Stub) -> [Status; 4] {
    let endless = tokio_stream::pending::<Number>;
    let (unary, often) = (
        soon("a refusal", stub.square_root(SIXTEEN)).await.err(),
        soon("a refusal", stub.factorize(Integer { value: 12 }))
            .await
            .err(),
    );
    let (all, each) = (
        soon("a refusal", stub.summarize(endless())).await.err(),
        soon("a refusal", stub.maximum(endless())).await.err(),
    );
    [unary, often, all, each].map(Option::unwrap)
}

fn numbers() -> impl tokio_stream::Stream<Item = Number> {
    tokio_stream::iter([9.0, 16.0, 4.0].map(|value| Number { value }))
}

async fn values(mut replies: Streaming<Number>) -> Vec<f64> {
    let mut values = Vec::new();
    while let Some(reply) = replies.message().await.unwrap() {
        values.push(reply.value);
    }
    values
}
