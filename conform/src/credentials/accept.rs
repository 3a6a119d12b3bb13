//! TLS that is accepted before tonic gets to see a connection.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt, future};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::HANDSHAKE_TIMEOUT;

/// How many handshakes go on at once. What comes beyond that waits, [`HANDSHAKE_TIMEOUT`] at most.
const HANDSHAKES: usize = 512;

/// The TLS connections over those of `incoming`: for what has to see inside of TLS, as
/// [`keepalive::enforce`](crate::keepalive::enforce) does.
///
/// tonic's own `tls_config` puts TLS around what `serve_with_incoming` is given, so that whatever
/// stands in there sees lengths only. This one stands below it: leave `tls_config` out, and
/// `Request::peer_certs` and the rest still work. Handshakes go on beside each other, each in
/// [`HANDSHAKE_TIMEOUT`]; a connection whose handshake fails isn't heard of again. If `config` has
/// no protocols, it gets `h2`.
///
/// ```
/// use std::time::Duration;
///
/// use conform::credentials::accept_tls;
/// use conform::credentials::rustls::ServerConfig;
/// use conform::credentials::rustls::pki_types::pem::PemObject;
/// use conform::credentials::rustls::pki_types::{CertificateDer, PrivateKeyDer};
/// use conform::keepalive::enforce;
/// # use greeter::greeter_server::{Greeter, GreeterServer};
/// use tokio::net::TcpListener;
/// # struct Polite;
/// # impl Greeter for Polite {}
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
/// # let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
/// // PEM, from files: the certificate with its chain, and the key to it.
/// let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>()?;
/// let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
/// let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let incoming = enforce(accept_tls(conform::server::incoming(listener), config))
///     .max_connection_idle(Duration::from_secs(5 * 60));
/// tokio::spawn(
///     conform::server::builder()
///         .add_service(GreeterServer::new(Polite))
///         .serve_with_incoming(incoming),
/// );
/// # Ok(())
/// # }
/// ```
pub fn accept_tls<I, IO>(
    incoming: I,
    mut config: ServerConfig,
) -> impl Stream<Item = io::Result<TlsStream<IO>>> + Send
where
    I: Stream<Item = io::Result<IO>> + Send,
    IO: AsyncRead + AsyncWrite + Send + Unpin,
{
    if config.alpn_protocols.is_empty() {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let handshakes = incoming.map(move |accepted| {
        let acceptor = acceptor.clone();
        async move {
            match accepted {
                Ok(io) => match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(io)).await {
                    Ok(Ok(stream)) => Some(Ok(stream)),
                    // Of this one connection, and not the listener's.
                    Ok(Err(_)) | Err(_) => None,
                },
                Err(error) => Some(Err(error)),
            }
        }
    });
    let accepted = handshakes.buffer_unordered(HANDSHAKES);
    accepted.filter_map(future::ready)
}
