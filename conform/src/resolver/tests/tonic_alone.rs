//! What tonic does without this module.

use tonic::transport::Endpoint;

use super::*;
use crate::testing::{call, replies, serve};

#[tokio::test]
async fn tonic_alone_has_no_targets_and_no_list() {
    let served = serve(tower::layer::util::Identity::new(), replies(&[Ok(b"")])).await;
    let address = served.address;
    assert!(call(served.channel(), "").await.is_ok());
    for text in [
        format!("dns:///{address}"),
        format!("dns:{address}"),
        format!("ipv4:{address}"),
        format!("ipv4:127.0.0.1:1,{address}"),
        format!("{address}"),
    ] {
        let reached = match Endpoint::from_shared(text.clone()) {
            Ok(endpoint) => call(endpoint.connect_lazy(), "").await.is_ok(),
            Err(_) => false,
        };
        assert!(!reached, "{text}");
        let list = first(&Schemes::new(), &text).await;
        assert!(list.contains(&address.to_string()), "{text}");
    }
}
