//! How the window limits what a connection carries over a long way.

use std::time::Instant;

use tonic::transport::{Endpoint, Server};
use wire::{Direction, Payload, Tap};

use super::*;
use crate::proto::files_client::FilesClient;

/// Downloads so many bytes over a long way, and returns the bytes per second. To go there and back
/// takes twice the delay.
async fn throughput(delay: Duration, size: u64, set: impl FnOnce(Endpoint) -> Endpoint) -> f64 {
    let (served, _near) = Served::with_file("large", size).await;
    let tap = Tap::start(&served.url).await.unwrap();
    tap.delay(delay);
    let endpoint = set(Endpoint::from_shared(tap.url()).unwrap());
    let mut files = FilesClient::new(endpoint.connect().await.unwrap());
    let parts = files.download(request("large")).await.unwrap();
    let began = Instant::now();
    assert_eq!(read_all(parts.into_inner()).await.unwrap(), size);
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
    let delay = Duration::from_millis(50);
    let small = throughput(delay, MIB, window(64 * 1024)).await;
    let most = 64.0 * 1024.0 / (2.0 * delay.as_secs_f64());
    // The first window has come before the clock is looked at.
    assert!(small <= 1.25 * most, "{small} of {most} bytes a second");
    // A machine that is busy with other things slows this one down more.
    let mut large = 0.0;
    for _ in 0..5 {
        let again = throughput(delay, MIB, window(1024 * 1024)).await;
        large = f64::max(large, again);
        if large >= 2.0 * small {
            return;
        }
    }
    panic!("{large} bytes a second, against {small} with a smaller window");
}

#[tokio::test]
#[ignore = "measurement: prints the throughput for each window, over a connection with a delay"]
async fn throughput_for_each_window() {
    let delay = Duration::from_millis(20);
    println!("{} ms there and back", 2 * delay.as_millis());
    println!("   window     MiB/s");
    let mut rows = Vec::new();
    for kib in [16, 32, 64, 128, 256, 512, 1024, 2048] {
        let size = (kib << 10) * 24;
        let rate = throughput(delay, size.min(16 * MIB), window(kib as u32 * 1024)).await;
        rows.push((format!("{kib} KiB"), rate));
    }
    let rate = throughput(delay, 16 * MIB, |it| it.http2_adaptive_window(true)).await;
    rows.push(("adaptive".to_owned(), rate));
    for (window, rate) in rows {
        let rate = rate / MIB as f64;
        println!(
            "{window:>9} {rate:9.2}  {}",
            "#".repeat(rate.ceil() as usize)
        );
    }
}

/// What the first frames of a connection say: the window of a call, and that of the connection.
async fn announced(tap: &Tap, direction: Direction) -> (u32, u32) {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let settings = tap.wait_for(|it| {
        let is_set = matches!(&it.payload, Payload::Settings(set) if !set.is_empty());
        it.direction == direction && is_set
    });
    let more = tap.wait_for(|it| {
        let is_update = matches!(it.payload, Payload::WindowUpdate(_));
        it.direction == direction && it.stream == 0 && is_update
    });
    let settings = soon("SETTINGS", settings).await.payload;
    let more = soon("WINDOW_UPDATE", more).await.payload;
    let (Payload::Settings(settings), Payload::WindowUpdate(more)) = (settings, more) else {
        unreachable!()
    };
    let mut settings = settings.into_iter();
    let of_a_call = settings.find(|(number, _)| *number == INITIAL_WINDOW_SIZE);
    // A connection begins with 65,535 bytes, and so does a call.
    (of_a_call.map_or(65_535, |(_, size)| size), 65_535 + more)
}

/// Only its windows are looked at.
struct Nobody;

#[tonic::async_trait]
impl Files for Nobody {}

#[tokio::test]
async fn tonic_alone_has_larger_windows_than_its_documentation_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_service(FilesServer::new(Nobody));
    tokio::spawn(server.serve_with_incoming(conform::server::incoming(listener)));
    let tap = Tap::start(address).await.unwrap();
    let _files = FilesClient::connect(tap.url()).await.unwrap();
    let mib = 1024 * 1024;
    assert_eq!(
        announced(&tap, Direction::ToServer).await,
        (2 * mib, 5 * mib)
    );
    assert_eq!(announced(&tap, Direction::ToClient).await, (mib, mib));
}

#[tokio::test]
async fn this_lesson_sets_the_windows_at_both_ends() {
    let served = Served::start().await;
    let tap = Tap::start(&served.url).await.unwrap();
    let _files = connect(tap.url()).await.unwrap();
    for direction in [Direction::ToServer, Direction::ToClient] {
        assert_eq!(
            announced(&tap, direction).await,
            (WINDOW, CONNECTION_WINDOW)
        );
    }
}
