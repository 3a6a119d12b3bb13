//! A server whose errors are broken, each method's in its own way. Clients have to bear with such servers.

use std::error::Error;

use futures::stream;
use prost::Message;
use prost::bytes::Bytes;
use tokio::net::TcpListener;
use tonic::codegen::BoxStream;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt, pb};

use crate::harmless::DETAILS;
use crate::incoming;
use crate::signup::signup_server::{Signup, SignupServer};
use crate::signup::{Departure, Farewell, Form, Forms, Membership};

/// Serves on `listener`, for as long as the future is polled.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener) -> Result<(), Box<dyn Error + Send + Sync>> {
    let server = Server::builder().add_service(SignupServer::new(Broken));
    Ok(server.serve_with_incoming(incoming(listener)).await?)
}

struct Broken;

#[tonic::async_trait]
impl Signup for Broken {
    /// Of three details one is of a type that nobody knows, and one is no protobuf.
    async fn register(&self, _: Request<Form>) -> Result<Response<Membership>, Status> {
        let mut details = ErrorDetails::with_bad_request_violation("name", "is too beautiful");
        details.add_help_link("The manual", "https://club.example/manual");
        details.set_localized_message("en", "Hm.");
        let status = Status::with_error_details(Code::InvalidArgument, "", details);
        Err(spoiled(&status).unwrap_or(status))
    }

    /// One membership; then the details, which are no base64, in the trailers.
    async fn register_all(
        &self,
        _: Request<Forms>,
    ) -> Result<Response<BoxStream<Membership>>, Status> {
        let membership = Membership {
            card: "A1990".to_owned(),
        };
        let answers = stream::iter([
            Ok(membership),
            Err(malformed(HeaderValue::from_static("%%%"))),
        ]);
        Ok(Response::new(Box::pin(answers)))
    }

    /// Details that are no base64, in the headers.
    async fn leave(&self, _: Request<Departure>) -> Result<Response<Farewell>, Status> {
        Err(malformed(HeaderValue::from_static("%%%")))
    }
}

fn spoiled(status: &Status) -> Option<Status> {
    let mut inner = pb::Status::decode(status.details()).ok()?;
    let [_, help, text] = &mut inner.details[..] else {
        return None;
    };
    help.type_url = "type.googleapis.com/club.v2.Mood".to_owned();
    text.value = vec![0xff; 3];
    let details = Bytes::from(inner.encode_to_vec());
    Some(Status::with_details(
        status.code(),
        "of three details one is good",
        details,
    ))
}

/// An error whose details are `value`, as it stands. tonic encodes what is given to it as details; what is
/// given to it as metadata it sends as it is.
pub fn malformed(value: HeaderValue) -> Status {
    let headers = HeaderMap::from_iter([(HeaderName::from_static(DETAILS), value)]);
    let metadata = MetadataMap::from_headers(headers);
    Status::with_metadata(
        Code::PermissionDenied,
        "the details are malformed",
        metadata,
    )
}
