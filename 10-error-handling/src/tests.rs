//! What must not leak, what callers are told, and the exercises.

use std::fmt::{Debug, Display};

use prost::Message;
use prost_types::Any;
use tokio::sync::mpsc::{self, Receiver};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt, pb};
use wire::testing::{RawCall, framed, post, soon};

use super::*;
use crate::details::wrong_fields;
use crate::proto::mail::mail_server::Mail;
use crate::proto::mail::{Address, Checked};
use crate::proto::signup::signup_client::SignupClient;
use crate::proto::signup::signup_server::Signup;
use crate::proto::signup::{Departure, Form, Member};

type Stub = SignupClient<Connection>;

#[tokio::test]
async fn nothing_that_a_mail_server_says_reaches_the_caller() {
    for number in 1..=16 {
        let code = Code::from_i32(number);
        let (office, mut lines) = office_with(Upstream(code)).await;
        let status = office.register(Request::new(ann())).await.unwrap_err();
        let expected = match code {
            Code::NotFound => Code::InvalidArgument,
            Code::Unavailable => Code::Unavailable,
            _ => Code::Internal,
        };
        assert_eq!(status.code(), expected, "for an upstream's {code:?}");
        let told = everything(&status);
        assert!(
            !told.contains("hunter2"),
            "an upstream's {code:?} leaks: {told}"
        );
        if code != Code::NotFound {
            let line = soon("a line of the log", lines.recv()).await.unwrap();
            assert!(line.contains(&format!("{code:?}: hunter2")), "{line}");
        }
    }
}

#[tokio::test]
async fn a_mail_server_with_malformed_details_is_an_incident_and_no_panic() {
    let (office, mut lines) = office_with(Malformed).await;
    let status = office.register(Request::new(ann())).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    let line = soon("a line of the log", lines.recv()).await.unwrap();
    assert_eq!(line, "incident 1: mail server: PermissionDenied: malformed");
}

#[tokio::test]
async fn a_databases_words_stay_in_the_log_under_a_number() {
    let (mut stub, mut lines) = start().await;
    for number in 1..3 {
        let pat = form("Pat O'Hara", "pat@club.example", 1990);
        let status = stub.register(pat).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        let incident = status.get_details_request_info().unwrap().request_id;
        assert_eq!(incident, format!("incident {number}"));
        let line = soon("a line of the log", lines.recv()).await.unwrap();
        assert!(
            line.starts_with(&format!("{incident}: database: ")),
            "{line}"
        );
        for secret in ["INSERT", "O'Hara", "hunter2", "10.0.0.7"] {
            assert!(line.contains(secret), "{line}");
            let told = everything(&status);
            assert!(!told.contains(secret), "{told}");
        }
    }
}

#[tokio::test]
async fn a_mail_server_that_is_full_comes_with_a_delay() {
    let (mut stub, mut lines) = start().await;
    let status = stub
        .register(form("Cay", "cay@flooded.example", 1990))
        .await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let delay = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_secs(5)));
    let line = soon("a line of the log", lines.recv()).await.unwrap();
    assert_eq!(
        line,
        "mail server: Unavailable: mail-3.club.internal is full"
    );
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let (mut stub, _lines) = start().await;
    let long = "x".repeat(101);
    for (form, expected) in [
        (form("", "", 0), &["name", "email", "year_of_birth"][..]),
        (form(" ", "@", 1899), &["name", "email", "year_of_birth"]),
        (form(&long, "a@", 2011), &["name", "email", "year_of_birth"]),
        (form("Ann", "@b", 1900), &["email"]),
        (form(&long[1..], "a", 2010), &["email"]),
        (
            form("Ann", &format!("{}@b", "a".repeat(253)), 2010),
            &["email"],
        ),
    ] {
        let status = stub.register(form).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let fields: Vec<_> = violations.iter().map(|wrong| &wrong.field[..]).collect();
        assert_eq!(fields, expected);
        // However long the fields were, the status is short.
        assert!(everything(&status).len() < 1000);
    }
    let longest = form(&long[1..], &format!("{}@b", "a".repeat(252)), 2010);
    stub.register(longest).await.unwrap();
    let gone = stub
        .register(form("Dan", "dan@nowhere.example", 1990))
        .await;
    assert_eq!(
        wrong_fields(&gone.unwrap_err()),
        [pair("email", "takes no mail")]
    );
}

