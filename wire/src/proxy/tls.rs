//! Speaks TLS on both sides, for whoever has a key that the client trusts: then there is something
//! to be read in between.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Files in PEM with what it takes to stand inside of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// The certificate that clients are shown, with its chain, and its private key.
    pub server: (PathBuf, PathBuf),
    /// The authority whose servers are trusted.
    pub ca: PathBuf,
    /// The certificate that the server is shown if it asks for one, and its private key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Shows `certificate` to clients, and trusts servers with a certificate of `ca`.
    pub fn new(certificate: PathBuf, key: PathBuf, ca: PathBuf) -> Self {
        Self {
            server: (certificate, key),
            ca,
            client: None,
        }
    }

    /// Shows this certificate to servers that ask for one.
    pub fn client(mut self, certificate: PathBuf, key: PathBuf) -> Self {
        self.client = Some((certificate, key));
        self
    }
}

/// TLS towards clients and towards the server.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    pub fn open(files: &TlsFiles) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (certificates, key) = identity(&files.server)?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|error| unusable(&files.server.1, error))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates_in(&files.ca)? {
            let added = roots.add(certificate);
            added.map_err(|error| unusable(&files.ca, error))?;
        }
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        let mut client = match &files.client {
            None => client.with_no_client_auth(),
            Some(files) => {
                let (certificates, key) = identity(files)?;
                let client = client.with_client_auth_cert(certificates, key);
                client.map_err(|error| unusable(&files.1, error))?
            }
        };
        server.alpn_protocols.push(b"h2".to_vec());
        client.alpn_protocols.push(b"h2".to_vec());
        Ok(Self {
            acceptor: Arc::new(server).into(),
            connector: Arc::new(client).into(),
        })
    }

    /// Two connections with plain text in them, which end where these two, with TLS, begin.
    ///
    /// Inside, they are TCP on this machine, each with a port that only its two ends have used.
    pub async fn open_up(
        &self,
        client: TcpStream,
        server: TcpStream,
        host: &str,
    ) -> Result<(TcpStream, TcpStream), String> {
        let accepting = within(self.acceptor.accept(client)).await;
        let client = accepting.map_err(|error| format!("TLS with the client failed: {error}"))?;
        // The name that the client has asked for, which the server's certificate has to have too.
        let asked = client.get_ref().1.server_name().map(str::to_owned);
        let name = ServerName::try_from(asked.unwrap_or_else(|| host.to_owned()));
        let name = name.map_err(|_| format!("{host} is no name for a server with TLS"))?;
        let connecting = within(self.connector.connect(name, server)).await;
        let server = connecting.map_err(|error| format!("TLS with the server failed: {error}"))?;
        let (client, server) = (plain(client).await, plain(server).await);
        let failed = |error| format!("no connection inside of this machine: {error}");
        Ok((client.map_err(failed)?, server.map_err(failed)?))
    }
}

async fn within<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "it took too long");
    timeout(PATIENCE, handshake)
        .await
        .map_err(|_| timed_out())?
}

/// A connection whose other end passes everything on to `stream`.
async fn plain(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> io::Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    let mut far = loop {
        let (far, peer) = listener.accept().await?;
        // Somebody else on this machine may have been faster.
        if peer == near.local_addr()? {
            break far;
        }
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    tokio::spawn(async move {
        // How it ends, the two ends see for themselves.
        let _ = copy_bidirectional(&mut stream, &mut far).await;
    });
    Ok(near)
}

type SharedIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity((certificate, key): &(PathBuf, PathBuf)) -> io::Result<SharedIdentity> {
    let certificates = certificates_in(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
    Ok((certificates, key))
}

fn certificates_in(file: &PathBuf) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| unusable(file, error))?;
    let certificates: Result<Vec<_>, _> = certificates.collect();
    let certificates = certificates.map_err(|error| unusable(file, error))?;
    if certificates.is_empty() {
        return Err(unusable(file, "there is no certificate in it"));
    }
    Ok(certificates)
}

fn unusable(file: &std::path::Path, error: impl Display) -> io::Error {
    io::Error::other(format!("{}: {error}", file.display()))
}
