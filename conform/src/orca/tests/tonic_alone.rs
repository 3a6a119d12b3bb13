//! What tonic does without this module.

use bytes::Bytes;
use tonic::metadata::BinaryMetadataValue;
use tower::layer::util::Identity;

use super::*;
use crate::testing::{framed, post, serve, unary};

#[tokio::test]
async fn tonic_alone_puts_a_report_into_the_headers_where_nobody_looks_for_it() {
    let handler = async |_: tonic::Request<_>| {
        let mut response = tonic::Response::new(Bytes::from_static(b"reply"));
        let value = BinaryMetadataValue::from_bytes(b"");
        response.metadata_mut().insert_bin(REPORT_TRAILER, value);
        Ok(response)
    };
    let served = serve(Identity::new(), unary(handler)).await;
    let reply = post(served.address, framed(b"request")).await.unwrap();
    assert_eq!(reply.trailers["grpc-status"], "0");
    assert!(reply.headers.contains_key(REPORT_TRAILER));
    assert!(!reply.trailers.contains_key(REPORT_TRAILER));
}
