//! The server's half: nobody passes without credentials.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, BoxFuture, Bytes, Service, StdError};
use tower::{Layer, ServiceExt};

use super::token::{Presented, Refusal, Verify};
use crate::deadline::Deadline;
use crate::deadline::body::{Side, bound};
use crate::status::escape;

/// How long finding out who calls may take unless [`AuthenticationLayer::timeout`] says otherwise: 5
/// seconds. A verifier that asks another server has to give up before its callers do.
pub const VERIFY_TIMEOUT: Duration = Duration::from_secs(5);

/// Lets in whoever its verifier knows. See the [module](super).
pub struct AuthenticationLayer<V> {
    verifier: Arc<V>,
    on_refusal: OnRefusal,
    timeout: Duration,
    open: Arc<BTreeSet<String>>,
}

type OnRefusal = Arc<dyn Fn(&RefusedCall) + Send + Sync>;

/// A call that was refused, for the server's log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefusedCall {
    /// The method, as it came: print it escaped.
    pub path: String,
    /// Why.
    pub refusal: Refusal,
}

impl fmt::Display for RefusedCall {
    /// One line, with anything odd in the path escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, reason) = (escape(&self.path), escape(self.refusal.reason()));
        write!(f, "{path}: refused: {reason}")
    }
}

impl<V: Verify> AuthenticationLayer<V> {
    /// A layer that asks `verifier` about every call, and tells `on_refusal`, which must not wait,
    /// about those that it refuses.
    pub fn new(verifier: V, on_refusal: impl Fn(&RefusedCall) + Send + Sync + 'static) -> Self {
        Self {
            verifier: Arc::new(verifier),
            on_refusal: Arc::new(on_refusal),
            timeout: VERIFY_TIMEOUT,
            open: Arc::default(),
        }
    }

    /// Lets everybody call the method at `path`, `/package.Service/Method`, without asking the
    /// verifier: the health check, for a probe that has no token. A
    /// `MethodPolicy` below has to let them pass too, by `allow_anyone`.
    ///
    /// A token that comes all the same is taken out of the request unread, a bad one too: it's no
    /// reason to refuse what a stranger may call. So there's no caller in the extensions.
    ///
    /// ```
    /// # use conform::credentials::{AuthenticationLayer, Verify};
    /// use conform::method_policy::{MethodPolicy, MethodPolicyLayer};
    /// use tower::ServiceBuilder;
    ///
    /// const CHECK: &str = "/grpc.health.v1.Health/Check";
    /// # fn layers<V: Verify<Caller = String>>(verifier: V) {
    /// let layers = ServiceBuilder::new()
    ///     .layer(AuthenticationLayer::new(verifier, |call| println!("{call}")).except(CHECK))
    ///     .layer(MethodPolicyLayer::new(MethodPolicy::<String>::new().allow_anyone(CHECK)));
    /// # }
    /// ```
    pub fn except(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        // As in a table of methods, the first slash may be missing.
        let slash = if path.starts_with('/') { "" } else { "/" };
        Arc::make_mut(&mut self.open).insert(format!("{slash}{path}"));
        self
    }

    /// How long the verifier may take. After that the call is refused with UNAVAILABLE.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<S, V> Layer<S> for AuthenticationLayer<V> {
    type Service = Authentication<S, V>;

    fn layer(&self, inner: S) -> Self::Service {
        let layer = self.clone();
        Authentication { inner, layer }
    }
}

/// Services behind an [`AuthenticationLayer`].
pub struct Authentication<S, V> {
    inner: S,
    layer: AuthenticationLayer<V>,
}

inner_service!(Authentication<S, V>);

impl<S, V, B> Service<Request<Body>> for Authentication<S, V>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    V: Verify,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Response<Body>, S::Error>;

    /// Always ready: whoever is refused needs no room below.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (inner, layer) = (self.inner.clone(), self.layer.clone());
        Box::pin(async move {
            let presented = Presented::take(&mut request);
            if layer.open.contains(presented.path()) {
                return Ok(inner.oneshot(request).await?.map(Body::new));
            }
            let verifying = layer.verifier.verify(&presented);
            let verified = match timeout(layer.timeout, verifying).await {
                Ok(verified) => verified,
                Err(_) => Err(Refusal::unavailable("the verifier took too long")),
            };
            let verified = match verified {
                Ok(verified) => verified,
                Err(refusal) => {
                    let path = presented.path().to_owned();
                    return Ok(refuse(&layer.on_refusal, path, refusal).into_http());
                }
            };
            request.extensions_mut().insert(verified.caller);
            let answer = inner.oneshot(request);
            let Some(expiry) = verified.until.and_then(deadline) else {
                return Ok(answer.await?.map(Body::new));
            };
            let expire = move || {
                let refusal = Refusal::new("the credentials expired while the call ran");
                refuse(&layer.on_refusal, presented.path().to_owned(), refusal)
            };
            match timeout(expiry.remaining(), answer).await {
                Ok(response) => Ok(bound(response?, expiry, Side::Ended(Arc::new(expire)))),
                Err(_) => Ok(expire().into_http()),
            }
        })
    }
}

/// The clock of credentials is the wall's; from here on a jump of it doesn't count. None if it is
/// too far away to be of interest.
fn deadline(moment: SystemTime) -> Option<Deadline> {
    let left = moment.duration_since(SystemTime::now());
    Deadline::after(left.unwrap_or_default())
}

fn refuse(on_refusal: &OnRefusal, path: String, refusal: Refusal) -> Status {
    let status = refusal.status();
    on_refusal(&RefusedCall { path, refusal });
    status
}

// Not derived: a derive would ask the verifier for the same traits.

impl<V> Clone for AuthenticationLayer<V> {
    fn clone(&self) -> Self {
        Self {
            verifier: self.verifier.clone(),
            on_refusal: self.on_refusal.clone(),
            timeout: self.timeout,
            open: self.open.clone(),
        }
    }
}

impl<V> fmt::Debug for AuthenticationLayer<V> {
    /// Without the verifier, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticationLayer")
            .field("timeout", &self.timeout)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl<S: Clone, V> Clone for Authentication<S, V> {
    fn clone(&self) -> Self {
        let (inner, layer) = (self.inner.clone(), self.layer.clone());
        Self { inner, layer }
    }
}

impl<S: fmt::Debug, V> fmt::Debug for Authentication<S, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}
