//! Generated from `protos/helloworld.proto` and `protos/calculator.proto` by `build.rs`.

#![allow(missing_docs)]

pub mod helloworld {
    tonic::include_proto!("helloworld");
}

pub mod calculator {
    tonic::include_proto!("calculator.v1");
}
