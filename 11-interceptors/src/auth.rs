//! Who calls, and may they: an interceptor for what the metadata says, an async layer for the rest.

use std::future::ready;

use tokio::task::yield_now;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, http};
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::method;

/// The client's interceptor: adds a token to each call of a stub.
#[derive(Debug, Clone, Copy)]
pub struct SignIn(
    /// The token.
    pub &'static str,
);

impl Interceptor for SignIn {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = AsciiMetadataValue::try_from(format!("Bearer {}", self.0))
            .map_err(|_| Status::invalid_argument("this is no token"))?;
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// A token, in the extensions of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(pub String);

/// The server's interceptor: finds the token, and leaves it in the extensions for whoever comes next.
///
/// More it cannot do. It does not see which method is called, and it cannot wait for an answer.
///
/// # Errors
///
/// UNAUTHENTICATED if there is none.
pub fn identify(mut request: Request<()>) -> Result<Request<()>, Status> {
    let value = request.metadata().get("authorization");
    let token = value
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or_else(|| Status::unauthenticated("this call has no token"))?;
    let token = Token(token.to_owned());
    request.extensions_mut().insert(token);
    Ok(request)
}

/// Someone with a token, in the extensions of a request that has been let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name.
    pub name: &'static str,
    /// The methods that the caller may call.
    pub may: &'static [&'static str],
}

/// Whose token this is. A stub: a real directory is another server, whose answer takes a while.
pub async fn directory(token: Token) -> Option<Caller> {
    yield_now().await;
    match token.0.as_str() {
        "token-of-ann" => Some(Caller {
            name: "Ann",
            may: &["SquareRoot", "Divide", "Maximum"],
        }),
        "token-of-bob" => Some(Caller {
            name: "Bob",
            may: &["SquareRoot"],
        }),
        _ => None,
    }
}

/// Asks `directory` about the token that [`identify`] found, and lets in whoever may call the method. To be
/// given to tower-http's `AsyncRequireAuthorizationLayer`.
///
/// The others get UNAUTHENTICATED if the token is nobody's, PERMISSION_DENIED if it is of no use here.
pub fn ask<D, A>(
    directory: D,
) -> impl FnMut(http::Request<Body>) -> BoxFuture<http::Request<Body>, http::Response<Body>> + Clone
where
    D: FnMut(Token) -> A + Clone,
    A: Future<Output = Option<Caller>> + Send + 'static,
{
    let mut directory = directory;
    move |mut request| {
        let Some(token) = request.extensions().get::<Token>() else {
            return Box::pin(ready(Err(stranger())));
        };
        let answer = directory(token.clone());
        Box::pin(async move {
            let caller = answer.await.ok_or_else(stranger)?;
            let method = method(request.uri().path());
            if !caller.may.contains(&method) {
                let refusal = format!("{} may not call {method}", caller.name);
                return Err(Status::permission_denied(refusal).into_http());
            }
            request.extensions_mut().insert(caller);
            Ok(request)
        })
    }
}

fn stranger() -> http::Response<Body> {
    Status::unauthenticated("nobody has this token").into_http()
}