#[tokio::test]
async fn a_line_of_the_log_stays_one_line() {
    let (mut stub, mut lines) = start().await;
    let forged = form(
        "Ann\nincident 7: all is well\u{1b}[2J",
        "ann@club.example",
        1990,
    );
    stub.register(forged).await.unwrap();
    let line = soon("a line of the log", lines.recv()).await.unwrap();
    let expected = r"Ann\nincident 7: all is well\u{1b}[2J has joined: A1990";
    assert_eq!(line, expected);
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_call() {
    let (mut stub, lines) = start().await;
    // The channel of these tests holds eight lines.
    for _ in 0..20 {
        soon("a member", stub.register(ann())).await.unwrap();
    }
    drop(lines);
    soon("a member", stub.register(ann())).await.unwrap();
}

#[tokio::test]
async fn a_request_past_the_limit_is_refused_before_it_is_read() {
    let (url, _lines) = serve_office().await;
    let forms = framed(&vec![0x0a; 4 * 1024 * 1024]);
    let reply = post(&url, "/signup.v1.Signup/Register", forms).await;
    assert_eq!(reply.status(), Some("RESOURCE_EXHAUSTED"));
}

/// Asking the mail server takes longer than that.
#[tokio::test]
async fn the_server_ends_a_call_whose_deadline_has_passed() {
    let (url, _lines) = serve_office().await;
    let call = RawCall::new("/signup.v1.Signup/Register")
        .header("grpc-timeout", "1u")
        .body(framed(&ann().encode_to_vec()));
    assert_eq!(call.send(&url).await.status(), Some("DEADLINE_EXCEEDED"));
}

/// What the page warns of.
#[tokio::test]
async fn with_a_question_mark_an_upstreams_status_passes_whole() {
    let url = serve_mail(Upstream(Code::Unauthenticated)).await;
    let careless = Careless(MailClient::new(connect(url).unwrap()));
    let status = careless.register(Request::new(ann())).await.unwrap_err();
    // As if our caller had to log in.
    assert_eq!(status.code(), Code::Unauthenticated);
    let told = everything(&status);
    for secret in [
        "hunter2 in words",
        "hunter2 in metadata",
        "hunter2 in details",
    ] {
        assert!(told.contains(secret), "{told}");
    }
}

#[test]
fn one_malformed_detail_costs_get_error_details_all_of_them() {
    let status = with_details(
        Code::InvalidArgument,
        Code::InvalidArgument,
        [
            bad_request(&[("name", "is blank")]),
            any("type.googleapis.com/google.rpc.LocalizedMessage", &[0xff]),
        ],
    );
    assert!(status.get_error_details().bad_request().is_none());
}

#[tokio::test]
#[ignore = "exercise 1: leave with everything given back"]
async fn exercise_1_nobody_leaves_with_what_is_lent() {
    let (mut stub, mut lines) = start().await;
    let email = "bob@club.example".to_owned();
    let left = stub.leave(Departure { email }).await.map(|_| "a farewell");
    let Err(status) = left else {
        panic!("Bob still has the key and a towel: expected an error, got a farewell");
    };
    expect(status.code(), Code::FailedPrecondition, "the code, for Bob");
    let failure = status.get_details_precondition_failure();
    let failure = failure.expect("the error for Bob has no PreconditionFailure in its details");
    let found: Vec<_> = failure
        .violations
        .iter()
        .map(|lent| (&*lent.r#type, &*lent.subject))
        .collect();
    let expected = vec![("LENT", "the key"), ("LENT", "a towel")];
    expect(
        found,
        expected,
        "type and subject of each violation, for Bob",
    );
    let logged = lines.try_recv().ok();
    expect(
        logged,
        None,
        "a line of the log, though nothing went wrong here",
    );

    let email = "ann@club.example".to_owned();
    let farewell = stub.leave(Departure { email }).await;
    let farewell = farewell.map(|farewell| !farewell.into_inner().text.is_empty());
    let farewell = farewell.map_err(|status| status.code());
    expect(
        farewell,
        Ok(true),
        "a farewell with a text for Ann, who has nothing of the club's",
    );
}

#[test]
#[ignore = "exercise 2: read what can be read"]
fn exercise_2_reads_the_fields_in_spite_of_other_details() {
    use Code::{InvalidArgument, NotFound};
    let fields = || bad_request(&[("name", "is blank"), ("email", "takes no mail")]);
    let unknown = || any("type.googleapis.com/club.v2.Mood", b"bright");
    let malformed = || any("type.googleapis.com/google.rpc.LocalizedMessage", &[0xff]);
    let cut = || any("type.googleapis.com/google.rpc.BadRequest", &[0x0a, 9, 1]);
    let (both, none) = (
        vec![pair("name", "is blank"), pair("email", "takes no mail")],
        vec![],
    );
    for (code, inner, details, expected, what) in [
        (
            InvalidArgument,
            InvalidArgument,
            vec![fields()],
            &both,
            "only the fields",
        ),
        (
            InvalidArgument,
            InvalidArgument,
            vec![unknown(), fields()],
            &both,
            "a detail of an unknown type before the fields",
        ),
        (
            InvalidArgument,
            InvalidArgument,
            vec![malformed(), fields()],
            &both,
            "a malformed detail before the fields",
        ),
        (
            InvalidArgument,
            InvalidArgument,
            vec![cut()],
            &none,
            "fields that are malformed",
        ),
        (
            NotFound,
            InvalidArgument,
            vec![fields()],
            &none,
            "details whose own code isn't the status's",
        ),
        (
            InvalidArgument,
            InvalidArgument,
            vec![],
            &none,
            "no details",
        ),
    ] {
        let status = with_details(code, inner, details);
        expect(
            &wrong_fields(&status),
            expected,
            format!("the fields of a status with {what}"),
        );
    }
    let garbage = Status::with_details(InvalidArgument, "", b"\xff\xff"[..].into());
    expect(
        wrong_fields(&garbage),
        none,
        "the fields of a status with garbage for details",
    );
}

#[tokio::test]
#[ignore = "exercise 3: a detail of your own"]
async fn exercise_3_a_form_with_mistakes_brings_the_rules() {
    let (mut stub, _lines) = start().await;
    let status = stub.register(form(" ", "ann", 1990)).await.unwrap_err();
    let expected = vec![
        pair("name", "is blank"),
        pair("email", "isn't an e-mail address"),
    ];
    let details = pb::Status::decode(status.details()).unwrap().details;
    let url = "type.googleapis.com/google.rpc.BadRequest";
    let fields = details.iter().find(|detail| detail.type_url == url);
    let fields = fields.expect("the error no longer has a BadRequest in its details");
    let fields = pb::BadRequest::decode(&fields.value[..])
        .unwrap()
        .field_violations;
    let fields: Vec<_> = fields
        .iter()
        .map(|it| pair(&it.field, &it.description))
        .collect();
    expect(fields, expected, "the wrong fields, which old clients read");
    let types: Vec<_> = details.iter().map(|detail| &detail.type_url[..]).collect();
    let rules = details
        .iter()
        .find(|it| it.type_url == "type.googleapis.com/signup.v1.Rules");
    let Some(rules) = rules else {
        panic!("expected a detail of the type type.googleapis.com/signup.v1.Rules, got {types:?}");
    };
    // Field 1 is 100, field 2 is 1900, field 3 is 2010.
    let expected = b"\x08\x64\x10\xec\x0e\x18\xda\x0f";
    expect(
        &rules.value[..],
        &expected[..],
        "the bytes of the message Rules",
    );
}

/// Fails with a sentence that says what was expected and what came.
#[track_caller]
fn expect<T: PartialEq + Debug>(got: T, expected: T, what: impl Display) {
    assert!(
        got == expected,
        "{what}: expected {expected:?}, got {got:?}"
    );
}

/// A mail server that ends every call with this code, and says too much in every way there is.
struct Upstream(Code);

#[tonic::async_trait]
impl Mail for Upstream {
    async fn check(&self, _: Request<Address>) -> Result<Response<Checked>, Status> {
        let details = ErrorDetails::with_debug_info(vec![], "hunter2 in details");
        let mut metadata = MetadataMap::new();
        let secret = AsciiMetadataValue::from_static("hunter2 in metadata");
        metadata.insert("account", secret);
        let words = "hunter2 in words";
        Err(Status::with_error_details_and_metadata(
            self.0, words, details, metadata,
        ))
    }
}

/// A mail server whose details are no base64.
struct Malformed;

#[tonic::async_trait]
impl Mail for Malformed {
    async fn check(&self, _: Request<Address>) -> Result<Response<Checked>, Status> {
        let mut headers = tonic::codegen::http::HeaderMap::new();
        headers.insert("grpc-status-details-bin", "%%%".parse().unwrap());
        let metadata = MetadataMap::from_headers(headers);
        Err(Status::with_metadata(
            Code::PermissionDenied,
            "malformed",
            metadata,
        ))
    }
}

/// An office that uses `?` on the mail server's answer.
struct Careless(MailClient<Connection>);

#[tonic::async_trait]
impl Signup for Careless {
    async fn register(&self, request: Request<Form>) -> Result<Response<Member>, Status> {
        let Form { email, .. } = request.into_inner();
        self.0.clone().check(Address { email }).await?;
        Ok(Response::new(Member::default()))
    }
}

/// All that came back with an error, as a program could find it: message, details, metadata.
fn everything(status: &Status) -> String {
    let details = String::from_utf8_lossy(status.details());
    format!("{} {details} {:?}", status.message(), status.metadata())
}

fn with_details(code: Code, inner: Code, details: impl IntoIterator<Item = Any>) -> Status {
    let details = pb::Status {
        code: inner.into(),
        message: String::new(),
        details: details.into_iter().collect(),
    };
    Status::with_details(code, "", details.encode_to_vec().into())
}

fn any(type_url: &str, value: &[u8]) -> Any {
    let (type_url, value) = (type_url.to_owned(), value.to_owned());
    Any { type_url, value }
}

fn bad_request(fields: &[(&str, &str)]) -> Any {
    let violations = fields
        .iter()
        .map(|&(field, what)| FieldViolation::new(field, what));
    let details = ErrorDetails::with_bad_request(violations.collect::<Vec<_>>());
    let status = Status::with_error_details(Code::InvalidArgument, "", details);
    let mut status = pb::Status::decode(status.details()).unwrap();
    status.details.remove(0)
}

fn pair(field: &str, what: &str) -> (String, String) {
    (field.to_owned(), what.to_owned())
}

fn form(name: &str, email: &str, year_of_birth: u32) -> Form {
    let (name, email) = (name.to_owned(), email.to_owned());
    Form {
        name,
        email,
        year_of_birth,
    }
}

/// A form in which nothing is wrong.
fn ann() -> Form {
    form("Ann", "ann@club.example", 1990)
}

/// Serves the office and its mail server; returns a stub, and the log.
async fn start() -> (Stub, Receiver<String>) {
    let (url, lines) = serve_office().await;
    (SignupClient::new(connect(url).unwrap()), lines)
}

async fn serve_office() -> (String, Receiver<String>) {
    let (listener, url) = bind().await;
    let (mail, _) = bind().await;
    let (log, lines) = mpsc::channel(8);
    tokio::spawn(serve(listener, mail, Log::new(log)));
    (url, lines)
}

/// An office with another mail server behind it, and its log.
async fn office_with(mail: impl Mail) -> (Office, Receiver<String>) {
    let mail = MailClient::new(connect(serve_mail(mail).await).unwrap());
    let (log, lines) = mpsc::channel(8);
    let log = Log::new(log);
    (Office { mail, log }, lines)
}

async fn serve_mail(mail: impl Mail) -> String {
    let (listener, url) = bind().await;
    let server = Server::builder().add_service(MailServer::new(mail));
    tokio::spawn(server.serve_with_incoming(conform::server::incoming(listener)));
    url
}

async fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}
