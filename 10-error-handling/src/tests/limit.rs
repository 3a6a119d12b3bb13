//! Details past the limit that clients set for headers: the error itself is lost, unless there is a bound.

use tonic::Response;
use tonic::codegen::BoxStream;
use tonic_types::{ErrorDetails, FieldViolation};

use super::*;
use crate::error::LISTED_AT_MOST;
use crate::signup::signup_server::Signup;

const KIB: usize = 1024;

/// An office that lists as many wrong fields as the form's year says.
struct Talkative;

#[tonic::async_trait]
impl Signup for Talkative {
    async fn register(&self, request: Request<Form>) -> Result<Response<Membership>, Status> {
        let count = request.into_inner().born;
        let violations = (0..count).map(|index| {
            FieldViolation::new(format!("forms[{index}].email"), "is no e-mail address")
        });
        let details = ErrorDetails::with_bad_request(violations.collect::<Vec<_>>());
        Err(Status::with_error_details(
            Code::InvalidArgument,
            "wrong",
            details,
        ))
    }

    /// A stream without messages and without an end.
    async fn register_all(
        &self,
        _: Request<Forms>,
    ) -> Result<Response<BoxStream<Membership>>, Status> {
        Ok(Response::new(Box::pin(futures::stream::pending())))
    }
}

async fn start_talkative() -> Endpoint {
    let (listener, endpoint) = bind().await;
    let server = Server::builder().add_service(SignupServer::new(Talkative));
    tokio::spawn(server.serve_with_incoming(incoming(listener)));
    endpoint
}

fn fields(count: u32) -> Form {
    Form {
        born: count,
        ..Form::default()
    }
}

#[tokio::test]
async fn tonic_loses_an_error_whose_details_are_past_the_limit() {
    let endpoint = start_talkative().await;
    let mut stub = SignupClient::new(harmless(endpoint.connect_lazy()));
    let status = stub.register(fields(100)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(wrong_fields(&status).len(), 100);
    let status = stub.register(fields(500)).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!status.message().contains("wrong"), "not even the message");
    // The connection goes on.
    let status = stub.register(fields(1)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn far_past_the_limit_the_calls_beside_are_lost_too() {
    let endpoint = start_talkative().await;
    let mut stub = SignupClient::new(harmless(endpoint.connect_lazy()));
    let neighbour = stub.register_all(Forms::default()).await.unwrap();
    // More than four times the limit.
    let status = stub.register(fields(2000)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let ended = timeout(Duration::from_secs(20), read_all(neighbour.into_inner())).await;
    let (_, end) = ended.unwrap();
    end.unwrap_err();
}

#[tokio::test]
async fn a_client_can_raise_its_limit() {
    let endpoint = start_talkative().await;
    let roomy = endpoint.http2_max_header_list_size(64 * KIB as u32);
    let mut stub = SignupClient::new(harmless(roomy.connect_lazy()));
    let status = stub.register(fields(500)).await.unwrap_err();
    assert_eq!(wrong_fields(&status).len(), 500);
}

#[tokio::test]
async fn a_thousand_wrong_forms_arrive_as_twenty_and_how_many_more() {
    let (listener, endpoint) = bind().await;
    let (journal, _lines) = mpsc::unbounded_channel();
    tokio::spawn(serve(listener, journal));
    // The limit that the specification suggests, half of tonic's.
    let strict = endpoint.http2_max_header_list_size(8 * KIB as u32);
    let mut stub = SignupClient::new(harmless(strict.connect_lazy()));
    let long = "x".repeat(KIB);
    let forms = vec![good("", &long); 1000];
    let status = stub.register_all(Forms { forms }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "wrong fields: 20, and 1980 more");
    assert_eq!(wrong_fields(&status).len(), LISTED_AT_MOST);
}

#[tokio::test]
async fn nothing_of_the_request_comes_back() {
    let (mut stub, _lines) = start().await;
    let mark = "BLABLA".repeat(20);
    for form in [
        form(&mark, &mark, &mark),
        form(&mark, &format!("{mark}@club.example"), &mark),
        form(
            &format!("{mark}'"),
            &format!("{mark}@club.example"),
            INVITATION,
        ),
    ] {
        let status = stub.register(form).await.unwrap_err();
        let details = String::from_utf8_lossy(status.details()).into_owned();
        assert!(!details.contains("BLABLA") && !status.message().contains("BLABLA"));
    }
}
