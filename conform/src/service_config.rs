//! The owner of a service says how its clients call it: timeouts, retries, balancing.
//!
//! # The promise
//!
//! A channel reads a service config, JSON in the form of [service_config.proto], from its resolver or
//! from who makes it. The config says of each method how long a call may take, whether it waits for a
//! connection, how large its messages may be, and whether it's repeated or hedged; and of all of them
//! when to stop repeating, which policy spreads them, and whether backends are asked how they do. A
//! config that is invalid is invalid as a whole: it changes nothing, and somebody is told why. So say
//! gRPC's guide [Service config], and the gRFCs [A2], [A6], [A21] and [A24].
//!
//! # What tonic 0.14.9 does
//!
//! It has no service config. What one would say is set per endpoint or per call, in code, or can't be
//! said.
//!
//! # Example
//!
//! For tonic's own channel. The module `channel` does all of it by itself, and balances too.
//!
//! ```
//! use conform::deadline::ClientDeadlineLayer;
//! use conform::hedging::HedgingLayer;
//! use conform::message_limit::ClientMessageLimitLayer;
//! use conform::retry::RetryLayer;
//! use conform::service_config::{ServiceConfig, ServiceConfigLayer};
//! use conform::status::ClientStatusLayer;
//! use conform::wait_for_ready::WaitForReadyLayer;
//! use greeter::Name;
//! use greeter::greeter_client::GreeterClient;
//! use tonic::Code;
//! use tonic::transport::Endpoint;
//! use tower::ServiceBuilder;
//!
//! const CONFIG: &str = r#"{
//!     "methodConfig": [
//!         { "name": [{}], "timeout": "5s" },
//!         {
//!             "name": [{ "service": "greeter.v1.Greeter", "method": "Greet" }],
//!             "timeout": "0.5s",
//!             "waitForReady": true,
//!             "retryPolicy": {
//!                 "maxAttempts": 4,
//!                 "initialBackoff": "0.1s",
//!                 "maxBackoff": "1s",
//!                 "backoffMultiplier": 2,
//!                 "retryableStatusCodes": ["UNAVAILABLE"]
//!             }
//!         }
//!     ],
//!     "retryThrottling": { "maxTokens": 10, "tokenRatio": 0.1 }
//! }"#;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let nobody = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
//! let channel = ServiceBuilder::new()
//!     .layer(ServiceConfigLayer::new(ServiceConfig::parse(CONFIG)?))
//!     .layer(ClientDeadlineLayer::new())
//!     .layer(ClientMessageLimitLayer::new(4 * 1024 * 1024))
//!     .layer(HedgingLayer::new())
//!     .layer(RetryLayer::new())
//!     .layer(WaitForReadyLayer::new())
//!     .layer(ClientStatusLayer::new())
//!     .service(nobody);
//! let mut stub = GreeterClient::new(channel);
//!
//! // It waits for a server that doesn't come.
//! let status = stub.greet(Name::default()).await.unwrap_err();
//! assert_eq!(status.code(), Code::DeadlineExceeded);
//!
//! let invalid = r#"{ "methodConfig": [{ "timeout": "soon" }] }"#;
//! let why = ServiceConfig::parse(invalid).unwrap_err().to_string();
//! assert!(why.starts_with("methodConfig[0].timeout: must be a number of seconds"));
//! # Ok(())
//! # }
//! ```
//!
//! # What is read
//!
//! Names of fields are as in proto3's JSON, `camelCase`. Those that aren't known are overlooked, also
//! within objects ([A21]), and [`unknown_fields`] lists them; `null` is the same as nothing. The last of two fields with one name counts.
//!
//! A method has the config whose name fits it best: that of the method, else that of its service,
//! else the one with the empty name, `{}`. Only that one: fields aren't put together. A config without
//! names is for no method, but has to be valid too.
//!
//! | the config says | of the call, who else has a say | what counts |
//! |---|---|---|
//! | `timeout` | `Request::set_timeout` | the smaller one |
//! | `waitForReady` | `WaitForReady` in its extensions | the call's |
//! | `maxRequestMessageBytes`, `maxResponseMessageBytes` | the layer of `message_limit`; its `CallLimits` in the extensions | the smallest |
//! | `retryPolicy` or `hedgingPolicy` | `Arc<RetryPolicy>` or `Arc<HedgingPolicy>` in its extensions | the call's |
//! | `retryThrottling` | `Throttle` in its extensions | the call's |
//!
//! A call has the config that there is when it begins. A new one counts for the calls after it.
//!
//! # What is invalid
//!
//! The whole config, if it has one of these values in one of these places; `—` means that the
//! field isn't there. An [`InvalidServiceConfig`] says the place and the sentence. Numbers in brackets
//! are examples.
//!
//! | place | value, for example | what is said | source |
//! |---|---|---|---|
//! | `service config` | `256 KiB and a byte` | is larger than 256 KiB | ours |
//! | `service config` | `{` | isn't JSON: EOF while parsing an object at line 1 column 1 | [A21] |
//! | `service config` | `[]` | must be an object | [A21] |
//! | `loadBalancingConfig` | `{}` | it must be a list of policies | [A24] |
//! | `loadBalancingConfig` | `[{}]`, `["round_robin"]`, `[{ "a": {}, "b": {} }]` | each policy must be an object with one key, its name | [A24] |
//! | `loadBalancingConfig` | `[]`, `[{ "unknown": {} }]` | none of its policies is known, only … | [A24] |
//! | `loadBalancingConfig` | `[{ "round_robin": 1 }]` | round_robin: (what the policy says) | [A24] |
//! | `loadBalancingPolicy` | `1` | must be a string | [proto] |
//! | `loadBalancingPolicy` | `"unknown"` | is no policy that is known | [A21] |
//! | `healthCheckConfig` | `"a"` | must be an object | [proto] |
//! | `healthCheckConfig.serviceName` | `1` | must be a string | [proto] |
//! | `retryThrottling` | `10` | must be an object | [A6] |
//! | `retryThrottling.maxTokens` | `—` | is missing | [A6] |
//! | `retryThrottling.maxTokens` | `0`, `1001`, `1.5`, `-1`, `"10"` | must be an integer from 1 to 1000 | [A6] |
//! | `retryThrottling.tokenRatio` | `—` | is missing | [A6] |
//! | `retryThrottling.tokenRatio` | `0`, `0.0009`, `-1`, `"0.1"` | must be a number of at least 0.001 | [A6] |
//! | `methodConfig` | `{}` | must be a list | [proto] |
//! | `methodConfig[0]` | `"a"` | must be an object | [proto] |
//! | `methodConfig[0].name` | `{}` | must be a list | [proto] |
//! | `methodConfig[0].name[0]` | `"a"` | must be an object | [proto] |
//! | `methodConfig[0].name[0].service` | `1` | must be a string | [proto] |
//! | `methodConfig[0].name[0].method` | `1` | must be a string | [proto] |
//! | `methodConfig[0].name[0]` | `{ "method": "b" }` | has a method but no service | [proto] |
//! | `methodConfig[0].name[1]` | `{ "service": "a", "method": "b" }` | is there already | [proto] |
//! | `methodConfig[1].name[0]` | `{ "service": "a", "method": null }` | is there already | [proto] |
//! | `methodConfig[0].timeout` | `1.5`, `"1.5"`, `"s"`, `".5s"`, `"1.s"`, `"01s"`, `"+1s"`, `"1e3s"`, `"1.0123456789s"` | must be a number of seconds such as "1.5s", with up to nine decimals | [JSON], [A6] |
//! | `methodConfig[0].timeout` | `"-1s"`, `"-0.5s"` | must not be negative | [A6] |
//! | `methodConfig[0].timeout` | `"315576000001s"`, `"99999999999999999999999s"` | must be at most 315576000000s | [JSON] |
//! | `methodConfig[0].waitForReady` | `"true"`, `1` | must be true or false | [proto] |
//! | `methodConfig[0].maxRequestMessageBytes` | `-1`, `1.5`, `4294967296`, `"1k"`, `"+1"`, `""` | must be an integer from 0 to 4294967295 | [JSON] |
//! | `methodConfig[0].maxResponseMessageBytes` | `-1`, `1.5`, `4294967296`, `"1k"`, `true` | must be an integer from 0 to 4294967295 | [JSON] |
//! | `methodConfig[0].retryPolicy` | `[]` | must be an object | [A6] |
//! | `methodConfig[0].retryPolicy.maxAttempts` | `—` | is missing | [A6] |
//! | `methodConfig[0].retryPolicy.maxAttempts` | `1`, `0`, `-1`, `2.5`, `"2"` | must be an integer above 1 | [A6] |
//! | `methodConfig[0].retryPolicy.initialBackoff` | `—` | is missing | [A6] |
//! | `methodConfig[0].retryPolicy.initialBackoff` | `1` | must be a number of seconds such as "1.5s", with up to nine decimals | [A6] |
//! | `methodConfig[0].retryPolicy.initialBackoff` | `"0s"`, `"0.000s"` | must be more than 0s | [A6] |
//! | `methodConfig[0].retryPolicy.maxBackoff` | `—` | is missing | [A6] |
//! | `methodConfig[0].retryPolicy.maxBackoff` | `1` | must be a number of seconds such as "1.5s", with up to nine decimals | [A6] |
//! | `methodConfig[0].retryPolicy.maxBackoff` | `"0s"` | must be more than 0s | [A6] |
//! | `methodConfig[0].retryPolicy.backoffMultiplier` | `—` | is missing | [A6] |
//! | `methodConfig[0].retryPolicy.backoffMultiplier` | `0`, `-1`, `"2"` | must be a number above 0 | [A6] |
//! | `methodConfig[0].retryPolicy.retryableStatusCodes` | `—` | is missing | [A6] |
//! | `methodConfig[0].retryPolicy.retryableStatusCodes` | `[]`, `"UNAVAILABLE"` | must be a list of status codes, not an empty one | [A6] |
//! | `methodConfig[0].retryPolicy.retryableStatusCodes[0]` | `"UNAVAIL"`, `17`, `-1`, `1.5`, `"14"` | must be a status code, as a name or from 0 to 16 | [A6] |
//! | `methodConfig[0].hedgingPolicy` | `{}` | stands beside a retryPolicy: there may be one of the two | [A6] |
//! | `methodConfig[1].hedgingPolicy` | `1` | must be an object | [A6] |
//! | `methodConfig[1].hedgingPolicy.maxAttempts` | `—` | is missing | [A6] |
//! | `methodConfig[1].hedgingPolicy.maxAttempts` | `1`, `2.5`, `"2"` | must be an integer above 1 | [A6] |
//! | `methodConfig[1].hedgingPolicy.hedgingDelay` | `1` | must be a number of seconds such as "1.5s", with up to nine decimals | [A6] |
//! | `methodConfig[1].hedgingPolicy.hedgingDelay` | `"-1s"` | must not be negative | [A6] |
//! | `methodConfig[1].hedgingPolicy.nonFatalStatusCodes` | `"UNAVAILABLE"` | must be a list | [A6] |
//! | `methodConfig[1].hedgingPolicy.nonFatalStatusCodes[0]` | `"UNAVAIL"`, `17` | must be a status code, as a name or from 0 to 16 | [A6] |
//!
//! Valid, and perhaps unexpected: a name of a code in any case; `maxAttempts` above 5, which is taken
//! as 5; `2.0` for an integer; a timeout of `"0s"`, with which every call fails;
//! limits of 0 bytes, which let empty messages pass; and `loadBalancingPolicy`, whatever it says, beside
//! a `loadBalancingConfig`.
//!
//! # What differs from other clients
//!
//! * grpc-go takes names of fields in any case, names of codes only in capitals, `".5s"` and a negative
//!   timeout; takes an unknown `loadBalancingPolicy` for `pick_first`; and doesn't look into a method's
//!   config that has no names.
//! * grpc-go goes on with its last config if the resolver has none any more; [A21] asks for the default,
//!   as [`Selection`] has it. It also fails calls if the first config of the resolver is invalid and
//!   there is a default one, which A21 asks to fall back on.
//! * grpc-java takes an empty `loadBalancingConfig` for none.
//! * A config that comes with the same `retryThrottling` as the one before keeps its tokens.
//!
//! # What it can't do
//!
//! * `ServiceConfigLayer` has one server: it leaves balancing and health checks to the module
//!   `channel`.
//! * The choice by client language, host and percentage that [A2] puts around a config in DNS is made by
//!   the resolver.
//! * `connectionScaling` and what belongs to xDS is overlooked.
//!
//! [Service config]: https://grpc.io/docs/guides/service-config/
//! [service_config.proto]: https://github.com/grpc/grpc-proto/blob/master/grpc/service_config/service_config.proto
//! [proto]: https://github.com/grpc/grpc-proto/blob/master/grpc/service_config/service_config.proto
//! [JSON]: https://protobuf.dev/programming-guides/json/
//! [A2]: https://github.com/grpc/proposal/blob/master/A2-service-configs-in-dns.md
//! [A6]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md
//! [A21]: https://github.com/grpc/proposal/blob/master/A21-service-config-error-handling.md
//! [A24]: https://github.com/grpc/proposal/blob/master/A24-lb-policy-config.md

mod config;
mod json;
mod layer;
mod parse;
mod selection;
mod unknown;

#[cfg(test)]
mod tests;

pub use self::config::{Attempts, MethodConfig, ServiceConfig};
pub use self::json::{InvalidServiceConfig, MAX_SIZE};
pub use self::layer::{ConfiguredChannel, ServiceConfigLayer};
pub use self::selection::{Selected, Selection};
pub use self::unknown::{MAX_UNKNOWN_FIELDS, unknown_fields};
