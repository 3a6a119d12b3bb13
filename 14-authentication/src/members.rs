//! Who is calling: a token says it, and the certificate has to agree.

use std::io;

use conform::credentials::{Claims, Jwt, JwtKey, Presented, Refusal, Verified, Verify};

use crate::certs::Certs;

/// Knows the members by the tokens that the desk has signed for them.
pub struct Members {
    jwt: Jwt,
}

impl Members {
    /// Trusts tokens of the desk, made for this calculator.
    pub fn new(certs: &Certs) -> io::Result<Self> {
        let key = JwtKey::Ed25519(certs.read("desk.pub")?);
        let jwt = Jwt::new(key, "desk", "calculator").map_err(io::Error::other)?;
        Ok(Self { jwt })
    }
}

#[tonic::async_trait]
impl Verify for Members {
    type Caller = Claims;

    async fn verify(&self, presented: &Presented) -> Result<Verified<Claims>, Refusal> {
        let verified = self.jwt.verify(presented).await?;
        // A stolen token is of no use without the key of its owner's certificate.
        let names = presented.certificate_names();
        if !names.iter().any(|name| name == verified.caller().subject()) {
            return Err(Refusal::new("a token of somebody else"));
        }
        Ok(verified)
    }
}
