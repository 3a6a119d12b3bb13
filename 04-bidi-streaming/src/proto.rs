//! Generated from `protos/calculator.proto` and `protos/chat.proto` by `build.rs`.

#![allow(missing_docs)]

pub mod calculator {
    tonic::include_proto!("calculator.v1");
}

pub mod chat {
    tonic::include_proto!("chat.v1");
}
