//! How long an attempt to connect may take.

use super::*;

/// It accepts, and never speaks.
#[tokio::test]
async fn an_endpoints_connect_timeout_covers_the_wait_for_settings() {
    let silent = peer(|stream| async move {
        let _stream = stream;
        std::future::pending().await
    });
    let silent = silent.await;
    let channel = Channel::builder(&format!("ipv4:{}", silent.address))
        .endpoint(|endpoint| endpoint.connect_timeout(Duration::from_millis(50)))
        .connect_lazy()
        .unwrap();
    let begun = tokio::time::Instant::now();
    let status = soon(call(channel, "request")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("took too long"), "{status}");
    // 20 s without it.
    assert!(begun.elapsed() < Duration::from_secs(15));
}
