//! The client's half: credentials for each call, and only over TLS.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::http::uri::Scheme;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{Body as HttpBody, BoxFuture, Bytes, Service, StdError};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::{Layer, ServiceExt};

use super::replay::Replay;
use super::token::Token;

/// What a client shows with each call: a token, or any metadata.
///
/// The guide calls it a plugin of metadata credentials. Its ticket is a few lines:
///
/// ```
/// use conform::credentials::{CallCredentials, CallInfo};
/// use tonic::Status;
/// use tonic::metadata::{MetadataMap, MetadataValue};
///
/// struct Ticket(String);
///
/// #[tonic::async_trait]
/// impl CallCredentials for Ticket {
///     async fn metadata(&self, _: &CallInfo) -> Result<MetadataMap, Status> {
///         let ticket = self.0.parse::<MetadataValue<_>>();
///         let mut ticket = ticket.map_err(|_| Status::internal("a ticket is printable ASCII"))?;
///         ticket.set_sensitive(true);
///         let mut metadata = MetadataMap::new();
///         metadata.insert("x-custom-auth-ticket", ticket);
///         Ok(metadata)
///     }
/// }
/// ```
#[tonic::async_trait]
pub trait CallCredentials: Send + Sync + 'static {
    /// The metadata for one call. Mark secret values as sensitive: then no `Debug` output shows
    /// them, and HTTP/2's compression never keeps them.
    ///
    /// # Errors
    ///
    /// Then the call fails with that status, unsent. Codes that only a server may use become
    /// INTERNAL ([gRFC A54]).
    ///
    /// [gRFC A54]: https://github.com/grpc/proposal/blob/master/A54-restrict-control-plane-status-codes.md
    async fn metadata(&self, call: &CallInfo) -> Result<MetadataMap, Status>;

    /// The server has answered UNAUTHENTICATED to a call with `used`. Whether asking for metadata
    /// again will give something else, so that the call is worth a second try.
    fn refused(&self, used: &MetadataMap) -> bool {
        let _ = used;
        false
    }
}

#[tonic::async_trait]
impl<C: CallCredentials + ?Sized> CallCredentials for Arc<C> {
    async fn metadata(&self, call: &CallInfo) -> Result<MetadataMap, Status> {
        C::metadata(self, call).await
    }

    fn refused(&self, used: &MetadataMap) -> bool {
        C::refused(self, used)
    }
}

/// Which call the credentials are for, so that a token can be made for one service only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallInfo {
    /// `https://host:port/package.Service`, as gRPC's plugins are told: without the port if that is
    /// 443, and without a user's name in front of the host.
    pub service_url: String,
    /// `Method`.
    pub method: String,
}

/// Several credentials for one call, for instance a user's beside a program's. Each adds its
/// metadata after those before it.
#[derive(Clone, Default)]
pub struct Composite(Vec<Arc<dyn CallCredentials>>);

impl Composite {
    /// No credentials yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// And these.
    pub fn and(mut self, credentials: impl CallCredentials) -> Self {
        self.0.push(Arc::new(credentials));
        self
    }
}

#[tonic::async_trait]
impl CallCredentials for Composite {
    async fn metadata(&self, call: &CallInfo) -> Result<MetadataMap, Status> {
        let mut all = HeaderMap::new();
        for credentials in &self.0 {
            append(&mut all, credentials.metadata(call).await?.into_headers());
        }
        Ok(MetadataMap::from_headers(all))
    }

    fn refused(&self, used: &MetadataMap) -> bool {
        // All are told, not only the first that has something new.
        let told = self.0.iter().map(|credentials| credentials.refused(used));
        told.fold(false, |any, new| any | new)
    }
}

impl fmt::Debug for Composite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Composite({} credentials)", self.0.len())
    }
}

/// `authorization: Bearer …`, as a sensitive value.
///
/// # Errors
///
/// INTERNAL if the token isn't printable ASCII.
pub fn bearer(token: &Token) -> Result<MetadataMap, Status> {
    let value = AsciiMetadataValue::try_from(format!("Bearer {}", token.as_str()));
    let mut value = value.map_err(|_| Status::internal("a token has to be printable ASCII"))?;
    value.set_sensitive(true);
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", value);
    Ok(metadata)
}

/// Credentials of one call, beside those of the layer: for a program that calls for many users.
///
/// Without a [`CallCredentialsLayer`] on the stub nothing is sent.
pub fn attach<T>(request: &mut tonic::Request<T>, credentials: impl CallCredentials) {
    let credentials = OfThisCall(Arc::new(credentials));
    request.extensions_mut().insert(credentials);
}

#[derive(Clone)]
struct OfThisCall(Arc<dyn CallCredentials>);

/// Puts credentials on each call of a stub. See the [module](super).
#[derive(Clone)]
pub struct CallCredentialsLayer {
    credentials: Composite,
    /// `None` for a channel without TLS.
    origin: Option<String>,
}

