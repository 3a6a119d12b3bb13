//! Who is a member, and what is for members only: the table of lesson 14.

use conform::method_policy::MethodPolicy;
use tonic::{Request, Status};

/// What a member sends as `authorization`. In lesson 14 it would be a token that ends.
pub const ANN: &str = "Bearer token-of-ann";

/// Somebody whom the server knows.
#[derive(Clone, Copy, Debug)]
pub struct Member;

/// Finds out who calls. Strangers pass: the table says what they may.
///
/// # Errors
///
/// Never.
pub fn identify(mut request: Request<()>) -> Result<Request<()>, Status> {
    let token = request.metadata().get("authorization");
    if token.is_some_and(|token| token == ANN) {
        request.extensions_mut().insert(Member);
    }
    Ok(request)
}

/// Which methods there are, and for whom. What has no row is closed to everyone.
pub fn policy() -> MethodPolicy<Member> {
    MethodPolicy::new()
        .allow_anyone("/calculator.v1.Calculator/SquareRoot")
        .allow_anyone("/calculator.v1.Calculator/Factorize")
        .allow_anyone("/calculator.v1.Calculator/Maximum")
        .allow(V1, |_: &Member| true)
        .allow(V1ALPHA, |_: &Member| true)
}

const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
