//! A method that nobody listed is refused.
//!
//! # The promise
//!
//! Who may call what stands in one table, by the method's whole path, and what isn't in the table is
//! closed. gRPC's guide [Authentication] leaves the decision to the server; the codes are those of
//! [statuscodes.md]: PERMISSION_DENIED for a caller who is known and may not, UNAUTHENTICATED for one
//! who isn't known.
//!
//! # What tonic 0.14.9 does
//!
//! It has no table. An interceptor of its own doesn't know the method on a server, so it lets a
//! caller in for a whole service or not at all; a method that is added to the proto later is open
//! from the first day, and so is the next service on the same server, reflection for one.
//!
//! # Example
//!
//! ```
//! use conform::method_policy::{MethodPolicy, MethodPolicyLayer};
//! use tonic::body::Body;
//! use tonic::codegen::http::{Request, Response};
//! use tonic::{Code, Status};
//! use tower::{Layer, ServiceExt};
//!
//! /// Somebody that a layer outside of this one has put into the extensions.
//! #[derive(Clone)]
//! struct Caller(&'static str);
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = MethodPolicy::new()
//!     .allow("/greeter.v1.Greeter/Greet", |_: &Caller| true)
//!     .allow("/greeter.v1.Greeter/GreetAll", |caller: &Caller| caller.0 == "ann")
//!     .allow_anyone("/grpc.health.v1.Health/Check");
//! // A method without a row, or a row without a method, is a mistake: a test finds it.
//! let methods = ["/greeter.v1.Greeter/Greet", "/greeter.v1.Greeter/Shout"];
//! assert!(policy.check(methods).is_err());
//!
//! let server = tower::service_fn(|_: Request<Body>| async {
//!     Ok::<_, Status>(Response::new(Body::empty()))
//! });
//! let server = MethodPolicyLayer::new(policy).layer(server);
//! let mut request = Request::new(Body::empty());
//! *request.uri_mut() = "/greeter.v1.Greeter/GreetAll".parse()?;
//! request.extensions_mut().insert(Caller("bob"));
//! let response = server.oneshot(request).await?;
//! let status = Status::from_header_map(response.headers()).ok_or("a status in the headers")?;
//! assert_eq!(status.code(), Code::PermissionDenied);
//! # Ok(())
//! # }
//! ```
//!
//! # Where it stands
//!
//! Below the layer that finds out who calls and leaves them in the request's extensions
//! (`credentials::AuthenticationLayer`, or one of your own), above everything that does work. Every
//! kind of call is refused before its first message is read.
//!
//! # What it doesn't do
//!
//! It sees no message: "only your own account" is for the handler, which finds the caller in the
//! extensions too. Paths are compared byte by byte, as tonic's own router does it.
//!
//! [Authentication]: https://grpc.io/docs/guides/auth/
//! [statuscodes.md]: https://grpc.github.io/grpc/core/md_doc_statuscodes.html

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Extensions, Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tower::Layer;

#[cfg(test)]
mod tests;

/// Which methods there are, and who may call each. `C` is the type of a caller in the request's
/// extensions.
pub struct MethodPolicy<C> {
    rules: BTreeMap<String, Rule<C>>,
}

enum Rule<C> {
    Anyone,
    If(Arc<dyn Fn(&C) -> bool + Send + Sync>),
}

impl<C: Send + Sync + 'static> MethodPolicy<C> {
    /// A table without a row: everything is refused.
    pub fn new() -> Self {
        let rules = BTreeMap::new();
        Self { rules }
    }

    /// Lets callers call the method at `path`, `/package.Service/Method`, if `may` says so. The
    /// slash at the beginning may be missing, as in the names that `metrics` has for methods.
    ///
    /// Whoever has no caller of type `C` in the extensions is refused without being asked about. A
    /// second row for the same path takes the place of the first.
    pub fn allow(
        mut self,
        path: impl Into<String>,
        may: impl Fn(&C) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.rules
            .insert(whole(path.into()), Rule::If(Arc::new(may)));
        self
    }

    /// Lets everybody call the method at `path`, also those whom nobody knows.
    ///
    /// A layer that finds out who calls, outside of this one, has to let them pass too:
    /// `credentials::AuthenticationLayer` does by `except`.
    pub fn allow_anyone(mut self, path: impl Into<String>) -> Self {
        self.rules.insert(whole(path.into()), Rule::Anyone);
        self
    }

    /// Whether the table has a row for each of `methods`, paths as in [`allow`](Self::allow), and no
    /// row besides.
    ///
    /// For a test that walks through the descriptor of all services of a server, with
    /// `metrics::methods_in` for instance.
    ///
    /// # Errors
    ///
    /// The methods without a row, and the rows without a method.
    pub fn check<M: Into<String>>(
        &self,
        methods: impl IntoIterator<Item = M>,
    ) -> Result<(), Incomplete> {
        let methods: BTreeSet<String> = methods
            .into_iter()
            .map(|method| whole(method.into()))
            .collect();
        let rows: BTreeSet<String> = self.rules.keys().cloned().collect();
        let incomplete = Incomplete {
            without_row: methods.difference(&rows).cloned().collect(),
            without_method: rows.difference(&methods).cloned().collect(),
        };
        if incomplete.without_row.is_empty() && incomplete.without_method.is_empty() {
            Ok(())
        } else {
            Err(incomplete)
        }
    }

    /// Why a call is refused; the same words whether the method exists or not.
    fn refusal(&self, path: &str, extensions: &Extensions) -> Option<Status> {
        let rule = self.rules.get(path);
        if matches!(rule, Some(Rule::Anyone)) {
            return None;
        }
        let Some(caller) = extensions.get::<C>() else {
            return Some(Status::unauthenticated("nobody knows who is calling"));
        };
        match rule {
            Some(Rule::If(may)) if may(caller) => None,
            _ => Some(Status::permission_denied("you may not call this method")),
        }
    }
}