impl CallCredentialsLayer {
    /// For the channel that `endpoint` makes. Unless its URL begins with `https://`, every call is
    /// refused before anything is sent.
    ///
    /// It knows that URL and nothing else: a channel can't be asked what it is. Around the channel
    /// of another endpoint, one with `http://`, it would send tokens in the clear. So give both the
    /// same endpoint, or let [`connect_lazy`](Self::connect_lazy) do it.
    pub fn new(endpoint: &Endpoint, credentials: impl CallCredentials) -> Self {
        let uri = endpoint.uri();
        let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().filter(|_| is_secure);
        let port = uri.port_u16().filter(|port| *port != 443);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Self {
            credentials: Composite::new().and(credentials),
            origin: host.map(|host| format!("https://{host}{port}")),
        }
    }

    /// The channel that [`connect_lazy`](super::connect_lazy) makes for `endpoint`, behind the layer
    /// for the same one. For a stub without further layers; a deadline can stand around it.
    pub fn connect_lazy(
        endpoint: &Endpoint,
        credentials: impl CallCredentials,
    ) -> CallCredentialsService<Channel> {
        Self::new(endpoint, credentials).layer(super::connect_lazy(endpoint))
    }

    fn prepare(&self, request: &Request<Body>) -> Result<(Composite, CallInfo), Status> {
        let Some(origin) = &self.origin else {
            return Err(Status::unauthenticated(
                "credentials aren't sent without TLS: the URL must begin with https://",
            ));
        };
        let mut credentials = self.credentials.clone();
        let of_this_call = request.extensions().get::<OfThisCall>();
        credentials.0.extend(of_this_call.map(|it| it.0.clone()));
        let path = request.uri().path();
        let (service, method) = path.rsplit_once('/').unwrap_or((path, ""));
        let call = CallInfo {
            service_url: format!("{origin}{service}"),
            method: method.to_owned(),
        };
        Ok((credentials, call))
    }
}

impl<S> Layer<S> for CallCredentialsLayer {
    type Service = CallCredentialsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let layer = self.clone();
        CallCredentialsService { inner, layer }
    }
}

/// A channel whose calls carry credentials. Give it to a stub as if it were the channel.
#[derive(Clone)]
pub struct CallCredentialsService<S> {
    inner: S,
    layer: CallCredentialsLayer,
}

inner_service!(CallCredentialsService<S>);

impl<S, B> Service<Request<Body>> for CallCredentialsService<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<StdError> + Send,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = StdError;
    type Future = BoxFuture<Response<Body>, StdError>;

    /// Always ready. A channel's waiting belongs to the call.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let prepared = self.layer.prepare(&request);
        let inner = self.inner.clone();
        Box::pin(async move {
            let (credentials, call) = prepared?;
            let used = ask(&credentials, &call).await?;
            let (head, body) = request.into_parts();
            let replay = Replay::new(body);
            let first = replay.request(&head, &used);
            let response = send(inner.clone(), first).await?;
            if !is_unauthenticated(&response) || !credentials.refused(&used) {
                replay.settle();
                return Ok(response);
            }
            if !replay.is_possible() {
                return Ok(response);
            }
            // A second time, and no third: if new credentials aren't good either, others won't be.
            match ask(&credentials, &call).await {
                Ok(other) if other.as_ref() != used.as_ref() => {
                    let second = replay.request(&head, &other);
                    send(inner, second).await
                }
                _ => Ok(response),
            }
        })
    }
}

async fn send<S, B>(inner: S, request: Request<Body>) -> Result<Response<Body>, StdError>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<StdError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let response = inner.oneshot(request).await.map_err(Into::into)?;
    Ok(response.map(Body::new))
}

async fn ask(credentials: &Composite, call: &CallInfo) -> Result<MetadataMap, Status> {
    let metadata = credentials.metadata(call).await;
    metadata.map_err(|status| match status.code() {
        // Only a server's application may say these.
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::DataLoss
        | Code::Ok => {
            let (code, message) = (status.code(), status.message());
            Status::internal(format!("call credentials failed with {code:?}: {message}"))
        }
        _ => status,
    })
}

/// The server has refused the call before it read or sent a message: *Trailers-Only*. Only such a
/// call may be made twice without asking.
fn is_unauthenticated(response: &Response<Body>) -> bool {
    use http_body::Body as _;
    let code = response.headers().get(Status::GRPC_STATUS);
    code.is_some_and(|code| Code::from_bytes(code.as_bytes()) == Code::Unauthenticated)
        && response.body().is_end_stream()
}

pub(super) fn append(to: &mut HeaderMap, from: HeaderMap) {
    let mut name = None;
    for (next, value) in from {
        // Further values of a name come without it.
        name = next.or(name);
        if let Some(name) = &name {
            to.append(name, value);
        }
    }
}

impl fmt::Debug for CallCredentialsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallCredentialsLayer")
            .field("credentials", &self.credentials)
            .field("origin", &self.origin)
            .finish()
    }
}

impl<S: fmt::Debug> fmt::Debug for CallCredentialsService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallCredentialsService")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}
