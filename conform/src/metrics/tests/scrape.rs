//! Reading a page, and servers that lie.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::testing::peer;

#[tokio::test]
async fn a_page_is_read_as_it_is_served() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let page = || Ok::<_, String>("# TYPE calls counter\ncalls{method=\"a.B/C\"} 3\nup 1\n".into());
    tokio::spawn(serve_text(listener, page));
    let samples = scrape(address).await.unwrap();
    assert_eq!(
        samples,
        [
            sample("calls", &[("method", "a.B/C")], 3.0),
            sample("up", &[], 1.0)
        ]
    );
}

#[test]
fn lines_are_read_as_the_format_has_them() {
    for (line, expected) in [
        ("calls 3", sample("calls", &[], 3.0)),
        ("calls 3 1395066363000", sample("calls", &[], 3.0)),
        ("calls{} 3", sample("calls", &[], 3.0)),
        (
            "calls{le=\"+Inf\"} 1.5e3",
            sample("calls", &[("le", "+Inf")], 1500.0),
        ),
        (
            "calls{a=\"1\",b=\"2\",} 3",
            sample("calls", &[("a", "1"), ("b", "2")], 3.0),
        ),
        (
            r#"calls{a="C:\\d \"x\" } 7,b=\n"} +Inf"#,
            sample("calls", &[("a", "C:\\d \"x\" } 7,b=\n")], f64::INFINITY),
        ),
    ] {
        assert_eq!(parse_text(line), [expected], "{line}");
    }
    for line in [
        "",
        "# calls 3",
        "#calls 3",
        "calls",
        "calls{",
        "calls{a",
        "calls{a=\"",
        "calls{a=\"1\"",
        "calls{a=\"1\" 3",
        "calls{a=\"1\"}",
        "calls{a=\"1\"} three",
        "{a=\"1\"} 3",
        // Allowed, and written by nobody.
        "calls {a=\"1\"} 3",
    ] {
        assert_eq!(parse_text(line), [], "{line}");
    }
}

#[tokio::test]
async fn what_is_no_page_is_said_in_one_line() {
    for (answer, expected) in [
        (&b""[..], "no page of numbers, but "),
        (
            b"HTTP/1.1 404 Not Found\r\n\r\ncalls 3\n",
            "no page of numbers, but HTTP/1.1 404 Not Found",
        ),
        (
            b"SSH-2.0 200 \x1b[31m\r\n\r\ncalls 3\n",
            "no page of numbers, but SSH-2.0 200 \\u{1b}[31m",
        ),
    ] {
        let peer = peer(move |mut stream| async move {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
        });
        let error = soon(scrape(peer.await.address)).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let closed = "127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap();
    soon(scrape(closed)).await.unwrap_err();
}

#[tokio::test]
async fn an_endless_page_is_given_up() {
    let peer = peer(|mut stream| async move {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
    });
    let error = soon(scrape(peer.await.address)).await.unwrap_err();
    assert_eq!(error.to_string(), "more than 16 MiB");
}

#[tokio::test]
async fn a_page_of_the_largest_size_is_read() {
    static HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let peer = peer(|mut stream| async move {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(HEAD).await;
        let rest = 16 * 1024 * 1024 - HEAD.len();
        let _ = stream.write_all(&vec![b'x'; rest]).await;
    });
    assert_eq!(soon(scrape(peer.await.address)).await.unwrap(), []);
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let silent = peer(|stream| async move {
        let _kept = stream;
        std::future::pending().await
    });
    let error = soon(scrape(silent.await.address)).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer in time");
}

fn sample(name: &str, labels: &[(&str, &str)], value: f64) -> Sample {
    let labels = labels
        .iter()
        .map(|&(key, value)| (key.into(), value.into()));
    Sample {
        name: name.into(),
        labels: labels.collect(),
        value,
    }
}
