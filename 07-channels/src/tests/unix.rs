//! The same calls through a file instead of a port.

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

use super::*;

#[tokio::test]
async fn a_unix_socket_carries_the_same_calls() {
    let name = format!("channels-{}.sock", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&path);
    let (log, mut lines) = mpsc::channel(1024);
    let listener = UnixListener::bind(&path).unwrap();
    let incoming = counted(UnixListenerStream::new(listener), log.clone());
    let server = Server::builder().add_service(CalculatorServer::new(Abacus::new(log)));
    tokio::spawn(server.serve_with_incoming(incoming));

    let endpoint = Endpoint::from_shared(format!("unix:{}", path.display())).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let calls = [100.0; 10].map(|value| square_root(&channel, value));
    assert_eq!(try_join_all(calls).await.unwrap(), [10.0; 10]);
    assert_eq!(
        count(&mut lines, 10).await,
        (1, 10),
        "connections, and calls at once"
    );
    std::fs::remove_file(path).unwrap();
}
