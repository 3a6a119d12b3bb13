//! Metadata as gRPC defines it: its names and values, trailers, and how much of it there may be.
//!
//! # The promise, and what tonic 0.14.9 does
//!
//! * Names that begin with `grpc-` are gRPC's, and a text value is printable ASCII
//!   (PROTOCOL-HTTP2, *Custom-Metadata* and *ASCII-Value*). tonic sends such names, and any byte
//!   from 0x80 on. Here: [`check_request`] where the application writes, [`check_interceptor`] as an
//!   interceptor, and [`encode_text`] for text that isn't ASCII.
//! * Values of one binary name may come joined by commas, and must be split (*Custom-Metadata*).
//!   tonic takes them for one value, which can't be decoded. Here: [`get_all_bin`].
//! * Every call may end with trailers ([the guide to metadata]). In tonic a single reply can't
//!   have any. Here: [`TrailersLayer`] and [`Trailers`].
//! * Headers and trailers are two things ([the guide to metadata]). tonic's client makes one map
//!   of them for a single reply, in which a header is lost if a trailer has its name. Here:
//!   [`SplitMetadataLayer`] and [`ResponseMetadata`].
//! * Servers limit headers, to 8 KiB if they follow PROTOCOL-HTTP2 (*Requests*). tonic's client
//!   sends what it is given: such a call is UNKNOWN, and if it is far too large, the connection
//!   ends with all calls on it. Here: [`HeaderLimitLayer`].
//!
//! # Trailers of a call that succeeds
//!
//! ```
//! use conform::metadata::{Trailers, TrailersLayer};
//! use greeter::greeter_server::GreeterServer;
//! use greeter::{Greeting, Name};
//! use tonic::metadata::MetadataValue;
//! use tonic::transport::Server;
//! use tonic::{Request, Response, Status};
//!
//! async fn greet(request: Request<Name>) -> Result<Response<Greeting>, Status> {
//!     let trailers = Trailers::of(&request);
//!     let text = format!("Hello, {}!", request.into_inner().name);
//!     trailers.lock().insert("letters", MetadataValue::from(text.len()));
//!     Ok(Response::new(Greeting { text }))
//! }
//!
//! fn server(greeter: impl greeter::greeter_server::Greeter) {
//!     Server::builder()
//!         .layer(TrailersLayer::new())
//!         .add_service(GreeterServer::new(greeter));
//! }
//! # let _ = greet;
//! ```
//!
//! # What a client does with metadata
//!
//! ```
//! use conform::metadata::{HeaderLimitLayer, ResponseMetadata, SplitMetadataLayer, check_interceptor};
//! use greeter::Name;
//! use greeter::greeter_client::GreeterClient;
//! use tonic::service::interceptor::InterceptorLayer;
//! use tonic::transport::Channel;
//! use tower::ServiceBuilder;
//!
//! async fn greet(channel: Channel) -> Result<(), tonic::Status> {
//!     let channel = ServiceBuilder::new()
//!         .layer(InterceptorLayer::new(check_interceptor))
//!         .layer(HeaderLimitLayer::default())
//!         .layer(SplitMetadataLayer::new())
//!         .service(channel);
//!     let mut greeter = GreeterClient::new(channel);
//!     let response = greeter.greet(Name { name: "Ann".into() }).await?;
//!     if let Some(metadata) = response.extensions().get::<ResponseMetadata>() {
//!         println!("{:?} {:?}", metadata.headers(), metadata.trailers());
//!     }
//!     Ok(())
//! }
//! # let _ = greet;
//! ```
//!
//! [the guide to metadata]: https://grpc.io/docs/guides/metadata/

mod binary;
mod check;
mod limit;
mod split;
#[cfg(test)]
mod tests;
mod text;
mod trailers;

pub use binary::get_all_bin;
pub use check::{check_interceptor, check_request, is_reserved};
pub use limit::{HeaderLimit, HeaderLimitFuture, HeaderLimitLayer};
pub use split::{ResponseMetadata, SplitMetadata, SplitMetadataFuture, SplitMetadataLayer};
pub use text::{decode_text, encode_text};
pub use trailers::{Trailers, TrailersLayer, WithTrailers, WithTrailersFuture};
