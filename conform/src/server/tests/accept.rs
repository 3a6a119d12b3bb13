//! How many connections there are, and what happens when accepting fails.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::task::{Context, Poll};

use super::super::incoming::{Accept, Accepting};
use super::raw::*;
use super::*;

/// A connection is being served: the server has said its settings.
async fn is_served(raw: &mut Raw) -> bool {
    raw.send(&opening()).await;
    raw.frame()
        .await
        .is_some_and(|frame| frame.kind == SETTINGS)
}

#[tokio::test]
async fn a_connection_past_the_limit_waits_until_one_closes() {
    let server = start(|incoming| incoming.max_connections(2)).await;
    let (mut first, mut second) = (Raw::connect(&server).await, Raw::connect(&server).await);
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    let mut third = Raw::connect(&server).await;
    third.send(&opening()).await;
    assert!(third.is_silent().await);
    drop(first);
    assert_eq!(third.frame().await.unwrap().kind, SETTINGS);
    // And again, in the other order.
    let mut fourth = Raw::connect(&server).await;
    fourth.send(&opening()).await;
    assert!(fourth.is_silent().await);
    drop(third);
    assert_eq!(fourth.frame().await.unwrap().kind, SETTINGS);
    drop((second, fourth));
    soon(server.stub().await.greet(Name::default()))
        .await
        .unwrap();
}

#[tokio::test]
async fn silent_connections_make_room_for_others() {
    let set = |incoming: Incoming| {
        incoming
            .first_request_timeout(millis(50))
            .max_connections(3)
    };
    let server = start(set).await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(Raw::connect(&server).await);
    }
    soon(server.stub().await.greet(Name::default()))
        .await
        .unwrap();
}

#[tokio::test]
async fn there_is_room_for_one_at_least() {
    let server = start(|incoming| incoming.max_connections(0)).await;
    soon(server.stub().await.greet(Name::default()))
        .await
        .unwrap();
}

#[tokio::test]
async fn tonic_alone_takes_any_number_of_connections() {
    let server = start_alone().await;
    let mut connections = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::connect(&server).await;
        assert!(is_served(&mut raw).await);
        connections.push(raw);
    }
}

#[tokio::test]
async fn handlers_still_see_the_address_of_their_caller() {
    let server = start(|incoming| incoming).await;
    let greeting = server.stub().await.greet(Name::default()).await.unwrap();
    let text = greeting.into_inner().text;
    assert!(text.starts_with("127.0.0.1:"), "{text:?}");
}

#[tokio::test]
async fn tonic_alone_tries_again_at_once_when_there_are_no_descriptors() {
    let (mut count, begin) = (0, Instant::now());
    let (sender, done) = tokio::sync::oneshot::channel();
    let mut sender = Some(sender);
    let incoming = futures::stream::poll_fn(move |_| {
        count += 1;
        if count < 1000 {
            return Poll::Ready(Some(Err::<TcpStream, _>(no_descriptors())));
        }
        if let Some(sender) = sender.take() {
            sender.send(()).unwrap();
        }
        Poll::Pending
    });
    let server = Server::builder().add_service(GreeterServer::new(Addresses));
    let server = tokio::spawn(server.serve_with_incoming(incoming));
    soon(done).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(30));
    server.abort();
}

/// Returns these errors, and then connections.
struct Faulty {
    errors: Mutex<VecDeque<io::Error>>,
    polls: Mutex<usize>,
}

impl Faulty {
    fn new(errors: impl IntoIterator<Item = io::Error>) -> Accepting<Self> {
        Accepting::new(Self {
            errors: Mutex::new(errors.into_iter().collect()),
            polls: Mutex::default(),
        })
    }
}

impl Accept for Faulty {
    type Stream = ();

    fn poll_accept(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        *self.polls.lock().unwrap() += 1;
        Poll::Ready(match self.errors.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(()),
        })
    }
}

/// EMFILE, "too many open files", where there are such numbers.
fn no_descriptors() -> io::Error {
    io::Error::from_raw_os_error(24)
}

#[tokio::test(start_paused = true)]
async fn accepting_rests_when_there_are_no_descriptors_and_then_goes_on() {
    let mut accepting = Faulty::new((0..5).map(|_| no_descriptors()));
    let begin = Instant::now();
    let ((), _slot) = std::future::poll_fn(|context| accepting.poll_accept(context)).await;
    assert!(begin.elapsed() >= millis(500), "{:?}", begin.elapsed());
    assert!(begin.elapsed() <= millis(600), "{:?}", begin.elapsed());
    assert_eq!(*accepting.listener.polls.lock().unwrap(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_gone_before_it_is_accepted_costs_no_time() {
    let kinds = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::Interrupted,
    ];
    let mut accepting = Faulty::new(kinds.map(io::Error::from));
    let begin = Instant::now();
    let ((), _slot) = std::future::poll_fn(|context| accepting.poll_accept(context)).await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn there_are_so_many_places_and_no_more() {
    let mut accepting = Faulty::new([]);
    let mut slots = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let ((), slot) = std::future::poll_fn(|context| accepting.poll_accept(context)).await;
        slots.push(slot);
    }
    let mut next = Box::pin(std::future::poll_fn(|context| {
        accepting.poll_accept(context)
    }));
    assert!(timeout(millis(1), &mut next).await.is_err());
    slots.pop();
    soon(next).await;
}

/// A client that connects early and calls late loses its connection in between, and makes another.
#[tokio::test]
async fn a_client_that_calls_late_connects_again() {
    let set = |incoming: Incoming| {
        incoming
            .first_request_timeout(millis(200))
            .max_connections(1)
    };
    let server = start(set).await;
    let mut stub = server.stub().await;
    // Served only when the stub's connection has been closed.
    let mut next = Raw::connect(&server).await;
    assert!(is_served(&mut next).await);
    drop(next);
    // A call in the moment of closing may fail.
    let served = async { while stub.greet(Name::default()).await.is_err() {} };
    soon(served).await;
}
