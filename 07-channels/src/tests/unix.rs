//! The same calls through a file instead of a port.

use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use tower::service_fn;

use super::*;
use crate::address::dial;
use crate::observer::{State, observe};

/// A path that no other test uses. A socket's path may have some hundred bytes at most.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("{name}-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[tokio::test]
async fn a_unix_socket_serves_the_same_calls() {
    let path = path("calls");
    let address = format!("unix:{}", path.display());
    let listener = Listener::bind(&address).await.unwrap();
    assert_eq!(listener.address().unwrap(), address);
    let (journal, mut lines) = mpsc::unbounded_channel();
    let server = tokio::spawn(serve(listener, journal));

    for url in [address.clone(), format!("unix://{}", path.display())] {
        let endpoint = Endpoint::from_shared(url).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let calls = [100.0; 10].map(|value| square_root(&channel, value));
        assert_eq!(try_join_all(calls).await.unwrap(), [10.0; 10]);
        assert_eq!(count(&mut lines, 10).await, (1, 10));
    }

    let url = address.clone();
    let (connector, states) = observe(service_fn(move |_| {
        let url = url.clone();
        async move { dial(&url).await }
    }));
    let endpoint = Endpoint::from_shared(address).unwrap();
    let channel = endpoint.connect_with_connector_lazy(connector);
    assert_eq!(square_root(&channel, 16.0).await.unwrap(), 4.0);
    assert_eq!(*states.borrow(), State::Ready);

    server.abort();
    server.await.unwrap_err();
    assert!(!path.exists(), "the file goes with its server");
}

#[tokio::test]
async fn a_file_that_is_already_there_is_in_use() {
    let path = path("taken");
    let address = format!("unix:{}", path.display());
    // What a server leaves behind that was killed.
    drop(UnixListener::bind(&path).unwrap());
    for _ in 0..2 {
        let error = Listener::bind(&address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
    std::fs::remove_file(&path).unwrap();
    Listener::bind(&address).await.unwrap();
}
