//! A server that goes, and comes back.

use std::sync::{Arc, Mutex};

use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::service_fn;

use super::*;
use crate::address::dial;
use crate::observer::{State, observe};

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

pub async fn serve_until_told(address: &str) -> (String, Stoppable, UnboundedReceiver<String>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (journal, lines) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    let incoming = counted(TcpIncoming::from(listener), journal.clone());
    let server = Server::builder().add_service(abacus(journal));
    let stopped = stopped.map(|_| ());
    let task = tokio::spawn(server.serve_with_incoming_shutdown(incoming, stopped));
    (address, Stoppable { stop, task }, lines)
}

#[tokio::test]
async fn calls_fail_while_the_server_is_gone_and_succeed_when_it_is_back() {
    let (address, stop, _lines) = serve_until_told("127.0.0.1:0").await;
    let url = format!("http://{address}");
    let endpoint = Endpoint::from_shared(url.clone()).unwrap();
    let (connector, mut states) = observe(service_fn(move |_| {
        let url = url.clone();
        async move { dial(&url).await }
    }));
    let channel = endpoint.connect_with_connector_lazy(connector);
    assert_eq!(square_root(&channel, 4.0).await.unwrap(), 2.0);
    assert_eq!(*states.borrow(), State::Ready);

    let _machine = stop.stop();
    soon(states.wait_for(|&state| state == State::Idle))
        .await
        .unwrap();
    for _ in 0..3 {
        let status = soon(square_root(&channel, 4.0)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(*states.borrow(), State::TransientFailure);
    }

    let (_, _stop, mut lines) = serve_until_told(&address).await;
    assert_eq!(square_root(&channel, 4.0).await.unwrap(), 2.0);
    assert_eq!(*states.borrow(), State::Ready);
    assert_eq!(count(&mut lines, 1).await.0, 1);
}

/// Serves in a runtime of its own, whose end takes its connections with it.
#[tokio::test]
async fn a_call_that_is_open_when_the_server_vanishes_ends_with_unknown() {
    let machine = runtime::Runtime::new().unwrap();
    let (endpoint, mut lines) = machine.spawn(start()).await.unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut open = Box::pin(square_root(&channel, HOURS));
    assert!(poll_immediate(&mut open).await.is_none());
    square_root(&channel, 0.0).await.unwrap();
    assert_eq!(next_line(&mut lines).await, "connection 1");
    machine.shutdown_background();
    let status = soon(open).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown, "{}", status.message());
}

/// A server that shuts down in good order says GOAWAY and serves the calls that are open.
#[tokio::test]
async fn tonic_cancels_one_call_when_the_connection_is_going_away() {
    let (old, stop, _) = serve_until_told("127.0.0.1:0").await;
    let (new, _stop, mut lines) = serve_until_told("127.0.0.1:0").await;
    let address = Arc::new(Mutex::new(old));
    let (connector, states) = observe(service_fn({
        let address = address.clone();
        move |_| {
            let url = format!("http://{}", address.lock().unwrap());
            async move { dial(&url).await }
        }
    }));
    let endpoint = Endpoint::from_static("http://calculator");
    let channel = endpoint.connect_with_connector_lazy(connector);
    let mut open = Box::pin(square_root(&channel, HOURS));
    assert!(poll_immediate(&mut open).await.is_none());
    square_root(&channel, 0.0).await.unwrap();

    *address.lock().unwrap() = new;
    let machine = stop.stop();
    let status = loop {
        // Until GOAWAY is there the old server answers.
        if let Err(status) = soon(square_root(&channel, 0.0)).await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::Cancelled);
    assert_eq!(status.message(), "operation was canceled");
    assert!(lines.try_recv().is_err(), "it was not sent to the new one");

    // The next call makes a new connection. The old one ends with its last call, which changes nothing.
    assert_eq!(square_root(&channel, 0.0).await.unwrap(), 0.0);
    assert_eq!(next_line(&mut lines).await, "connection 1");
    assert!(poll_immediate(&mut open).await.is_none());
    drop(open);
    soon(machine).await.unwrap().unwrap();
    assert_eq!(*states.borrow(), State::Ready);
}
