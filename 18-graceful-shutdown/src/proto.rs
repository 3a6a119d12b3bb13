//! Generated from `protos/restart.proto` by `build.rs`. The calculator is lesson 02's.

#![allow(missing_docs)]

tonic::include_proto!("restart.v1");
