//! Work stops when its call is cancelled, and can tell a cancelled call from a finished one.
//!
//! # The promise
//!
//! A client that no longer needs an answer cancels the call. The server learns of it and stops
//! working; the client sees CANCELLED. A deadline that passes and a connection that is lost have
//! the same effect. What a server has done before isn't undone. So says gRPC's guide
//! [Cancellation]; on the wire it is a RST_STREAM, as in [gRPC over HTTP/2], *Errors*, and a stream
//! is finished only by END_STREAM ([RFC 9113], section 8.1).
//!
//! # What tonic 0.14.9 does
//!
//! * A handler whose upload is reset with CANCEL or NO_ERROR sees its ordinary end, and commits
//!   half of it. Now and then the handler is dropped instead.
//! * The handler's future is dropped when the call is cancelled, but a task that it has spawned, or
//!   a thread, learns nothing of it.
//! * On the client, dropping a call cancels it, but dropping the replies of a bidirectional call
//!   doesn't while its request stream is open. And there is nothing that says CANCELLED to a caller.
//!
//! # Example
//!
//! ```
//! use conform::cancel::{self, CancellationLayer, CancellationToken, DetectAbortedUploadLayer};
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use tokio::net::TcpListener;
//! use tokio::sync::mpsc;
//! use tonic::transport::server::TcpIncoming;
//! use tonic::transport::Server;
//! use tonic::{Code, Request, Response, Status, Streaming};
//!
//! struct Patient(mpsc::Sender<&'static str>);
//!
//! #[tonic::async_trait]
//! impl Greeter for Patient {
//!     async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         let token = cancel::token(&request).ok_or(Status::internal("no layer"))?;
//!         let log = self.0.clone();
//!         // The task outlives the handler, but not the call.
//!         tokio::spawn(async move {
//!             let _ = log.send("begun").await;
//!             token.cancelled().await;
//!             let _ = log.send("stopped").await;
//!         });
//!         std::future::pending().await
//!     }
//!
//!     async fn greet_all(
//!         &self,
//!         request: Request<Streaming<Name>>,
//!     ) -> Result<Response<Greeting>, Status> {
//!         let mut names = request.into_inner();
//!         // `None` is the end of a finished upload; ABORTED comes of one that broke off.
//!         while let Some(_name) = names.message().await? {}
//!         Ok(Response::new(Greeting::default()))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("http://{}", listener.local_addr()?);
//! let (log, mut lines) = mpsc::channel(2);
//! tokio::spawn(
//!     Server::builder()
//!         .layer(CancellationLayer::new())
//!         .layer(DetectAbortedUploadLayer::new())
//!         .add_service(GreeterServer::new(Patient(log)))
//!         .serve_with_incoming(TcpIncoming::from(listener)),
//! );
//!
//! let mut stub = GreeterClient::connect(url).await?;
//! let token = CancellationToken::new();
//! let call = cancel::unless_cancelled(&token, stub.greet(Name::default()));
//! let (result, line) = tokio::join!(call, async {
//!     let line = lines.recv().await;
//!     token.cancel();
//!     line
//! });
//! assert_eq!(line, Some("begun"));
//! assert_eq!(result.unwrap_err().code(), Code::Cancelled);
//! assert_eq!(lines.recv().await, Some("stopped"));
//! # Ok(())
//! # }
//! ```
//!
//! On a client, [`CancelOnDropLayer`] cancels a bidirectional call too when its replies are dropped.
//!
//! # What can't be cured here
//!
//! * The handler of an upload that broke off is sometimes dropped before it sees ABORTED: then it
//!   doesn't commit either. What has to happen in both cases belongs into a drop guard.
//! * A bidirectional call that is dropped while its upload waits for the server's window stays
//!   open, and its connection with it: hyper looks at neither the upload nor the drop while it
//!   waits. What the upload holds is dropped at once.
//!
//! [Cancellation]: https://grpc.io/docs/guides/cancellation/
//! [gRPC over HTTP/2]: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#errors
//! [RFC 9113]: https://www.rfc-editor.org/rfc/rfc9113#section-8.1

use tonic::{Request, Status};

mod aborted_upload;
mod on_drop;
mod token;

pub use self::aborted_upload::{DetectAbortedUpload, DetectAbortedUploadLayer};
pub use self::on_drop::{CancelOnDrop, CancelOnDropLayer};
pub use self::token::{Cancellation, CancellationFuture, CancellationLayer};
pub use tokio_util::sync::CancellationToken;

#[cfg(test)]
mod tests;

/// The token of the call that `request` belongs to, cancelled when the call is over.
///
/// `None` if there is no [`CancellationLayer`].
pub fn token<T>(request: &Request<T>) -> Option<CancellationToken> {
    let token: Option<&token::CallToken> = request.extensions().get();
    token.map(|token| token.0.clone())
}

/// Awaits `call` until `token` is cancelled, then drops it, which cancels it on the server too.
///
/// A stream that a call has returned is a call that goes on: drop the stream too.
///
/// # Errors
///
/// CANCELLED if the token came first, otherwise whatever the call ends with.
pub async fn unless_cancelled<T>(
    token: &CancellationToken,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match token.run_until_cancelled(call).await {
        Some(result) => result,
        None => Err(Status::cancelled("the caller cancelled the call")),
    }
}
