//! HTTP/2 by hand, against the rules too.

use super::*;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What a client sends first.
pub(super) fn opening() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// The headers of a call, and one more of this length. RFC 7541, without Huffman.
pub(super) fn headers(more: usize) -> Vec<u8> {
    // POST, http, and then numbers of names: of :path, of :authority, of content-type.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (&[0x04][..], "/greeter.v1.Greeter/GreetAll"),
        (&[0x01], "localhost"),
        (&[0x0f, 0x10], "application/grpc"),
    ] {
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    if more > 0 {
        block.extend([0x00, 0x01, b'x']);
        // An integer with a prefix of seven bits: RFC 7541, section 5.1.
        block.push(127);
        let mut left = more - 127;
        while left >= 128 {
            block.push(u8::try_from(left % 128).unwrap() | 128);
            left /= 128;
        }
        block.push(u8::try_from(left).unwrap());
        block.extend(vec![b'y'; more]);
    }
    block
}

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The reason of a RST_STREAM or a GOAWAY.
    pub(super) fn reason(&self) -> u32 {
        let from = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[from..from + 4].try_into().unwrap())
    }
}

/// A client by hand.
pub(super) struct Raw(pub(super) TcpStream);

impl Raw {
    pub(super) async fn connect(server: &Running) -> Self {
        Self(soon(TcpStream::connect(&server.address)).await.unwrap())
    }

    /// Sends what there is time for: the server may have closed already.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// The next frame; `None` once the server has closed the connection.
    pub(super) async fn frame(&mut self) -> Option<Frame> {
        let mut prefix = [0; 9];
        soon(self.0.read_exact(&mut prefix)).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = prefix;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
        let mut payload = vec![0; length];
        soon(self.0.read_exact(&mut payload)).await.ok()?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    /// All frames up to the answer to a ping, by when the server has read what was sent; or up to
    /// the end.
    pub(super) async fn answers(&mut self) -> Vec<Frame> {
        self.send(&frame(PING, 0, 0, b"are you?")).await;
        let mut frames = Vec::new();
        while let Some(frame) = self.frame().await {
            if frame.kind == PING && frame.flags == ACK {
                break;
            }
            frames.push(frame);
        }
        frames
    }

    /// Waits until the server closes the connection.
    pub(super) async fn closed(&mut self) {
        let mut bytes = [0; 1024];
        while soon(self.0.read(&mut bytes))
            .await
            .is_ok_and(|read| read > 0)
        {}
    }

    /// Whether the server keeps the connection open for a moment.
    pub(super) async fn stays_open(&mut self) -> bool {
        timeout(millis(200), self.closed()).await.is_err()
    }

    /// Whether the server says nothing for a moment, and keeps the connection open.
    pub(super) async fn is_silent(&mut self) -> bool {
        timeout(millis(200), self.0.read_u8()).await.is_err()
    }
}
