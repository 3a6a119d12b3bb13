//! TLS that is read with keys for both sides.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::testing::soon;
use crate::{End, Tap, TlsFiles};

/// An authority, and files with a certificate for `localhost` and one for `ann`.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a CA");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        for name in ["localhost", "ann"] {
            let params = CertificateParams::new([name.to_owned()]).unwrap();
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &ca).unwrap();
            let [pem, key_file] =
                ["pem", "key"].map(|it| folder.path().join(format!("{name}.{it}")));
            std::fs::write(pem, certificate.pem()).unwrap();
            std::fs::write(key_file, key.serialize_pem()).unwrap();
        }
        Self(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn identity(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_file(self.path(&format!("{name}.pem")));
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key")));
        (vec![certificate.unwrap()], key.unwrap())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.path("ca.pem")).unwrap();
        roots.add(ca).unwrap();
        roots
    }

    fn tls(&self) -> TlsFiles {
        let [certificate, key] = ["localhost.pem", "localhost.key"].map(|it| self.path(it));
        let files = TlsFiles::new(certificate, key, self.path("ca.pem"));
        files.client(self.path("ann.pem"), self.path("ann.key"))
    }
}

/// A server that wants a client's certificate, and answers a request with a greeting.
async fn server(files: &Files) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(files.roots());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
    let (certificates, key) = files.identity("localhost");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(certificates, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(Arc::new(config.clone()));
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                stream.read_exact(&mut [0; 24]).await?;
                stream.write_all(WELCOME).await?;
                stream.write_all(&frame(1, 4, 1, &response())).await?;
                stream
                    .write_all(&frame(0, 0, 1, &greeting("Hello")))
                    .await?;
                let _ = stream.read_to_end(&mut Vec::new()).await;
                io::Result::Ok(())
            });
        }
    });
    address
}

async fn client(
    files: &Files,
    tap: &Tap,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(files.roots())
        .with_no_client_auth();
    let stream = TcpStream::connect(tap.address()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    soon(
        "a handshake",
        TlsConnector::from(Arc::new(config)).connect(name, stream),
    )
    .await
}

async fn tap(files: &Files, server: &str) -> Tap {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Tap::builder()
        .tls(files.tls())
        .serve(listener, server)
        .unwrap()
}

#[tokio::test]
async fn who_has_the_keys_reads_what_is_inside() {
    let files = Files::new();
    // With a scheme, as it stands in a client's URL.
    let address = format!("https://{}", server(&files).await);
    let tap = tap(&files, &address).await;
    let mut client = client(&files, &tap).await.unwrap();
    let request = frame(1, 5, 1, &request());
    client.write_all(&[HELLO, &request].concat()).await.unwrap();
    let seen = tap.wait_for(|frame| frame.is_request()).await;
    assert_eq!(seen.path(), Some("/helloworld.Greeter/SayHello"));
    let reply = tap.wait_for(|frame| !frame.messages().is_empty()).await;
    assert_eq!(reply.direction, ToClient);
    let expected = [
        WELCOME,
        &frame(1, 4, 1, &response()),
        &frame(0, 0, 1, &greeting("Hello")),
    ];
    let mut got = vec![0; expected.concat().len()];
    soon("an answer", client.read_exact(&mut got))
        .await
        .unwrap();
    assert_eq!(got, expected.concat());
    // The end passes too.
    client.shutdown().await.unwrap();
    drop(client);
    tap.wait_for_event(|event| event.end().is_some()).await;
}

#[tokio::test]
async fn a_handshake_that_fails_is_a_sentence() {
    let (files, others) = (Files::new(), Files::new());
    let address = server(&others).await;
    let tap = tap(&files, &address).await;
    let plain = TcpStream::connect(tap.address()).await.unwrap();
    let mut plain = plain;
    plain.write_all(HELLO).await.unwrap();
    let told = tap.wait_for_event(|event| event.end().is_some()).await;
    let Some(End::Refused(reason)) = told.end() else {
        panic!("{told:?}");
    };
    assert!(
        reason.starts_with("TLS with the client failed: "),
        "{reason}"
    );
    let _client = client(&files, &tap).await;
    let told = tap
        .wait_for_event(|event| event.connection == 2 && event.end().is_some())
        .await;
    let Some(End::Refused(reason)) = told.end() else {
        panic!("{told:?}");
    };
    assert!(
        reason.starts_with("TLS with the server failed: "),
        "{reason}"
    );
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let files = Files::new();
    for (tls, named) in [
        (
            TlsFiles::new(
                files.path("none.pem"),
                files.path("ann.key"),
                files.path("ca.pem"),
            ),
            "none.pem: ",
        ),
        (
            TlsFiles::new(
                files.path("ann.pem"),
                files.path("localhost.key"),
                files.path("ca.pem"),
            ),
            "localhost.key: ",
        ),
        (
            TlsFiles::new(
                files.path("ann.key"),
                files.path("ann.key"),
                files.path("ca.pem"),
            ),
            "ann.key: there is no certificate in it",
        ),
        (
            files.tls().client(files.path("ann.pem"), files.path("x")),
            "x: ",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = Tap::builder()
            .tls(tls)
            .serve(listener, "127.0.0.1:1")
            .unwrap_err();
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
}
