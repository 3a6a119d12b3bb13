//! Which lines are logged, and with which id.

use std::error::Error;

use super::*;
use crate::log::causes;

const PAGE: &str = include_str!("../../README.md");

/// Rows of the page's table: the filter, and a part of a line that it shows.
fn rows() -> Vec<(&'static str, &'static str)> {
    let table = PAGE.split_once("| `RUST_LOG` |").unwrap().1;
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let code = |cell: &'static str| cell.trim().trim_matches('`');
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        (code(cells[1]), code(cells[3]))
    })
    .collect()
}

/// What is logged of a call that succeeds, and of one to a server that isn't there.
async fn logged(filter: &str) -> Vec<String> {
    let (_guard, mut lines) = log_with(filter);
    let (mut calculator, _) = start().await;
    square_root(&mut calculator, Some("id-of-a-call"), 16.0)
        .await
        .unwrap();
    let nobody = Endpoint::from_static(NOBODY).connect_lazy();
    let status = square_root(&mut CalculatorClient::new(nobody), None, 16.0).await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
    read(&mut lines)
}

#[tokio::test]
async fn each_filter_of_the_table_shows_what_the_table_says_and_a_lower_level_does_not() {
    let rows = rows();
    assert!(rows.len() >= 6, "{rows:?}");
    for (filter, part) in rows {
        let (target, level) = filter.split_once('=').unwrap();
        let lines = logged(filter).await;
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{filter} shows {part:?}, says the page, and it shows\n{}",
            lines.join("\n")
        );
        let of_target = format!(" {target}");
        for line in &lines {
            assert!(line.contains(&of_target), "{filter} shows {line}");
        }
        let lower = match level {
            "trace" => "debug",
            "debug" => "info",
            _ => "warn",
        };
        let lines = logged(&format!("{target}={lower}")).await;
        assert!(
            !lines.iter().any(|line| line.contains(part)),
            "{target}={lower} shows {part:?} too"
        );
    }
}

#[tokio::test]
async fn hyper_itself_logs_nothing() {
    let lines = logged("hyper=trace").await;
    assert!(!lines.is_empty());
    for line in lines {
        assert!(line.contains(" hyper_util::"), "{line}");
    }
}

#[tokio::test]
async fn h2_never_logs_what_a_header_says() {
    let lines = logged("h2=trace").await;
    assert!(lines.len() > 100);
    for line in lines {
        assert!(
            !line.contains("call-id") && !line.contains("id-of-a-call"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn one_id_travels_with_a_call_through_both_servers() {
    let (_guard, mut lines) = log_with(log::DEFAULT);
    let (mut calculator, _) = start().await;
    for id in ["first", "second"] {
        let _ = square_root(&mut calculator, Some(id), 16.0).await;
    }
    let expected = [
        " INFO call{id=first}: debugging::backend: backend-1 takes the root of 16",
        " INFO call{id=second}: debugging::backend: backend-2 takes the root of 16",
        " WARN call{id=second}: debugging::front: backend-2 failed: \
         DeadlineExceeded: no answer in time",
    ];
    assert_eq!(read(&mut lines), expected);
}

#[tokio::test]
async fn a_call_without_an_id_and_one_with_a_nasty_one_are_logged_in_one_line_each() {
    let (_guard, mut lines) = log_with(log::DEFAULT);
    let request = tonic::codegen::http::Request::builder()
        .header(CALL_ID, &b"a\tb\xff\x1b"[..])
        .body(());
    assert!(request.is_err(), "HTTP itself keeps ESC out");
    let request = tonic::codegen::http::Request::builder()
        .header(CALL_ID, &b"a\tb\xff"[..])
        .body(())
        .unwrap();
    call_id::span(&request).in_scope(|| tracing::info!("here"));
    call_id::span(&Default::default()).in_scope(|| tracing::info!("here"));
    let lines = read(&mut lines);
    assert!(lines[0].starts_with(r" INFO call{id=a\tb�}: "), "{lines:?}");
    assert!(lines[1].starts_with(" INFO call"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_nobody_up() {
    let (_guard, mut lines) = log_with_room_for(1, log::DEFAULT);
    let (mut calculator, _) = start().await;
    square_root(&mut calculator, Some("mine"), 16.0)
        .await
        .unwrap();
    for _ in 0..10 {
        tracing::info!("one more");
    }
    assert_eq!(read(&mut lines).len(), 1);
}

#[derive(Debug)]
struct Caused(&'static str, Option<Box<dyn Error>>);

impl std::fmt::Display for Caused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Caused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref()
    }
}

#[test]
fn all_causes_are_written_from_the_outermost_to_the_innermost() {
    let inner = Caused("disk\nfull", None);
    let middle = Caused("not saved", Some(inner.into()));
    let middle = Caused("not saved", Some(middle.into()));
    let outer = Caused("no answer", Some(middle.into()));
    let expected = r"no answer, because of not saved, because of disk\nfull";
    assert_eq!(causes(&outer), expected);
    let status = Status::not_found("no such book");
    assert_eq!(causes(&status), "NotFound: no such book");
}

#[tokio::test]
async fn a_backend_that_is_gone_has_causes_down_to_the_systems_own_words() {
    let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let refused = tokio::net::TcpStream::connect(nobody).await.unwrap_err();
    let channel = Endpoint::from_static(NOBODY).connect_lazy();
    let channel = ClientDeadlineLayer::new().layer(channel);
    let mut calculator = CalculatorClient::new(channel);
    let call = calculator.square_root(Number { value: 16.0 });
    let status = soon("a refusal", call).await.unwrap_err();
    let causes = causes(&status);
    assert!(causes.starts_with("Unavailable: "), "{causes}");
    let last = causes.rsplit(", because of ").next().unwrap();
    assert_eq!(last, refused.to_string());
    assert!(causes.matches(", because of ").count() >= 2, "{causes}");
    assert_ne!(refused.kind(), io::ErrorKind::Other);
}
