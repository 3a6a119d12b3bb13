//! Reads a page of numbers, as Prometheus does.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{Error, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::timeout;

use super::SCRAPE_LIMIT;
use crate::status::escape;

/// How large a page [`scrape`] reads: 16 MiB.
pub const MAX_PAGE: u64 = 16 * 1024 * 1024;

/// One line of a page of numbers: `name{key="value"} 3`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What is counted.
    pub name: String,
    /// Of what.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// Asks for `/metrics` at `address`, and reads the answer: within [`SCRAPE_LIMIT`], and up to
/// [`MAX_PAGE`].
///
/// For a probe, a test, or a small dashboard. Lines that aren't in Prometheus's text format are
/// left out.
///
/// # Errors
///
/// If nobody answers there in time, or with something else. The error says what came instead, in
/// one line.
pub async fn scrape(address: impl ToSocketAddrs + Display) -> Result<Vec<Sample>, Error> {
    let reading = async {
        let mut stream = TcpStream::connect(&address).await?;
        // Of HTTP/1.0, so that the answer has no chunks and ends with the connection.
        let request = format!("GET /metrics HTTP/1.0\r\nhost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        read(stream).await
    };
    let late = |_| Error::new(ErrorKind::TimedOut, "no answer in time");
    let answer = timeout(SCRAPE_LIMIT, reading).await.map_err(late)??;
    let answer = String::from_utf8_lossy(&answer);
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let first = head.lines().next().unwrap_or_default();
    match first.split(' ').nth(1) {
        Some("200") if first.starts_with("HTTP/1.") => Ok(parse_text(text)),
        _ => {
            let instead = format!("no page of numbers, but {}", escape(first));
            Err(Error::new(ErrorKind::InvalidData, instead))
        }
    }
}

async fn read(stream: impl AsyncRead + Unpin) -> Result<Vec<u8>, Error> {
    let mut answer = Vec::new();
    stream.take(MAX_PAGE + 1).read_to_end(&mut answer).await?;
    if answer.len() as u64 > MAX_PAGE {
        return Err(Error::new(ErrorKind::InvalidData, "more than 16 MiB"));
    }
    Ok(answer)
}

/// The lines of a page in Prometheus's text format. Comments, and lines that break the format, are
/// left out.
pub fn parse_text(text: &str) -> Vec<Sample> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            inside = inside.trim_start_matches([',', ' ']);
            if let Some(after) = inside.strip_prefix('}') {
                rest = after;
                break;
            }
            let (key, after) = inside.split_once("=\"")?;
            let (value, after) = unquote(after)?;
            labels.insert(key.to_owned(), value);
            inside = after;
        }
    }
    // A time may follow.
    let value = rest.split_ascii_whitespace().next()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().ok()?,
    })
}

/// A label's value up to its closing quotation mark, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, letter) in text.char_indices() {
        match (escaped, letter) {
            (false, '\\') => {
                escaped = true;
                continue;
            }
            (false, '"') => return Some((value, &text[at + 1..])),
            (true, 'n') => value.push('\n'),
            (_, letter) => value.push(letter),
        }
        escaped = false;
    }
    None
}
