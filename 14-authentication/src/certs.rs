//! A folder with certificates, keys and tokens: how they are made, and how they are read.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use conform::credentials::JwtIssuer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tonic::transport::{Certificate, Identity};

/// How long they are good for: 30 days.
const VALID_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

type Authority = CertifiedIssuer<'static, KeyPair>;

/// The folder.
#[derive(Clone, Debug)]
pub struct Certs(pub PathBuf);

impl Certs {
    /// `target/certs`, which git ignores, wherever in the course a program is started.
    pub fn of_the_course() -> Self {
        let lesson = Path::new(env!("CARGO_MANIFEST_DIR"));
        // The course's check builds changed copies of a lesson inside of `target`.
        let target = lesson.ancestors().find(|it| it.ends_with("target"));
        Self(
            target
                .map_or(lesson.join("../target"), Into::into)
                .join("certs"),
        )
    }

    /// Makes everything anew. The private keys of both authorities and of the desk, which signs
    /// tokens, are forgotten at the end.
    pub fn make(&self) -> Result<(), Box<dyn Error>> {
        fs::create_dir_all(&self.0)?;
        let (ca, other_ca) = (authority("the calculator's CA")?, authority("another CA")?);
        self.write("ca.pem", ca.pem())?;
        self.certify("server", &["localhost", "127.0.0.1"], &ca)?;
        self.certify("ann", &["ann"], &ca)?;
        self.certify("bob", &["bob"], &ca)?;
        self.certify("stranger", &["ann"], &other_ca)?;

        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        self.write("desk.pub", key.public_key_raw())?;
        let desk = JwtIssuer::new(&key.serialize_der(), "desk");
        for member in ["ann", "bob"] {
            let token = desk.issue(member, "calculator", VALID_FOR)?;
            self.write(&format!("{member}.token"), token.as_str())?;
        }
        Ok(())
    }

    /// A new key, and a certificate of `ca` that it belongs to these names.
    fn certify(&self, file: &str, names: &[&str], ca: &Authority) -> Result<(), Box<dyn Error>> {
        let key = KeyPair::generate()?;
        let certificate = params(names)?.signed_by(&key, ca)?;
        self.write(&format!("{file}.pem"), certificate.pem())?;
        Ok(self.write(&format!("{file}.key"), key.serialize_pem())?)
    }

    /// Writes a file that only its owner can read, from the moment that it's there.
    fn write(&self, file: &str, content: impl AsRef<[u8]>) -> io::Result<()> {
        let path = self.0.join(file);
        let _ = fs::remove_file(&path);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?.write_all(content.as_ref())
    }

    /// A file's content, or an error that says how it gets there.
    pub fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        let sentence = "there are no certificates: `cargo 14 certs` makes them";
        fs::read(self.0.join(file)).map_err(|_| io::Error::other(sentence))
    }

    /// The certificate of those who sign certificates.
    pub fn ca(&self) -> io::Result<Certificate> {
        self.read("ca.pem").map(Certificate::from_pem)
    }

    /// Somebody's certificate, and the private key to it.
    pub fn identity(&self, name: &str) -> io::Result<Identity> {
        let certificate = self.read(&format!("{name}.pem"))?;
        let key = self.read(&format!("{name}.key"))?;
        Ok(Identity::from_pem(certificate, key))
    }

    /// The token that the desk has signed for somebody.
    pub fn token(&self, name: &str) -> io::Result<String> {
        let token = self.read(&format!("{name}.token"))?;
        String::from_utf8(token).map_err(io::Error::other)
    }
}

fn authority(name: &str) -> Result<Authority, rcgen::Error> {
    let mut params = params(&[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn params(names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.not_before = SystemTime::now().into();
    params.not_after = (SystemTime::now() + VALID_FOR).into();
    Ok(params)
}
