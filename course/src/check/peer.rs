//! A server of another kind: answers every call with the same headers, in plain HTTP/2.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Answers until it is dropped.
pub struct Peer {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Peer {
    /// Ends every call with these headers, besides those that all answers have.
    pub fn start(headers: &'static [(&'static str, &'static str)]) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                // Ends with its connection.
                thread::spawn(move || answer(stream, headers));
            }
        });
        Ok(Self { address, over })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM_AND_HEADERS: u8 = 0x5;

/// The frames that matter here. RFC 9113, section 6.
fn answer(mut stream: TcpStream, headers: &[(&str, &str)]) -> io::Result<()> {
    write(&mut stream, SETTINGS, 0, [0; 4], &[])?;
    stream.read_exact(&mut [0; 24])?;
    let mut block = vec![0x88]; // ":status: 200", from HPACK's table of known headers.
    let content_type = [("content-type", "application/grpc")];
    for (name, value) in content_type.iter().chain(headers) {
        block.push(0); // What follows is spelt out, and not to be remembered.
        for text in [name, value] {
            block.push(u8::try_from(text.len()).map_err(io::Error::other)?);
            block.extend(text.as_bytes());
        }
    }
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload)?;
        match kind {
            SETTINGS if flags & ACK == 0 => write(&mut stream, SETTINGS, ACK, id, &[])?,
            PING if flags & ACK == 0 => write(&mut stream, PING, ACK, id, &payload)?,
            HEADERS => write(&mut stream, HEADERS, END_STREAM_AND_HEADERS, id, &block)?,
            _ => {}
        }
    }
}

fn write(out: &mut TcpStream, kind: u8, flags: u8, id: [u8; 4], payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id);
    frame.extend(payload);
    out.write_all(&frame)
}
