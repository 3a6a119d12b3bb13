//! Generated from `protos/signup.proto` and `protos/mail.proto` by `build.rs`.

#![allow(missing_docs)]

pub mod mail {
    tonic::include_proto!("mail.v1");
}

pub mod signup {
    tonic::include_proto!("signup.v1");
}
