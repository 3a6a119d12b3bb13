//! Generated from `protos/archive.proto` by `build.rs`.

#![allow(missing_docs)]

tonic::include_proto!("archive.v1");
