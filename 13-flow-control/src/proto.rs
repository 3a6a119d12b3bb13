//! Generated from `protos/files.proto` by `build.rs`.

#![allow(missing_docs)]

tonic::include_proto!("files.v1");
