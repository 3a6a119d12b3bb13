//! A server that goes away, and comes back.

use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::service_fn;

use super::*;

/// A server that can be told to stop.
pub struct Stoppable {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), transport::Error>>,
}

impl Stoppable {
    /// Stops taking calls. The task ends with the last call that is open.
    pub fn stop(self) -> JoinHandle<Result<(), transport::Error>> {
        self.stop.send(()).unwrap();
        self.task
    }
}

pub async fn serve_until_told(address: &str) -> (String, Stoppable, Receiver<String>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (log, lines) = mpsc::channel(1024);
    let (stop, stopped) = oneshot::channel();
    let incoming = counted(conform::server::incoming(listener), log.clone());
    let server = Server::builder().add_service(CalculatorServer::new(Abacus::new(log)));
    let stopped = stopped.map(|_| ());
    let task = tokio::spawn(server.serve_with_incoming_shutdown(incoming, stopped));
    (address, Stoppable { stop, task }, lines)
}

#[tokio::test]
async fn calls_fail_while_the_server_is_gone_and_succeed_when_it_is_back() {
    let (address, stop, _lines) = serve_until_told("127.0.0.1:0").await;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let (channel, mut states) = watched(&endpoint);
    assert_eq!(square_root(&channel, 4.0).await.unwrap(), 2.0);

    let task = stop.stop();
    let idle = states.wait_for(|&state| state == State::Idle);
    soon("the end of the connection", idle).await.unwrap();
    soon("the end of the server", task).await.unwrap().unwrap();
    for _ in 0..3 {
        let failed = soon("a failed call", square_root(&channel, 4.0)).await;
        assert_eq!(failed.unwrap_err().code(), Code::Unavailable);
    }

    let (_, _stop, mut lines) = serve_until_told(&address).await;
    assert_eq!(square_root(&channel, 4.0).await.unwrap(), 2.0);
    assert_eq!(*states.borrow(), State::Ready);
    assert_eq!(count(&mut lines, 1).await.0, 1);
}

/// A server that shuts down in good order says GOAWAY and finishes the calls that are open. gRPC
/// sends a new call over a new connection; tonic fails one.
#[tokio::test]
async fn tonic_fails_one_call_when_the_connection_is_going_away() {
    let (old, stop, _) = serve_until_told("127.0.0.1:0").await;
    let (new, _stop, mut lines) = serve_until_told("127.0.0.1:0").await;
    let address = std::sync::Arc::new(std::sync::Mutex::new(old));
    let road = service_fn({
        let address = address.clone();
        move |_| {
            let address = address.lock().unwrap().clone();
            async move {
                let stream = tokio::net::TcpStream::connect(address).await;
                stream.map(hyper_util::rt::TokioIo::new)
            }
        }
    });
    let endpoint = Endpoint::from_static("http://calculator");
    let channel = endpoint.connect_with_connector_lazy(road);
    let mut open = Box::pin(square_root(&channel, LONG));
    assert!(poll_immediate(&mut open).await.is_none());
    square_root(&channel, 0.0).await.unwrap();

    *address.lock().unwrap() = new;
    let task = stop.stop();
    let status = loop {
        // Until GOAWAY has come the old server answers.
        let root = soon("an answer", square_root(&channel, 0.0)).await;
        if let Err(status) = root {
            break status;
        }
        assert!(
            lines.try_recv().is_err(),
            "tonic now sends it to the new server"
        );
    };
    let codes = [Code::Cancelled, Code::Unavailable];
    assert!(
        codes.contains(&status.code()),
        "one of the two, by timing: {status}"
    );

    // The next call makes a new connection. The old one stays until its last call ends.
    assert_eq!(square_root(&channel, 0.0).await.unwrap(), 0.0);
    assert_eq!(next_line(&mut lines).await, "connection 1");
    assert!(poll_immediate(&mut open).await.is_none());
    drop(open);
    soon("the end of the old server", task)
        .await
        .unwrap()
        .unwrap();
}
