//! The page of numbers, and who attacks it.

use std::sync::atomic::AtomicUsize;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn the_numbers_are_at_metrics() {
    let address = start(|| Ok("calls_total 3\n".into())).await;
    let answer = ask(&address, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let head = answer.to_lowercase();
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{answer}"
    );
    assert!(head.contains("\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\ncalls_total 3\n"), "{answer}");
    // With a query, as some collectors ask.
    let answer = ask(&address, "GET /metrics?x=y HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn nothing_else_is_there() {
    let address = start(|| Ok("calls_total 3\n".into())).await;
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "404"),
        (
            "GET /metrics/../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
            "404",
        ),
        (
            "POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
            "405",
        ),
        ("DELETE /metrics HTTP/1.1\r\nhost: x\r\n\r\n", "405"),
        ("garbage\r\n\r\n", "400"),
    ] {
        let answer = ask(&address, request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{answer}"
        );
        assert_eq!(
            expected == "405",
            answer.to_lowercase().contains("\r\nallow: get\r\n")
        );
        assert!(!answer.contains("calls_total"), "{answer}");
    }
}

#[tokio::test]
async fn an_error_is_500() {
    let address = start(|| Err("two series of one name".into())).await;
    let answer = ask(&address, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.ends_with("two series of one name"), "{answer}");
}

/// Gigabytes are announced, and not waited for; a head of a megabyte is refused unread.
#[tokio::test]
async fn huge_requests_are_not_read() {
    let address = start(|| Ok("calls_total 3\n".into())).await;
    let announced = "GET /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999999\r\n\r\nabc";
    let answer = ask(&address, announced).await;
    assert!(answer.ends_with("calls_total 3\n"), "{answer}");

    let filler = "x".repeat(1024 * 1024);
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nfiller: {filler}\r\n\r\n");
    // It may be reset before all of it is written, or before the answer is read.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );

    // One that just fits into the limit tells that it is the limit that refuses.
    for (length, expected) in [(16 * 1024 - 100, "200"), (16 * 1024, "431")] {
        let filler = "x".repeat(length);
        let head = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nfiller: {filler}\r\n\r\n");
        let answer = ask(&address, &head).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{length}: {answer}"
        );
    }
}

/// Silent ones, slow askers and slow readers hold all places, and then no more.
#[tokio::test]
async fn who_is_slow_is_cut_off_and_others_are_served() {
    let page = "calls_total 3\n".repeat(1024 * 1024);
    let address = start(move || Ok(page.clone())).await;
    let begin = Instant::now();
    let mut slow = Vec::new();
    for number in 0..MAX_SCRAPES {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let says: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /metrics HTTP/1.1\r\nho",
            // Asks, and never reads the megabytes that come.
            _ => b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n",
        };
        stream.write_all(says).await.unwrap();
        slow.push(stream);
    }
    // All places are taken.
    let mut served = TcpStream::connect(&address).await.unwrap();
    served
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    let reading = tokio::time::timeout(4 * SCRAPE_LIMIT, served.read_exact(&mut first));
    reading.await.unwrap().unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert!(begin.elapsed() >= SCRAPE_LIMIT);
    for mut stream in slow {
        // Each is closed or reset, whatever of the page it has got by then.
        let _ = soon(stream.read_to_end(&mut Vec::new())).await;
    }
}

/// Dropping the future closes what it serves.
#[tokio::test]
async fn it_ends_with_its_future() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let page = || {
        ASKED.fetch_add(1, Ordering::Relaxed);
        Ok::<_, String>("x".repeat(64 * 1024 * 1024))
    };
    let serving = tokio::spawn(serve_text(listener, page));
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    soon(stream.read_exact(&mut first)).await.unwrap();
    serving.abort();
    soon(serving).await.unwrap_err();
    let mut rest = Vec::new();
    let begin = Instant::now();
    let _ = soon(stream.read_to_end(&mut rest)).await;
    assert!(rest.len() < 64 * 1024 * 1024);
    assert!(begin.elapsed() < SCRAPE_LIMIT);
    assert_eq!(ASKED.load(Ordering::Relaxed), 1);
    TcpStream::connect(&address).await.unwrap_err();
}

async fn start(
    page: impl Fn() -> Result<String, String> + Clone + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve_text(listener, page));
    address
}

async fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}
