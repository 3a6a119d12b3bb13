//! Generated from `protos/bank.proto` by `build.rs`.

#![allow(missing_docs)]

tonic::include_proto!("bank.v1");
