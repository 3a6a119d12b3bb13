//! A service with one method of each kind, for `conform`'s examples and tests.

#![allow(missing_docs)]

tonic::include_proto!("greeter.v1");
