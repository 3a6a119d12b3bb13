//! Servers that do harm, for those who want to see what a client makes of it.
//!
//! They speak just enough HTTP/2 to be believed. See RFC 9113, section 6, for the frames.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Endpoint;

/// What a broken server does with each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Cuts the connection when the call's headers are there.
    Cut,
    /// Begins a reply, then cuts the connection.
    CutHalfWay,
    /// Begins a reply, and takes no more calls on this connection (GOAWAY), nor any other connection.
    GoAway,
    /// Takes no calls on this connection, not this one either (GOAWAY).
    Refuse,
    /// Begins a reply and falls silent. It answers no ping either.
    Silence,
    /// Ends the call with an HTTP/2 reset (RST_STREAM) that has this error code.
    Reset(u8),
    /// Is no gRPC server but one for web pages, and answers with a page and this HTTP status.
    WebPage(u16),
}

/// Starts a server that does `harm` to every call, on a free port of this machine.
///
/// # Errors
///
/// If there is no free port.
pub async fn server(harm: Harm) -> io::Result<Endpoint> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = endpoint(&listener)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(receive(stream, harm));
            if harm == Harm::GoAway {
                break;
            }
        }
    });
    Ok(endpoint)
}

/// An address of this machine where nobody listens.
///
/// # Errors
///
/// If there is no free port.
pub async fn nobody() -> io::Result<Endpoint> {
    endpoint(&TcpListener::bind("127.0.0.1:0").await?)
}

fn endpoint(listener: &TcpListener) -> io::Result<Endpoint> {
    let url = format!("http://{}", listener.local_addr()?);
    Endpoint::from_shared(url).map_err(io::Error::other)
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

async fn receive(mut stream: TcpStream, harm: Harm) -> io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?; // PRI * HTTP/2.0 …
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let mut gone = false;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        stream.read_exact(&mut vec![0; length]).await?;
        match kind {
            SETTINGS if flags & ACK == 0 => {
                stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
            }
            // The client may have sent another call before it read that there must be none.
            HEADERS if gone => {}
            HEADERS => {
                let answer = answer(harm, u32::from_be_bytes(id));
                stream.write_all(&answer).await?;
                gone = harm == Harm::GoAway;
                if matches!(harm, Harm::Cut | Harm::CutHalfWay) {
                    return Ok(());
                }
            }
            _ => {}
        }
    }
}

fn answer(harm: Harm, id: u32) -> Vec<u8> {
    let begin = frame(HEADERS, END_HEADERS, id, &headers(200, "application/grpc"));
    match harm {
        Harm::Cut => Vec::new(),
        Harm::CutHalfWay | Harm::Silence => begin,
        Harm::GoAway => [begin, go_away(id)].concat(),
        Harm::Refuse => go_away(0),
        Harm::Reset(code) => frame(RST_STREAM, 0, id, &[0, 0, 0, code]),
        Harm::WebPage(status) => [
            frame(HEADERS, END_HEADERS, id, &headers(status, "text/html")),
            frame(DATA, END_STREAM, id, b"<h1>A page for people</h1>"),
        ]
        .concat(),
    }
}

/// No error, and `last` is the last call that will be answered.
fn go_away(last: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
}

/// Nine bytes, then what the frame holds: 24 bits of length, kind, flags, and the call that it belongs to.
fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length[..], &[kind, flags], &id.to_be_bytes(), payload].concat()
}

/// `:status` and `content-type`, as HPACK (RFC 7541) writes them without compression.
fn headers(status: u16, content_type: &str) -> Vec<u8> {
    let status = status.to_string();
    [
        &[0x08, 3],
        status.as_bytes(),
        &[0x0f, 0x10, content_type.len() as u8],
        content_type.as_bytes(),
    ]
    .concat()
}
