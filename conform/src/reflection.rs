//! A server tells what it serves, and can be called by that alone.
//!
//! # The promise
//!
//! A server with reflection answers which services it has, and gives the descriptors of their
//! methods and messages: so a tool that was built years before can list, describe and call them.
//! So says gRPC's guide [Reflection]; the service is defined in [`reflection.proto`], as v1 and,
//! word for word the same, as v1alpha for older tools.
//!
//! # What tonic 0.14.9 does
//!
//! * tonic-reflection is a server, v1 and v1alpha. A client is left to you: its generated stub
//!   knows nothing of files that import others, of v1alpha, or of servers that lie.
//! * A name that the server doesn't know ends the call, where `reflection.proto` has an answer
//!   for it.
//! * `with_service_name` shortens the list of services only. Whoever knows, or guesses, the name
//!   of a service that is left out still gets its descriptor: see [`only_services`].
//!
//! # Example
//!
//! ```
//! use conform::reflection::{ReflectionClient, call_json, method_of, only_services, to_json};
//! # use greeter::greeter_server::{Greeter, GreeterServer};
//! # use greeter::{Greeting, Name};
//! # use prost::Message;
//! # use tokio::net::TcpListener;
//! # use tonic::transport::server::TcpIncoming;
//! use tonic::transport::{Endpoint, Server};
//! # use tonic::{Response, Status};
//! use tonic::Request;
//!
//! # struct Polite;
//! # #[tonic::async_trait]
//! # impl Greeter for Polite {
//! #     async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
//! #         let text = format!("Hello, {}!", request.into_inner().name);
//! #         Ok(Response::new(Greeting { text }))
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/greeter");
//! # let descriptors = protox::compile(["greeter.proto"], [folder])?.encode_to_vec();
//! # let listener = TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("http://{}", listener.local_addr()?);
//! // The server. `descriptors` is what the build script wrote: a FileDescriptorSet.
//! let told = only_services(&descriptors, &["greeter.v1.Greeter"])?;
//! let reflection = tonic_reflection::server::Builder::configure()
//!     .register_encoded_file_descriptor_set(&told)
//!     .build_v1()?;
//! let server = Server::builder().add_service(reflection).add_service(GreeterServer::new(Polite));
//! # tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
//!
//! // The client. It knows nothing of greeters.
//! let channel = Endpoint::from_shared(url)?.connect_lazy();
//! let mut reflection = ReflectionClient::new(channel.clone());
//! let services = reflection.services().await?;
//! assert_eq!(services[0], "greeter.v1.Greeter");
//! let types = reflection.types_of(&services[0]).await?;
//! let method = method_of(&types, "greeter.v1.Greeter/Greet").ok_or("no such method")?;
//! let json = r#"{"name": "Ann"}"#.as_bytes();
//! let replies = call_json(channel, &method, Request::new(()), json).await?;
//! let reply = replies.into_inner().message().await?.ok_or("no reply")?;
//! assert_eq!(to_json(&reply)?, r#"{"text":"Hello, Ann!"}"#);
//! # Ok(())
//! # }
//! ```
//!
//! # The client's side
//!
//! [`ReflectionClient`] trusts nothing that it is told. What a server sends is bounded in bytes,
//! memory, files, depth and time ([`Limits`]), and checked before anything is built of it: names
//! that are no names, files that import each other in a circle or aren't there, files that don't
//! have what was asked for. Each is one [`ReflectionError`], which says so in one sentence. The
//! well-known types (`google.protobuf`) are always our own.
//!
//! [`call`] makes a call of any of the four kinds: on the wire they are the same. Put the same
//! layers around the channel as for a stub. [`call_json`], [`from_json`] and [`to_json`] use
//! protobuf's own [mapping to JSON], the last one made safe for a terminal.
//!
//! [`Command`] is the rest of such a tool: its command line, TLS, and a sentence for each mistake. With
//! the feature `credentials` it speaks TLS.
//!
//! # The server's side
//!
//! Reflection is off unless a server turns it on, and many do so only for tests: whoever may call
//! it learns every method, every field, and every comment, if the descriptors have them. Put
//! [`only_services`] before it, and the table of the module `method_policy` around it.
//!
//! # What it can't do
//!
//! Options of your own (`google.api.http`) are not kept, neither by the client nor by
//! [`only_services`]: prost has no place for them. Extensions of proto2 are shown where they are
//! declared, but not looked up. Files in protobuf's editions are refused.
//!
//! [mapping to JSON]: https://protobuf.dev/programming-guides/json/
//! [Reflection]: https://grpc.io/docs/guides/reflection/
//! [`reflection.proto`]: https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto

mod call;
mod client;
mod command;
mod details;
mod dial;
mod error;
mod files;
mod hide;
mod json;
mod limits;
mod size;
mod terminal;
mod text;

pub use prost_reflect;

pub use self::call::{DynamicCodec, DynamicDecoder, DynamicEncoder, Replies, call};
pub use self::client::{ReflectionClient, file_of};
pub use self::command::{Command, CommandError, OPTIONS, Question};
pub use self::details::{Detail, details};
pub use self::error::ReflectionError;
pub use self::hide::{HideError, only_services};
pub use self::json::{CallError, JsonReplies, call_json, from_json, to_json};
pub use self::limits::Limits;
pub use self::terminal::{add_metadata, metadata_lines, method_of, signature, status_of};
pub use self::text::proto_text;

#[cfg(test)]
mod tests;
