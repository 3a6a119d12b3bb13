//! Only those who may call do, and a token never travels in the clear.
//!
//! # The promise
//!
//! gRPC's guide [Authentication] knows two kinds of credentials. *Channel credentials* belong to a
//! connection: TLS, by which a client knows whom it talks to, and mutual TLS, by which the server
//! knows it too. *Call credentials* belong to a call: a token in `authorization`, fetched and
//! renewed by a plugin, and sent over a secure channel only. A server answers UNAUTHENTICATED to
//! those whom it doesn't know, PERMISSION_DENIED to those who may not ([statuscodes.md]).
//!
//! # What tonic 0.14.9 does
//!
//! * It has the channel's half, by rustls. A server without
//!   [`identity`](tonic::transport::ServerTlsConfig::identity) panics, and there's no limit on the
//!   time of a handshake.
//! * `https://` is spoken in plain text, without a word, unless one of tonic's TLS features is on.
//!   (This module turns one on.)
//! * Plain text at a TLS port, and TLS at a plain one, end with errors that name neither.
//! * Call credentials are an interceptor, which sends a token over anything, can't await one, and
//!   doesn't hear that it was refused.
//! * A server's interceptor can't await either, and whoever may call at the beginning of a stream may
//!   for as long as it lasts.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use conform::credentials::{
//!     AuthenticationLayer, CallCredentialsLayer, Claims, FetchedToken, Jwt, JwtIssuer, JwtKey,
//!     TokenCache, client_tls, server_tls,
//! };
//! use conform::method_policy::{MethodPolicy, MethodPolicyLayer};
//! use greeter::greeter_client::GreeterClient;
//! use greeter::greeter_server::{Greeter, GreeterServer};
//! use greeter::{Greeting, Name};
//! use tokio::net::TcpListener;
//! use tonic::transport::{Certificate, Endpoint, Identity};
//! use tonic::{Request, Response, Status};
//! use tower::Layer;
//!
//! struct Polite;
//!
//! #[tonic::async_trait]
//! impl Greeter for Polite {
//!     async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
//!         let caller = request.extensions().get::<Claims>().map(Claims::subject);
//!         let text = format!("Hello, {}!", caller.unwrap_or("nobody"));
//!         Ok(Response::new(Greeting { text }))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A certificate for the server, and a key for the tokens. Yours come from files.
//! let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
//! let desk = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
//! let public = desk.public_key_raw().to_vec();
//!
//! let jwt = Jwt::new(JwtKey::Ed25519(public), "desk", "greeter")?;
//! let policy = MethodPolicy::new()
//!     .allow("/greeter.v1.Greeter/Greet", |caller: &Claims| caller.subject() == "ann");
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let port = listener.local_addr()?.port();
//! tokio::spawn(
//!     conform::server::builder()
//!         .tls_config(server_tls(Identity::from_pem(&certificate, key)))?
//!         .layer(AuthenticationLayer::new(jwt, |call| println!("{call}")))
//!         .layer(MethodPolicyLayer::new(policy))
//!         .add_service(GreeterServer::new(Polite))
//!         .serve_with_incoming(conform::server::incoming(listener)),
//! );
//!
//! // A real client asks a server of its own for the token, and has no key that makes tokens.
//! let issuer = JwtIssuer::new(&desk.serialize_der(), "desk");
//! let cache = TokenCache::new(move || {
//!     let valid_for = Duration::from_secs(300);
//!     let token = issuer.issue("ann", "greeter", valid_for);
//!     async move {
//!         let token = token.map_err(|error| Status::internal(error.to_string()))?;
//!         Ok(FetchedToken::new(token.as_str(), valid_for))
//!     }
//! });
//! let endpoint = Endpoint::from_shared(format!("https://localhost:{port}"))?
//!     .tls_config(client_tls(Certificate::from_pem(certificate)))?;
//! let channel = conform::credentials::connect(&endpoint).await?;
//! let mut stub = GreeterClient::new(CallCredentialsLayer::new(&endpoint, cache).layer(channel));
//! let greeting = stub.greet(Name::default()).await?.into_inner();
//! assert_eq!(greeting.text, "Hello, ann!");
//! # Ok(())
//! # }
//! ```
//!
//! # The channel
//!
//! [`server_tls`] and [`client_tls`] are tonic's settings with a limit of time. tonic makes handshakes
//! beside each other, so a slow one holds nobody up; wrap the listener in `server::incoming`, so that
//! there aren't too many of them. [`accept_tls`] makes the handshakes below tonic, where
//! [`keepalive::enforce`](crate::keepalive::enforce) sees what is inside.
//!
//! [`connect`] and [`connect_lazy`] put a [`CheckedConnector`] below the channel. Whoever mixes up
//! `http://` and `https://` then reads that in a sentence.
//!
//! With mutual TLS a client learns late that its certificate isn't welcome: in TLS 1.3 its half of the
//! handshake is over by then. So the first call fails, as UNAVAILABLE with `status`'s layer.
//!
//! # The client's calls
//!
//! [`CallCredentialsLayer`] asks its [`CallCredentials`] about each call, [`TokenCache`] for one, and
//! refuses every call on a channel without TLS. [`Composite`] and [`attach`] add further ones. Put it
//! inside of the deadline, which then covers fetching too.
//!
//! If the server answers UNAUTHENTICATED at once, without a message, and the credentials have new
//! metadata to offer, the call is made again, once, provided that it has sent 64 KiB at most. Handlers
//! that answer UNAUTHENTICATED themselves must not have done anything by then.
//!
//! # The server
//!
//! [`AuthenticationLayer`] asks a [`Verify`] about each call: [`Jwt`], or one of your own, which sees
//! token, certificate and metadata. Every refusal is UNAUTHENTICATED with the same message, as one
//! block of headers, before the first message is read; the reason goes to a function for the log.
//! The token is taken out of the request, so that nothing below can print it.
//!
//! A call ends when its token expires, with UNAUTHENTICATED, whatever its kind. Else a token that was
//! stolen, or whose owner has lost the right, would open a stream for ever, and expiry would mean
//! nothing. A client that renews its tokens in time begins the stream again with a new one. grpc-go
//! and grpc-java leave that to the handler.
//!
//! # What it doesn't do
//!
//! * Tokens aren't revoked before they expire: choose minutes for their time. A [`Verify`] that asks
//!   the issuer can do it.
//! * A token that was stolen works for the thief. Bind it to the client's certificate: see the lesson.
//! * Keys aren't fetched (JWKS), and don't change while the server runs.
//! * A client's certificate isn't checked against a list of revoked ones. With rustls's own
//!   `WebPkiClientVerifier` that's possible, but tonic doesn't take one.
//! * Headers longer than the server's limit are answered by HTTP/2 with 431 before any layer sees them:
//!   INTERNAL for the caller. A token of a megabyte ends the whole connection, after some 100 KB of it:
//!   UNAVAILABLE.
//!
//! [Authentication]: https://grpc.io/docs/guides/auth/
//! [statuscodes.md]: https://grpc.github.io/grpc/core/md_doc_statuscodes.html

mod accept;
mod authentication;
mod cache;
mod call;
mod jwt;
mod provider;
mod replay;
mod tls;
mod token;

pub use tokio_rustls::rustls;

pub use crate::checked::{CheckedConnector, CheckedIo};

pub use self::accept::accept_tls;
pub use self::authentication::{Authentication, AuthenticationLayer, RefusedCall, VERIFY_TIMEOUT};
pub use self::cache::{FETCH_TIMEOUT, FetchedToken, PAUSE, RENEW_BEFORE, TokenCache};
pub use self::call::{
    CallCredentials, CallCredentialsLayer, CallCredentialsService, CallInfo, Composite, attach,
    bearer,
};
pub use self::jwt::{Claims, InvalidKey, Jwt, JwtIssuer, JwtKey, LEEWAY};
pub use self::tls::{HANDSHAKE_TIMEOUT, client_tls, connect, connect_lazy, server_tls};
pub use self::token::{
    MAX_TOKEN, Presented, Refusal, Token, UNAUTHENTICATED, Verified, Verify, certificate_names,
};

#[cfg(test)]
pub(crate) mod tests;
