//! Certificates and tokens for tests, and a server over TLS.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Service, StdError};
use tonic::service::Routes;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};
use tower::Layer;

use super::*;
use crate::testing::{Handler, Served, Test};

mod accept;
mod authentication;
mod cache;
mod call;
mod jwt;
mod provider;
mod replay;
mod tls;

/// A certification authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        // By its name a certificate says who has signed it, so two of them need two names.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("authority {number}"))
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.0.pem())
    }

    /// A certificate for `name`, valid from `begin` to `end`, in years.
    fn certify_for(&self, name: &str, begin: i32, end: i32) -> Identity {
        let (certificate, key) = self.certify_pem(name, begin, end);
        Identity::from_pem(certificate, key)
    }

    fn certify_pem(&self, name: &str, begin: i32, end: i32) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(begin, 1, 1);
        params.not_after = date_time_ymd(end, 1, 1);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn certify(&self, name: &str) -> Identity {
        self.certify_for(name, 2020, 2100)
    }
}

/// A server on loopback, with TLS by `config`, until what is returned is dropped.
pub(crate) async fn serve_tls<L, S>(
    config: ServerTlsConfig,
    layer: L,
    service: Test<impl Handler>,
) -> Served
where
    L: Layer<Routes, Service = S> + Clone + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<StdError> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = crate::server::builder()
        .tls_config(config)
        .unwrap()
        .layer(layer)
        .add_service(service)
        .serve_with_incoming(crate::server::incoming(listener));
    Served::new(address, server.map(drop))
}

/// `https://localhost`, whatever name the certificate has to have.
fn tls_endpoint(served: &Served, config: ClientTlsConfig) -> Endpoint {
    let url = format!("https://localhost:{}", served.address.port());
    let endpoint = Endpoint::from_shared(url).unwrap();
    endpoint.tls_config(config).unwrap()
}

/// Refused calls, as a server's log has them.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn write(&self) -> impl Fn(&RefusedCall) + Send + Sync + 'static {
        let lines = self.0.clone();
        move |call| lines.lock().unwrap().push(call.to_string())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}
