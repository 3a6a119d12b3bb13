//! A club's office: errors that tell callers all they need, and nothing that isn't their business.

use std::error::Error;
use std::time::Duration;

use conform::deadline::{ClientDeadline, ClientDeadlineLayer, ServerDeadlineLayer};
use conform::error_details::SanitizeDetails;
use conform::message_limit::ServerMessageLimitLayer;
use conform::panic::CatchPanicLayer;
use tokio::net::TcpListener;
use tonic::transport::{self, Channel, Endpoint};
use tower::Layer;

use self::log::Log;
use self::mail_room::MailRoom;
use self::office::Office;
use self::proto::mail::mail_client::MailClient;
use self::proto::mail::mail_server::MailServer;
use self::proto::signup::signup_server::SignupServer;

pub mod details;
pub mod error;
pub mod form;
pub mod log;
pub mod mail_room;
pub mod office;

pub mod proto;
pub mod store;

#[cfg(test)]
mod tests;

/// The largest request, in bytes. A form that keeps to the rules is much smaller.
pub const MESSAGE_LIMIT: usize = 4 * 1024;

/// Serves the office on `listener`, its mail server on `mail`, for as long as the future is polled.
///
/// Writes to `log` who joined, and the cause of every error that isn't the caller's.
///
/// # Errors
///
/// If a listener fails.
pub async fn serve(
    listener: TcpListener,
    mail: TcpListener,
    log: Log,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let url = format!("http://{}", mail.local_addr()?);
    let office = Office {
        mail: MailClient::new(connect(url)?),
        log,
    };
    let office = conform::server::builder()
        .layer(CatchPanicLayer::new())
        .layer(ServerDeadlineLayer::new())
        .layer(ServerMessageLimitLayer::new(MESSAGE_LIMIT))
        .add_service(SignupServer::new(office))
        .serve_with_incoming(conform::server::incoming(listener));
    let mail = conform::server::builder()
        .add_service(MailServer::new(MailRoom))
        .serve_with_incoming(conform::server::incoming(mail));
    tokio::try_join!(office, mail)?;
    Ok(())
}

/// A channel to `url` whose calls take five seconds at most, and that bears with malformed errors.
///
/// It connects with the first call.
///
/// # Errors
///
/// If `url` is invalid.
pub fn connect(url: String) -> Result<Connection, transport::Error> {
    let channel = Endpoint::new(url)?.connect_lazy();
    let deadline = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(5));
    Ok(deadline.layer(SanitizeDetails::new(channel)))
}

/// What [`connect`] returns: give it to a stub.
pub type Connection = ClientDeadline<SanitizeDetails<Channel>>;
