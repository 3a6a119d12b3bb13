//! Generated from `proto/greeter.proto` by `build.rs`.

tonic::include_proto!("greeter.v1");
