//! Generated from `protos/reports.proto` by `build.rs`.

#![allow(missing_docs)]

tonic::include_proto!("reports.v1");