/// The path of a method that may be written without the first slash.
fn whole(path: String) -> String {
    if path.starts_with('/') {
        path
    } else {
        format!("/{path}")
    }
}

impl<C: Send + Sync + 'static> Default for MethodPolicy<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for MethodPolicy<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.rules.keys()).finish()
    }
}

/// What [`MethodPolicy::check`] has found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incomplete {
    /// Methods that the table doesn't know. They are refused.
    pub without_row: Vec<String>,
    /// Rows for which there is no method: a wrong letter, or a method that is gone.
    pub without_method: Vec<String>,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            without_row,
            without_method,
        } = self;
        write!(
            f,
            "methods without a row: {without_row:?}; rows without a method: {without_method:?}"
        )
    }
}

impl Error for Incomplete {}

/// Holds every call to a [`MethodPolicy`]. See the [module](self).
pub struct MethodPolicyLayer<C> {
    policy: Arc<MethodPolicy<C>>,
}

impl<C> MethodPolicyLayer<C> {
    /// A layer that refuses what `policy` doesn't allow.
    pub fn new(policy: MethodPolicy<C>) -> Self {
        let policy = Arc::new(policy);
        Self { policy }
    }
}

impl<S, C> Layer<S> for MethodPolicyLayer<C> {
    type Service = MethodPolicyService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let policy = self.policy.clone();
        MethodPolicyService { inner, policy }
    }
}

/// Services behind a [`MethodPolicy`].
pub struct MethodPolicyService<S, C> {
    inner: S,
    policy: Arc<MethodPolicy<C>>,
}

inner_service!(MethodPolicyService<S, C>);

impl<S, C, B> Service<Request<Body>> for MethodPolicyService<S, C>
where
    S: Service<Request<Body>, Response = Response<B>>,
    C: Send + Sync + 'static,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = MethodPolicyFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let refusal = self
            .policy
            .refusal(request.uri().path(), request.extensions());
        let state = match refusal {
            Some(status) => State::Refused {
                status: Some(status),
            },
            None => State::Allowed {
                response: self.inner.call(request),
            },
        };
        MethodPolicyFuture { state }
    }
}

pin_project! {
    /// The response of a [`MethodPolicyService`].
    pub struct MethodPolicyFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Allowed { #[pin] response: F },
        Refused { status: Option<Status> },
    }
}

impl<F, B, E> Future for MethodPolicyFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Allowed { response } => {
                let response = ready!(response.poll(cx))?;
                Poll::Ready(Ok(response.map(Body::new)))
            }
            StateProj::Refused { status } => match status.take() {
                Some(status) => Poll::Ready(Ok(status.into_http())),
                None => Poll::Pending,
            },
        }
    }
}

// Not derived: a derive would ask for a caller with the same traits.

impl<C> Clone for MethodPolicyLayer<C> {
    fn clone(&self) -> Self {
        let policy = self.policy.clone();
        Self { policy }
    }
}

impl<C> fmt::Debug for MethodPolicyLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MethodPolicyLayer")
            .field(&self.policy)
            .finish()
    }
}

impl<S: Clone, C> Clone for MethodPolicyService<S, C> {
    fn clone(&self) -> Self {
        let (inner, policy) = (self.inner.clone(), self.policy.clone());
        Self { inner, policy }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for MethodPolicyService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodPolicyService")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish()
    }
}
