//! What must not leave the office: a database's text, an upstream's status, a panic's message.

use futures::{StreamExt, stream};
use tonic::Response;
use tonic::codegen::BoxStream;

use super::*;
use crate::mail::Address;
use crate::panics::caught;
use crate::signup::signup_server::Signup;

/// All that came back with an error, as a program could find it: message, details, metadata.
fn everything(status: &Status) -> String {
    let details = String::from_utf8_lossy(status.details());
    format!("{} {details} {:?}", status.message(), status.metadata())
}

/// Asserts that a call failed here, that the caller learns nothing of it, and that the journal does.
async fn assert_kept_back(status: Status, lines: &mut UnboundedReceiver<String>, secrets: &[&str]) {
    assert_eq!(status.code(), Code::Internal);
    let incident = status.get_details_request_info().unwrap().request_id;
    let line = next_line(lines).await;
    assert!(line.starts_with(&format!("{incident}: ")), "{line}");
    for secret in secrets {
        assert!(line.contains(secret), "{line}");
        let told = everything(&status);
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test]
async fn a_databases_text_stays_in_the_journal() {
    let (mut stub, mut lines) = start().await;
    let status = stub.register(good("Pat O'Hara", "pat@club.example")).await;
    let secrets = ["INSERT", "O'Hara", "hunter2", "10.0.0.7"];
    assert_kept_back(status.unwrap_err(), &mut lines, &secrets).await;
}

#[tokio::test]
async fn an_upstreams_status_stays_in_the_journal_and_its_metadata_stays_behind() {
    let (mut stub, mut lines) = start().await;
    let status = stub.register(good("Bob", "bob@overseas.example")).await;
    let status = status.unwrap_err();
    for secret in ["x-served-by", "mail-3", "x-account", "token.rs", "2 May"] {
        assert!(!everything(&status).contains(secret), "{status:?}");
    }
    let secrets = ["clerk@club.internal", "expired", "Unauthenticated"];
    assert_kept_back(status, &mut lines, &secrets).await;
}

#[tokio::test]
async fn a_panics_message_stays_in_the_journal() {
    let (mut stub, mut lines) = start().await;
    let status = stub.register(good("Åsa", "asa@club.example")).await;
    assert_kept_back(status.unwrap_err(), &mut lines, &["out of bounds", "130"]).await;
    // The connection and the server go on, and incidents have numbers.
    let status = stub.register(good("Émile", "emile@club.example")).await;
    assert_kept_back(status.unwrap_err(), &mut lines, &["incident 2"][..0]).await;
    stub.register(good("Ann", "ann@club.example"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_panic_half_way_through_a_stream_keeps_what_arrived() {
    let (mut stub, mut lines) = start().await;
    let forms = vec![
        good("Ann", "ann@club.example"),
        good("Åsa", "asa@club.example"),
    ];
    let (cards, end) = register_all(&mut stub, forms).await;
    assert_eq!(cards, ["A1990"]);
    assert!(next_line(&mut lines).await.starts_with("Ann"));
    assert_kept_back(end.unwrap_err(), &mut lines, &["out of bounds"]).await;
}

#[tokio::test]
async fn what_a_stream_sent_before_it_panicked_is_not_lost() {
    let items = stream::iter(0..3).map(|item| {
        assert_ne!(item, 2, "on purpose");
        Ok(item)
    });
    let items: Vec<_> = caught(items).collect().await;
    assert!(matches!(items[..2], [Ok(0), Ok(1)]));
    let [_, _, Err(error)] = &items[..] else {
        panic!("{items:?}");
    };
    assert!(error.to_string().contains("on purpose"), "{error}");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_unavailable_with_a_delay() {
    let (mut stub, mut lines) = start().await;
    let status = stub.register(good("Bob", "bob@flooded.example")).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!everything(&status).contains("mail-3"));
    let delay = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_secs(5)));
    assert!(
        next_line(&mut lines)
            .await
            .contains("mail-3.club.internal is full")
    );
}

#[tokio::test]
async fn a_line_of_the_journal_stays_one_line() {
    let (mut stub, mut lines) = start().await;
    let forged = "Ann\nincident 7: all is well\u{1b}[2J";
    stub.register(good(forged, "ann@club.example"))
        .await
        .unwrap();
    let line = next_line(&mut lines).await;
    assert_eq!(line, "Ann incident 7: all is well [2J has joined: A1990");
}

/// An office that uses `?` on the mail server's answer, and whose handlers may panic.
struct Careless(MailClient<Channel>);

#[tonic::async_trait]
impl Signup for Careless {
    async fn register(&self, request: Request<Form>) -> Result<Response<Membership>, Status> {
        let Form { email, .. } = request.into_inner();
        self.0.clone().check(Address { email }).await?;
        panic!("on purpose");
    }

    async fn register_all(
        &self,
        _: Request<Forms>,
    ) -> Result<Response<BoxStream<Membership>>, Status> {
        let members = stream::iter(0..3).map(|item| {
            assert_ne!(item, 2, "on purpose");
            let card = item.to_string();
            Ok(Membership { card })
        });
        Ok(Response::new(Box::pin(members)))
    }
}

async fn start_careless() -> SignupClient<Channel> {
    let (mail_listener, mail) = bind().await;
    let mail_server = Server::builder().add_service(MailServer::new(MailRoom));
    tokio::spawn(mail_server.serve_with_incoming(incoming(mail_listener)));
    let (listener, endpoint) = bind().await;
    let careless = Careless(MailClient::new(mail.connect_lazy()));
    let server = Server::builder().add_service(SignupServer::new(careless));
    tokio::spawn(server.serve_with_incoming(incoming(listener)));
    SignupClient::new(endpoint.connect_lazy())
}

#[tokio::test]
async fn tonic_forwards_an_upstreams_status_whole() {
    let mut stub = start_careless().await;
    let status = stub.register(good("Bob", "bob@overseas.example")).await;
    let status = status.unwrap_err();
    // As if the caller were not authenticated.
    assert_eq!(status.code(), Code::Unauthenticated);
    for secret in ["clerk@club.internal", "token.rs", "x-served-by"] {
        assert!(everything(&status).contains(secret), "{status:?}");
    }
}

#[tokio::test]
async fn tonic_calls_a_panic_cancelled_and_loses_what_a_stream_has_sent() {
    let mut stub = start_careless().await;
    let status = stub.register(good("Ann", "ann@club.example")).await;
    assert_eq!(status.unwrap_err().code(), Code::Cancelled);
    let answers = stub.register_all(Forms::default()).await;
    let (cards, end) = match answers {
        Ok(answers) => read_all(answers.into_inner()).await,
        Err(status) => (Vec::new(), Err(status)),
    };
    assert_eq!(cards, [""; 0]);
    assert_eq!(end.unwrap_err().code(), Code::Cancelled);
}
