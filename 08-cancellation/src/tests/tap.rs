//! A wire between client and server that remembers what the client sends, and can be cut.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;

pub struct Tap {
    /// Connect here instead.
    pub endpoint: Endpoint,
    sent: watch::Receiver<Vec<u8>>,
    wire: JoinHandle<()>,
}

/// A frame of HTTP/2: its type and what is in it.
pub type Frame = (u8, Vec<u8>);

/// RST_STREAM, RFC 9113 section 6.4.
pub const RESET: u8 = 3;

impl Tap {
    /// Passes one connection on to `server`.
    pub async fn before(server: &Endpoint) -> Self {
        let address = server.uri().authority().unwrap().to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap()));
        let (sent, receiver) = watch::channel(Vec::new());
        let wire = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(address).await.unwrap();
            let (mut up, mut down) = ([0; 4096], [0; 4096]);
            loop {
                tokio::select! {
                    read = client.read(&mut up) => {
                        let up = &up[..read.unwrap()];
                        sent.send_modify(|sent| sent.extend(up));
                        server.write_all(up).await.unwrap();
                    }
                    read = server.read(&mut down) => {
                        client.write_all(&down[..read.unwrap()]).await.unwrap();
                    }
                }
            }
        });
        Self {
            endpoint: endpoint.unwrap(),
            sent: receiver,
            wire,
        }
    }

    /// Cuts the wire: both sides lose their connection.
    pub fn cut(&self) {
        self.wire.abort();
    }

    /// What the client has sent as soon as a frame of this type is among it.
    pub async fn sent(&mut self, kind: u8) -> Vec<Frame> {
        let sent = self
            .sent
            .wait_for(|sent| frames(sent).iter().any(|frame| frame.0 == kind));
        frames(&soon(sent).await.unwrap())
    }
}

/// The whole frames in what a client has sent.
fn frames(sent: &[u8]) -> Vec<Frame> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
    let mut rest = sent.get(preface..).unwrap_or_default();
    let mut frames = Vec::new();
    while let [a, b, c, kind, _flags, _, _, _, _, after @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, after)) = after.split_at_checked(length) else {
            break;
        };
        frames.push((*kind, payload.to_vec()));
        rest = after;
    }
    frames
}
