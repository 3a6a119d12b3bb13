//! JSON Web Tokens: signed claims about a caller, checked without asking anybody.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::{ErrorKind, Result as JwtResult};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use serde_json::{Map, Value, json};

use super::provider;
use super::token::{Presented, Refusal, Token, Verified, Verify};

/// How far two clocks may differ, unless [`Jwt::leeway`] says otherwise: a minute. [RFC 7519],
/// section 4.1.4, speaks of a few minutes at most.
///
/// [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4
pub const LEEWAY: Duration = Duration::from_secs(60);

/// Checks JSON Web Tokens ([RFC 7519]) of one issuer, for one audience, by one key with one
/// algorithm. It's a [`Verify`] by itself, whose callers are [`Claims`], or a part of one.
///
/// A token is refused unless all of this holds:
///
/// * Its algorithm is the one of the key. What the token says of it is compared, never believed
///   ([RFC 8725], sections 2.1 and 3.1): neither `none`, nor HMAC with the public key for a secret.
/// * The signature is that of the key, the issuer (`iss`) and audience (`aud`) are ours.
/// * It has an end (`exp`) that is to come, and a beginning (`nbf`) that has been, if any.
/// * It names a subject (`sub`).
/// * It demands nothing that isn't understood here (`crit`; [RFC 7515], section 4.1.11).
///
/// The crate [jsonwebtoken] does the work, with ring for its cryptography, which rustls uses too.
/// jsonwebtoken has one provider of cryptography a process: unless your program has installed one,
/// this one is installed, which verifies with all algorithms and signs with EdDSA.
///
/// [RFC 7515]: https://www.rfc-editor.org/rfc/rfc7515#section-4.1.11
/// [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519
/// [RFC 8725]: https://www.rfc-editor.org/rfc/rfc8725
/// [jsonwebtoken]: https://docs.rs/jsonwebtoken
#[derive(Clone)]
pub struct Jwt {
    key: DecodingKey,
    validation: Validation,
}

/// A key that tells good signatures from bad ones, together with its algorithm.
#[derive(Clone)]
#[non_exhaustive]
pub enum JwtKey {
    /// `EdDSA`: the 32 bytes of an Ed25519 public key.
    Ed25519(Vec<u8>),
    /// `ES256`: a point on the curve P-256, 65 bytes.
    Es256(Vec<u8>),
    /// `RS256`: an RSA public key of 2048 bits or more, as PKCS#1 in DER.
    Rs256(Vec<u8>),
    /// `HS256`: a secret of 32 bytes or more ([RFC 7518], section 3.2), which everybody who checks
    /// tokens could make tokens with.
    ///
    /// [RFC 7518]: https://www.rfc-editor.org/rfc/rfc7518#section-3.2
    Hs256(Vec<u8>),
}

impl JwtKey {
    /// Whether it has the form of a key. What can't be seen from outside, as whether the bytes are
    /// a point on the curve, shows when a signature is checked.
    fn check(&self) -> Result<(), InvalidKey> {
        let (has_form, otherwise) = match self {
            Self::Ed25519(key) => (
                key.len() == 32,
                "a key for EdDSA has to be the 32 bytes of an Ed25519 public key",
            ),
            Self::Es256(key) => (
                key.len() == 65 && key.first() == Some(&4),
                "a key for ES256 has to be a point on P-256: 65 bytes, of which the first is 4",
            ),
            // A sequence of several hundred bytes that begins with an integer.
            Self::Rs256(key) => (
                key.len() > 256 && matches!(&**key, [0x30, 0x82, _, _, 0x02, ..]),
                "a key for RS256 has to be an RSA public key of 2048 bits or more, as PKCS#1 in DER",
            ),
            Self::Hs256(key) => (
                key.len() >= 32,
                "a secret for HS256 has to have 32 bytes or more (RFC 7518, section 3.2)",
            ),
        };
        has_form.then_some(()).ok_or(InvalidKey(otherwise))
    }
}

impl Jwt {
    /// Checks tokens that `issuer` has made for `audience`.
    ///
    /// # Errors
    ///
    /// If `key` can't be one: the secret from an environment variable that isn't set, for instance,
    /// with which everybody could sign tokens.
    pub fn new(key: JwtKey, issuer: &str, audience: &str) -> Result<Self, InvalidKey> {
        key.check()?;
        provider::install();
        let (algorithm, key) = match key {
            JwtKey::Ed25519(key) => (Algorithm::EdDSA, DecodingKey::from_ed_der(&key)),
            JwtKey::Es256(key) => (Algorithm::ES256, DecodingKey::from_ec_der(&key)),
            JwtKey::Rs256(key) => (Algorithm::RS256, DecodingKey::from_rsa_der(&key)),
            JwtKey::Hs256(key) => (Algorithm::HS256, DecodingKey::from_secret(&key)),
        };
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        Ok(Self { key, validation })
    }

