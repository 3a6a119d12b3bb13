//! The mail server behind the office, whose errors say more than the office's callers may know.

use tonic::{Request, Response, Status};

use crate::proto::mail::mail_server::Mail;
use crate::proto::mail::{Address, Checked};

/// The mail server. Three domains make it fail.
#[derive(Clone, Copy, Debug)]
pub struct MailRoom;

#[tonic::async_trait]
impl Mail for MailRoom {
    async fn check(&self, request: Request<Address>) -> Result<Response<Checked>, Status> {
        let Address { email } = request.into_inner();
        match email.rsplit('@').next() {
            Some("nowhere.example") => Err(Status::not_found("10.0.0.2 knows no such domain")),
            Some("flooded.example") => Err(Status::unavailable("mail-3.club.internal is full")),
            Some("overseas.example") => {
                let why = "the token of clerk@club.internal has expired";
                Err(Status::unauthenticated(why))
            }
            _ => Ok(Response::new(Checked {})),
        }
    }
}
