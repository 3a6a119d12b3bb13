//! What a caller shows, and what comes of it.

use std::fmt;
use std::time::SystemTime;

use tonic::Status;
use tonic::codegen::http::header::AUTHORIZATION;
use tonic::codegen::http::{HeaderMap, Request};
use tonic::metadata::MetadataMap;
use tonic::transport::CertificateDer;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};

/// The longest token that is looked at, in bytes: 8 KiB, what gRPC over HTTP/2 suggests as a limit
/// for all headers of a call together.
pub const MAX_TOKEN: usize = 8 * 1024;

/// What every caller hears whose credentials aren't good, whatever is wrong with them.
pub const UNAUTHENTICATED: &str = "this call needs valid credentials";

/// A bearer token ([RFC 6750]): whoever has it is taken for its owner. So its `Debug` output is its
/// length, and it has no `Display`. Nor can two be compared by `==`, whose time tells how much of a
/// guess is right: compare digests of them.
///
/// ```compile_fail,E0369
/// # use conform::credentials::Token;
/// let is_right = Token::new("a guess") == Token::new("the secret");
/// ```
///
/// [RFC 6750]: https://www.rfc-editor.org/rfc/rfc6750
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A token that isn't a call's.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, not to be printed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one token among these headers.
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(Refusal::new("no token"))?;
        if values.next().is_some() {
            return Err(Refusal::new("more than one token"));
        }
        if value.len() > MAX_TOKEN {
            return Err(Refusal::new(format!(
                "a token of {} bytes, more than {MAX_TOKEN}",
                value.len()
            )));
        }
        let value = value.to_str();
        let value = value.map_err(|_| Refusal::new("a token that isn't ASCII"))?;
        // The scheme's letters may be large or small: RFC 9110, section 11.1.
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => {
                Ok(Self::new(token))
            }
            _ => Err(Refusal::new("something other than a bearer token")),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}

/// What a call shows of who makes it: a token, certificates, metadata.
#[derive(Clone)]
pub struct Presented {
    path: String,
    token: Result<Token, Refusal>,
    certificate_names: Vec<String>,
    metadata: MetadataMap,
}

impl Presented {
    /// Takes the token away from the request, so that nothing below can log it by mistake.
    pub(super) fn take<B>(request: &mut Request<B>) -> Self {
        let token = Token::of(request.headers());
        request.headers_mut().remove(AUTHORIZATION);
        let connection = request.extensions();
        let connection = connection.get::<TlsConnectInfo<TcpConnectInfo>>();
        let chain = connection.and_then(TlsConnectInfo::peer_certs);
        let leaf = chain.as_ref().and_then(|chain| chain.first());
        Self {
            path: request.uri().path().to_owned(),
            token,
            certificate_names: leaf.map(certificate_names).unwrap_or_default(),
            metadata: MetadataMap::from_headers(request.headers().clone()),
        }
    }

    /// The method: `/package.Service/Method`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The token in `authorization: Bearer …`.
    ///
    /// # Errors
    ///
    /// If there isn't exactly one, or it is longer than [`MAX_TOKEN`].
    pub fn token(&self) -> Result<&Token, Refusal> {
        self.token.as_ref().map_err(Clone::clone)
    }

    /// The names in the client's certificate, which TLS has proved to be its own; none without
    /// mutual TLS. See [`certificate_names`].
    pub fn certificate_names(&self) -> &[String] {
        &self.certificate_names
    }

    /// All metadata but the token, for credentials of one's own.
    pub fn metadata(&self) -> &MetadataMap {
        &self.metadata
    }
}

impl fmt::Debug for Presented {
    /// Without the metadata: there may be credentials among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("path", &self.path)
            .field("token", &self.token)
            .field("certificate_names", &self.certificate_names)
            .finish_non_exhaustive()
    }
}

/// The DNS names and URIs (SPIFFE's, for instance) for which a certificate was made, its *subject
/// alternative names*. None if it can't be read.
///
/// It says what the certificate claims, and nothing of who signed it: TLS has to have checked that.
pub fn certificate_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(certificate) => {
            let names = certificate.valid_dns_names();
            let names = names.chain(certificate.valid_uri_names());
            names.map(str::to_owned).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// Why a call isn't let in. The reason is for the server's log; the caller hears
/// [`UNAUTHENTICATED`] and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: String,
    is_ours: bool,
}

impl Refusal {
    /// The credentials aren't good, for a reason that mustn't contain them.
    pub fn new(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let is_ours = false;
        Self { reason, is_ours }
    }

    /// Whether they are good can't be told now: what would have to be asked doesn't answer. The
    /// caller hears UNAVAILABLE, and may try again.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let is_ours = true;
        Self { reason, is_ours }
    }

    /// For the log.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What the caller hears.
    pub fn status(&self) -> Status {
        if self.is_ours {
            Status::unavailable("credentials can't be checked now")
        } else {
            Status::unauthenticated(UNAUTHENTICATED)
        }
    }
}

/// Who calls, and for how long that is certain.
#[derive(Clone, Debug)]
pub struct Verified<C> {
    pub(super) caller: C,
    pub(super) until: Option<SystemTime>,
}

impl<C> Verified<C> {
    /// A caller whose credentials don't expire.
    pub fn new(caller: C) -> Self {
        let until = None;
        Self { caller, until }
    }

    /// Who calls.
    pub fn caller(&self) -> &C {
        &self.caller
    }

    /// The moment at which the credentials expire. A call that still runs then ends.
    pub fn until(mut self, moment: SystemTime) -> Self {
        self.until = Some(moment);
        self
    }
}

/// Finds out who calls.
#[tonic::async_trait]
pub trait Verify: Send + Sync + 'static {
    /// What handlers and [`MethodPolicy`](crate::method_policy) find in the extensions.
    type Caller: Clone + Send + Sync + 'static;

    /// Who calls, by what they show.
    ///
    /// # Errors
    ///
    /// If that isn't enough. The reason goes to the log only.
    async fn verify(&self, presented: &Presented) -> Result<Verified<Self::Caller>, Refusal>;
}
