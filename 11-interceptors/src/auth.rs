//! Who calls, and may they? An interceptor reads the metadata, an async layer does the rest.

use tokio::task::yield_now;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// The client's interceptor: adds a token to each request of a stub.
#[derive(Clone, Copy, Debug)]
pub struct SignIn(
    /// The token.
    pub &'static str,
);

impl Interceptor for SignIn {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if self.0.is_empty() {
            return Err(Status::unauthenticated("sign in first"));
        }
        let token = AsciiMetadataValue::try_from(format!("Bearer {}", self.0))
            .map_err(|_| Status::invalid_argument("a token has printable ASCII characters"))?;
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    }
}

/// A token, in the extensions of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(pub String);

/// The server's interceptor: finds the token, and leaves it in the extensions for the next layer.
///
/// # Errors
///
/// UNAUTHENTICATED if there is no token.
pub fn identify(mut request: Request<()>) -> Result<Request<()>, Status> {
    let value = request.metadata().get("authorization");
    let token = value
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or_else(|| Status::unauthenticated("this call has no token"))?;
    let token = Token(token.to_owned());
    request.extensions_mut().insert(token);
    Ok(request)
}

/// Lets in whoever may call the method, for `AsyncRequireAuthorizationLayer`. The handler finds the
/// [`Caller`] in the extensions.
///
/// # Errors
///
/// The response to those who stay outside: the handler never hears of them.
pub async fn authorize(
    mut request: http::Request<Body>,
) -> Result<http::Request<Body>, http::Response<Body>> {
    let token = request.extensions().get::<Token>().cloned();
    let Some(caller) = directory(token).await else {
        return Err(Status::unauthenticated("nobody has this token").into_http());
    };
    // The whole path: another service may have a method of the same name.
    if !caller.may.contains(&request.uri().path()) {
        return Err(Status::permission_denied("you may not call this method").into_http());
    }
    request.extensions_mut().insert(caller);
    Ok(request)
}

/// Someone with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name.
    pub name: &'static str,
    /// The methods that the caller may call.
    pub may: &'static [&'static str],
}

/// Whose token this is. A real directory is another server, so its answer takes a while.
async fn directory(token: Option<Token>) -> Option<Caller> {
    yield_now().await;
    let (name, may) = match token?.0.as_str() {
        "token-of-ann" => ("Ann", &[SQUARE_ROOT, MAXIMUM][..]),
        "token-of-bob" => ("Bob", &[SQUARE_ROOT][..]),
        _ => return None,
    };
    Some(Caller { name, may })
}

const SQUARE_ROOT: &str = "/calculator.v1.Calculator/SquareRoot";
const MAXIMUM: &str = "/calculator.v1.Calculator/Maximum";
