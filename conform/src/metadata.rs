//! Metadata as gRPC defines it: its names and values, trailers, and how much of it there may be.
//!
//! # The promise, and what tonic 0.14.9 does
//!
//! | gRPC | tonic | here |
//! |---|---|---|
//! | names that begin with `grpc-` are gRPC's (PROTOCOL-HTTP2, *Custom-Metadata*) | sends them | [`check`], [`check_metadata`] |
//! | a text value is printable ASCII (*ASCII-Value*) | sends any byte from 0x80 on | the same; [`encode_text`] |
//! | values of one binary name may come joined by commas, and must be split | one value that can't be decoded | [`get_all_bin`] |
//! | every call may end with trailers (guide to metadata) | a unary reply can't have any | [`TrailersLayer`], [`Trailers`] |
//! | headers and trailers are two things (guide to metadata) | one map for a single reply; a header is lost if a trailer has its name | [`SplitMetadataLayer`], [`ResponseMetadata`] |
//! | servers limit headers to 8 KiB (*Requests*) | learns of it by HTTP's 431 and a lost connection | [`HeaderLimitLayer`] |
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
//! use conform::metadata::{HeaderLimitLayer, ResponseMetadata, SplitMetadataLayer, check_metadata};
//! use greeter::Name;
//! use greeter::greeter_client::GreeterClient;
//! use tonic::service::interceptor::InterceptorLayer;
//! use tonic::transport::Channel;
//! use tower::ServiceBuilder;
//!
//! async fn greet(channel: Channel) -> Result<(), tonic::Status> {
//!     let channel = ServiceBuilder::new()
//!         .layer(InterceptorLayer::new(check_metadata))
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

mod binary;
mod check;
mod limit;
mod split;
#[cfg(test)]
mod tests;
mod text;
mod trailers;

pub use binary::get_all_bin;
pub use check::{check, check_metadata, is_reserved};
pub use limit::{HeaderLimit, HeaderLimitFuture, HeaderLimitLayer};
pub use split::{ResponseMetadata, SplitMetadata, SplitMetadataFuture, SplitMetadataLayer};
pub use text::{decode_text, encode_text};
pub use trailers::{Trailers, TrailersLayer, WithTrailers, WithTrailersFuture};
