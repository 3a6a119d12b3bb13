//! The channel to the server of a command.

use std::error::Error;
#[cfg(feature = "credentials")]
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::{Command, CommandError, status_of};
use crate::checked::tcp;
use crate::status::explain;

/// How long connecting may take, with the handshake.
const CONNECT: Duration = Duration::from_secs(10);

impl Command {
    /// A channel to the server: with TLS, if its URL begins with `https://`.
    ///
    /// # Errors
    ///
    /// If a file can't be read, or the server can't be reached or isn't the one that it should be;
    /// and for `https://` without the feature `credentials`.
    pub async fn connect(&self) -> Result<Channel, CommandError> {
        let endpoint = Endpoint::from_shared(self.url.clone());
        let mut endpoint = endpoint.map_err(|error| CommandError::new(explain(&error)))?;
        let scheme = endpoint.uri().scheme_str().unwrap_or("http").to_owned();
        if let Some(authority) = &self.authority {
            let origin = Uri::try_from(format!("{scheme}://{authority}"));
            let origin = origin
                .map_err(|_| CommandError::new(format!("`{authority}` is no name of a server")))?;
            endpoint = endpoint.origin(origin);
        }
        if scheme == "https" {
            endpoint = self.secure(endpoint)?;
        }
        let connecting = endpoint.connect_with_connector(tcp(&endpoint));
        match timeout(CONNECT, connecting).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(CommandError::new(self.reason(explain(&error)))),
            Err(_) => Err(CommandError::new("nobody answers")),
        }
    }

    /// Why the command has failed, in a line: [`explain`]'s, but for connections that are lost.
    pub fn explain(&self, error: &(dyn Error + 'static)) -> String {
        let cause = explain(error);
        // What the server itself says has no source.
        let lost = status_of(error).filter(|status| status.source().is_some());
        match lost.map(Status::code) {
            // Where TLS 1.3 refuses a client, it's a matter of luck whether that is heard.
            Some(Code::Unavailable) if self.is_without_certificate() => format!(
                "the connection is lost, or the server wants to see a certificate (--cert FILE \
                 --key FILE): {cause}"
            ),
            Some(Code::Unavailable) => format!("the connection is lost: {cause}"),
            _ => cause,
        }
    }

    fn is_without_certificate(&self) -> bool {
        self.url.starts_with("https://") && self.certificate.is_none()
    }

    /// What rustls says, in words for those who don't know it.
    fn reason(&self, cause: String) -> String {
        match &self.ca {
            Some(ca) if cause.contains("UnknownIssuer") => {
                let ca = ca.display();
                format!("nobody in `{ca}` has signed the server's certificate")
            }
            _ => cause,
        }
    }

    #[cfg(not(feature = "credentials"))]
    fn secure(&self, _: Endpoint) -> Result<Endpoint, CommandError> {
        let sentence = "https:// needs TLS, and this program was built without";
        Err(CommandError::new(sentence))
    }

    #[cfg(feature = "credentials")]
    fn secure(&self, endpoint: Endpoint) -> Result<Endpoint, CommandError> {
        use crate::credentials::client_tls;
        use crate::credentials::rustls::pki_types::pem::PemObject;
        use crate::credentials::rustls::pki_types::{CertificateDer, PrivateKeyDer};
        use tonic::transport::{Certificate, Identity};

        let has_certificate = |pem: &[u8]| CertificateDer::from_pem_slice(pem).is_ok();
        let has_key = |pem: &[u8]| PrivateKeyDer::from_pem_slice(pem).is_ok();
        let sentence = "https:// needs the certificate of whoever signed the server's";
        let ca = self.ca.as_deref();
        let ca = ca.ok_or_else(|| CommandError::new(sentence))?;
        let mut tls = client_tls(Certificate::from_pem(read(
            ca,
            "certificate",
            has_certificate,
        )?));
        if let Some((certificate, key)) = &self.certificate {
            tls = tls.identity(Identity::from_pem(
                read(certificate, "certificate", has_certificate)?,
                read(key, "private key", has_key)?,
            ));
        }
        if let Some(authority) = &self.authority {
            // Without its port.
            let host = Uri::try_from(&**authority).ok();
            let host = host.as_ref().and_then(Uri::host).unwrap_or(authority);
            tls = tls.domain_name(host);
        }
        endpoint.tls_config(tls).map_err(|error| {
            let files = [Some(ca), self.certificate.as_ref().map(|(it, _)| &**it)];
            let files = files
                .into_iter()
                .flatten()
                .map(|it| format!("`{}`", it.display()));
            let files = files.collect::<Vec<_>>().join(" and ");
            let why = match explain(&error) {
                why if why.contains("KeyMismatch") => {
                    "the key belongs to another certificate".into()
                }
                why => why,
            };
            CommandError::new(format!("{files} can't be used: {why}"))
        })
    }
}

/// A file with something of this kind in PEM.
#[cfg(feature = "credentials")]
fn read(path: &Path, kind: &str, holds: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, CommandError> {
    let shown = path.display();
    let bytes = std::fs::read(path)
        .map_err(|error| CommandError::new(format!("`{shown}` can't be read: {error}")))?;
    if !holds(&bytes) {
        return Err(CommandError::new(format!(
            "`{shown}` holds no {kind} in PEM"
        )));
    }
    Ok(bytes)
}
