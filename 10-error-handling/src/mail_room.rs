//! The mail server behind the office, whose errors say more than the office's callers may know.

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::mail::mail_server::Mail;
use crate::mail::{Address, Checked};

/// The mail server. Two domains make it fail.
#[derive(Debug, Clone, Copy)]
pub struct MailRoom;

#[tonic::async_trait]
impl Mail for MailRoom {
    async fn check(&self, request: Request<Address>) -> Result<Response<Checked>, Status> {
        let Address { email } = request.into_inner();
        match email.rsplit('@').next() {
            Some("overseas.example") => Err(expired()),
            Some("flooded.example") => Err(Status::unavailable("mail-3.club.internal is full")),
            _ => Ok(Response::new(Checked {})),
        }
    }
}

/// An error about the office's own account: meant for the office, and for nobody who calls it.
fn expired() -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(
        "x-served-by",
        MetadataValue::from_static("mail-3.club.internal"),
    );
    metadata.insert(
        "x-account",
        MetadataValue::from_static("clerk@club.internal"),
    );
    Status::with_error_details_and_metadata(
        Code::Unauthenticated,
        "the token of clerk@club.internal has expired",
        ErrorDetails::with_debug_info(["/srv/mail/token.rs:88".to_owned()], "token from 2 May"),
        metadata,
    )
}
