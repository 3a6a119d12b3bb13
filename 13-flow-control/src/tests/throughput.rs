//! How the window limits what a connection carries over a long way.

use std::time::Instant;

use tonic::transport::Endpoint;
use wire::{Direction, Payload, Tap};

use super::*;
use crate::windows::{CONNECTION_WINDOW, WINDOW};

/// One way. There and back it is twice as long.
const DELAY: Duration = Duration::from_millis(20);

/// Downloads some MiB of the film over a long way, and returns the bytes per second.
async fn throughput(size: u64, set: impl FnOnce(Endpoint) -> Endpoint) -> f64 {
    let (served, _near) = Served::with("large", size).await;
    let tap = Tap::start(&served.url).await.unwrap();
    tap.delay(DELAY);
    let endpoint = set(Channel::from_shared(tap.url()).unwrap());
    let mut stub = Stub::new(endpoint.connect().await.unwrap());
    let mut film = begin(&mut stub, "large", &Received::default())
        .await
        .unwrap();
    let began = Instant::now();
    while soon(film.chunk()).await.unwrap().is_some() {}
    size as f64 / began.elapsed().as_secs_f64()
}

fn window(size: u32) -> impl FnOnce(Endpoint) -> Endpoint {
    move |endpoint| {
        endpoint
            .initial_stream_window_size(size)
            .initial_connection_window_size(size)
    }
}

#[tokio::test]
async fn a_window_is_what_goes_over_a_long_way_in_one_round_trip() {
    let round_trip = 2.0 * DELAY.as_secs_f64();
    let small = throughput(1 << 20, window(64 * 1024)).await;
    let most = 64.0 * 1024.0 / round_trip;
    // The first window has come before the clock is looked at.
    assert!(small <= 1.25 * most, "{small} of {most} bytes a second");
    let large = throughput(1 << 20, window(1024 * 1024)).await;
    assert!(
        large >= 2.0 * small,
        "{large} against {small} bytes a second"
    );
}

#[tokio::test]
#[ignore = "measurement: prints the throughput for each window, over a connection with a delay"]
async fn throughput_for_each_window() {
    let round_trip = 2 * DELAY;
    println!("{} ms there and back", round_trip.as_millis());
    println!("   window     MiB/s");
    let mut rows = Vec::new();
    for kib in [16, 32, 64, 128, 256, 512, 1024, 2048] {
        let size = (kib << 10) * 24;
        let rate = throughput(size.min(16 << 20), window(kib as u32 * 1024)).await;
        rows.push((format!("{kib} KiB"), rate));
    }
    let rate = throughput(16 << 20, |it| it.http2_adaptive_window(true)).await;
    rows.push(("adaptive".to_owned(), rate));
    for (window, rate) in rows {
        let rate = rate / f64::from(1 << 20);
        println!(
            "{window:>9} {rate:9.2}  {}",
            "#".repeat(rate.ceil() as usize)
        );
    }
}

/// The sizes that the first frames of a connection tell: of a call's window, and by how much that of the
/// connection is larger than the 65,535 bytes with which it begins.
async fn told(tap: &Tap, direction: Direction) -> (u32, u32) {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let settings = tap
        .wait_for(|it| {
            it.direction == direction
                && matches!(&it.payload, Payload::Settings(set) if !set.is_empty())
        })
        .await;
    let more = tap
        .wait_for(|it| {
            it.direction == direction
                && it.stream == 0
                && matches!(it.payload, Payload::WindowUpdate(_))
        })
        .await;
    let (Payload::Settings(settings), Payload::WindowUpdate(more)) =
        (settings.payload, more.payload)
    else {
        unreachable!()
    };
    let of_a_call = settings
        .iter()
        .find(|(number, _)| *number == INITIAL_WINDOW_SIZE);
    (of_a_call.map_or(65_535, |(_, size)| *size), 65_535 + more)
}

/// An archive that answers nothing: only its windows are looked at.
struct Nobody;

#[tonic::async_trait]
impl Archive for Nobody {}

#[tokio::test]
async fn tonic_has_larger_windows_than_its_documentation_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_service(ArchiveServer::new(Nobody));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let tap = Tap::start(address).await.unwrap();
    let _stub = Stub::connect(tap.url()).await.unwrap();
    let mib = 1024 * 1024;
    assert_eq!(told(&tap, Direction::ToServer).await, (2 * mib, 5 * mib));
    assert_eq!(told(&tap, Direction::ToClient).await, (mib, mib));
}

#[tokio::test]
async fn this_lesson_sets_the_windows_at_both_ends() {
    let served = Served::start().await;
    let tap = Tap::start(&served.url).await.unwrap();
    let _channel = endpoint(&tap.url()).unwrap().connect().await.unwrap();
    for direction in [Direction::ToServer, Direction::ToClient] {
        assert_eq!(told(&tap, direction).await, (WINDOW, CONNECTION_WINDOW));
    }
}
