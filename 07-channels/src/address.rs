//! TCP or a Unix socket: where a server listens, and how a client gets there.

use std::io;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tonic::codegen::http::Uri;

/// A place where a server listens.
#[derive(Debug)]
pub enum Listener {
    /// An address and a port.
    Tcp(TcpListener),
    /// A file, through which programs of this machine reach each other.
    #[cfg(unix)]
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Listens on an address such as `127.0.0.1:50051`, or on a file, named as `unix:/tmp/calculator.sock`.
    ///
    /// # Errors
    ///
    /// If the address is malformed or in use. A file that is already there counts as in use.
    pub async fn bind(address: &str) -> io::Result<Self> {
        match socket_path(address) {
            None => TcpListener::bind(address).await.map(Self::Tcp),
            #[cfg(unix)]
            Some(path) => {
                let listener = UnixListener::bind(path)?;
                Ok(Self::Unix(listener, SocketFile(path.to_owned())))
            }
            #[cfg(not(unix))]
            Some(_) => Err(no_unix_sockets()),
        }
    }

    /// The address as [`Self::bind`] takes it, with the port that a port of 0 has become.
    ///
    /// # Errors
    ///
    /// If the operating system does not tell the port.
    pub fn address(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| address.to_string()),
            #[cfg(unix)]
            Self::Unix(_, file) => Ok(format!("unix:{}", file.0.display())),
        }
    }
}

/// A socket's file, which nobody else takes away when the server ends.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What travels in both directions: all that a channel needs of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to a URL such as `http://127.0.0.1:50051` or `unix:/tmp/calculator.sock`.
///
/// `Endpoint` connects by itself, to Unix sockets too. This is for whoever wants to see it happen.
///
/// # Errors
///
/// If the URL is malformed or nobody listens there.
pub async fn dial(url: &str) -> io::Result<TokioIo<Box<dyn Stream>>> {
    match socket_path(url) {
        None => {
            let uri: Uri = url.parse().map_err(io::Error::other)?;
            let authority = uri.authority().ok_or(io::ErrorKind::InvalidInput)?;
            let stream = TcpStream::connect(authority.as_str()).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(Box::new(stream)))
        }
        #[cfg(unix)]
        Some(path) => Ok(TokioIo::new(Box::new(UnixStream::connect(path).await?))),
        #[cfg(not(unix))]
        Some(_) => Err(no_unix_sockets()),
    }
}

/// The file that an address names, if it is not an address for TCP.
fn socket_path(address: &str) -> Option<&Path> {
    let path = address.strip_prefix("unix:")?;
    Some(Path::new(path.strip_prefix("//").unwrap_or(path)))
}

#[cfg(not(unix))]
fn no_unix_sockets() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "there are no Unix sockets here")
}
