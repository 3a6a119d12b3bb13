//! TLS with the settings that tonic leaves out.

use std::time::Duration;

use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig,
};

use crate::checked::tcp;

/// How long a handshake may take, on either side: 10 seconds, as long as
/// [`server`](crate::server) waits for a first call.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// tonic's settings for a server that shows `identity`, with [`HANDSHAKE_TIMEOUT`].
///
/// For mutual TLS add [`client_ca_root`](ServerTlsConfig::client_ca_root): then only clients with a
/// certificate of that CA get through the handshake.
pub fn server_tls(identity: Identity) -> ServerTlsConfig {
    ServerTlsConfig::new()
        .identity(identity)
        .timeout(HANDSHAKE_TIMEOUT)
}

/// tonic's settings for a client that trusts servers with a certificate of `ca`, with
/// [`HANDSHAKE_TIMEOUT`].
///
/// For mutual TLS add [`identity`](ClientTlsConfig::identity).
pub fn client_tls(ca: Certificate) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .ca_certificate(ca)
        .timeout(HANDSHAKE_TIMEOUT)
}

/// A channel to `endpoint` that says in a sentence when one side speaks TLS and the other doesn't.
///
/// Connects on the first call, over TCP as `endpoint` has it set, but for its `local_address`, which
/// can't be read: give a [`CheckedConnector`](super::CheckedConnector) with it to `Endpoint::connect_with_connector_lazy`.
pub fn connect_lazy(endpoint: &Endpoint) -> Channel {
    endpoint.connect_with_connector_lazy(tcp(endpoint))
}

/// As [`connect_lazy`], with the connection made at once.
///
/// # Errors
///
/// If it can't be made.
pub async fn connect(endpoint: &Endpoint) -> Result<Channel, tonic::transport::Error> {
    endpoint.connect_with_connector(tcp(endpoint)).await
}
