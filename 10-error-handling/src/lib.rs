//! A club's office: errors that say all that the caller needs, and nothing that is not the caller's business.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tower::layer::layer_fn;

use self::clerk::Clerk;
use self::harmless::harmless;
use self::journal::Journal;
use self::mail::mail_client::MailClient;
use self::mail::mail_server::MailServer;
use self::mail_room::MailRoom;
use self::panics::CatchPanics;
use self::signup::signup_server::SignupServer;

pub mod broken;
pub mod clerk;
pub mod details;
pub mod error;
pub mod form;
pub mod harmless;
pub mod journal;
pub mod language;
pub mod mail_room;
pub mod panics;
pub mod store;
pub mod tries;

/// Generated from `protos/mail.proto`.
#[allow(missing_docs)]
pub mod mail {
    tonic::include_proto!("mail.v1");
}

/// Generated from `protos/signup.proto`.
#[allow(missing_docs)]
pub mod signup {
    tonic::include_proto!("signup.v1");
}

#[cfg(test)]
mod tests;

/// Serves the office on `listener` and the mail server on a free port of this machine, for as long as the
/// future is polled.
///
/// Writes to `journal` who joined, and the cause of every error that is not the caller's.
///
/// # Errors
///
/// If a listener fails, or there is no free port.
pub async fn serve(
    listener: TcpListener,
    journal: UnboundedSender<String>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let journal = Journal::new(journal);
    let mail_listener = TcpListener::bind("127.0.0.1:0").await?;
    let channel = Channel::from_shared(format!("http://{}", mail_listener.local_addr()?))?;
    let clerk = Clerk {
        // The office is a client too, and mail servers can be broken.
        mail: MailClient::new(harmless(channel.connect_lazy())),
        tries: Arc::default(),
        journal: journal.clone(),
    };
    let mail_server = Server::builder()
        .add_service(MailServer::new(MailRoom))
        .serve_with_incoming(incoming(mail_listener));
    let office = Server::builder()
        .layer(layer_fn(move |inner| {
            CatchPanics::new(inner, journal.clone())
        }))
        .add_service(SignupServer::new(clerk))
        .serve_with_incoming(incoming(listener));
    tokio::try_join!(mail_server, office)?;
    Ok(())
}

fn incoming(listener: TcpListener) -> TcpIncoming {
    // tonic sets TCP_NODELAY by itself only where it binds the address itself.
    TcpIncoming::from(listener).with_nodelay(Some(true))
}