    /// How far this clock and the issuer's may differ, in whole seconds.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        // More than a day is a mistake, and might be more than the clock has counted.
        self.validation.leeway = leeway.as_secs().min(24 * 3600);
        self
    }

    /// What `token` says, if it is to be believed.
    ///
    /// # Errors
    ///
    /// If it isn't: the reason, for a log. It contains nothing of the token.
    pub fn check(&self, token: &Token) -> Result<Claims, Refusal> {
        let claims = self.decode(token.as_str().as_bytes());
        let claims = claims.map_err(|error| Refusal::new(reason(error.kind())))?;
        let subject = claims.get("sub").and_then(Value::as_str);
        let subject = subject.filter(|subject| !subject.is_empty());
        let subject = subject.ok_or(Refusal::new("a token without a subject"))?;
        Ok(Claims {
            subject: subject.to_owned(),
            expires: self.expiry(&claims),
            claims,
        })
    }

    fn decode(&self, token: &[u8]) -> JwtResult<Map<String, Value>> {
        let header = decode_header(token)?;
        if header.crit.is_some() {
            return Err(ErrorKind::InvalidToken.into());
        }
        Ok(decode(token, &self.key, &self.validation)?.claims)
    }

    /// The moment from which the token isn't accepted any more. A time beyond the clock's end is
    /// `None`.
    fn expiry(&self, claims: &Map<String, Value>) -> Option<SystemTime> {
        let seconds = claims.get("exp")?.as_f64()?;
        let after_epoch = Duration::try_from_secs_f64(seconds).ok()?;
        let leeway = Duration::from_secs(self.validation.leeway);
        UNIX_EPOCH.checked_add(after_epoch)?.checked_add(leeway)
    }
}

#[tonic::async_trait]
impl Verify for Jwt {
    type Caller = Claims;

    async fn verify(&self, presented: &Presented) -> Result<Verified<Claims>, Refusal> {
        let claims = self.check(presented.token()?)?;
        let until = claims.expires;
        Ok(Verified {
            caller: claims,
            until,
        })
    }
}

/// In words that contain nothing of the token.
pub(super) fn reason(error: &ErrorKind) -> String {
    let reason = match error {
        ErrorKind::InvalidSignature => "a token with a wrong signature",
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => {
            "a token with another algorithm than expected"
        }
        ErrorKind::ExpiredSignature => "a token that has expired",
        ErrorKind::ImmatureSignature => "a token that isn't valid yet",
        ErrorKind::InvalidAudience => "a token for another audience",
        ErrorKind::InvalidIssuer => "a token of another issuer",
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "sub" => "a token without a subject",
            "exp" => "a token without an end",
            "iss" => "a token without an issuer",
            _ => "a token without an audience",
        },
        ErrorKind::InvalidEddsaKey
        | ErrorKind::InvalidEcdsaKey
        | ErrorKind::InvalidRsaKey(_)
        | ErrorKind::InvalidKeyFormat => "the key that checks tokens can't be used",
        _ => "a token that can't be read",
    };
    reason.to_owned()
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("validation", &self.validation)
            .finish_non_exhaustive()
    }
}

/// What a token says about its owner, after it was checked.
#[derive(Clone, Debug)]
pub struct Claims {
    subject: String,
    expires: Option<SystemTime>,
    claims: Map<String, Value>,
}

impl Claims {
    /// Whom the token is about.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The moment from which the token isn't accepted any more, leeway included.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Any claim, by its name: `scope`, for instance.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}

/// Makes tokens, signed with EdDSA (Ed25519): for tests, for one's own sign-in, and for a program
/// that vouches for itself with a key of its own.
#[derive(Clone)]
pub struct JwtIssuer {
    key: EncodingKey,
    issuer: String,
}

impl JwtIssuer {
    /// Signs with a private key, PKCS#8 in DER, in the name of `issuer`.
    pub fn new(private_key: &[u8], issuer: impl Into<String>) -> Self {
        provider::install();
        Self {
            key: EncodingKey::from_ed_der(private_key),
            issuer: issuer.into(),
        }
    }

    /// A token that says to `audience` that its owner is `subject`, for that long from now.
    ///
    /// # Errors
    ///
    /// If the key can't be used.
    pub fn issue(
        &self,
        subject: &str,
        audience: &str,
        valid_for: Duration,
    ) -> Result<Token, InvalidKey> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let claims = json!({
            "iss": self.issuer,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "exp": now.saturating_add(valid_for.as_secs()),
        });
        let token = encode(&Header::new(Algorithm::EdDSA), &claims, &self.key);
        token
            .map(Token::new)
            .map_err(|_| InvalidKey(NO_PRIVATE_KEY))
    }
}

impl fmt::Debug for JwtIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtIssuer")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

const NO_PRIVATE_KEY: &str = "the key that signs tokens isn't an Ed25519 key as PKCS#8";

/// A key that can't be used, that of a [`Jwt`] or a [`JwtIssuer`]. Says what it should be, and shows
/// nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey(&'static str);

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidKey {}
