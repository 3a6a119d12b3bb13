//! For tools on a terminal: what is typed, and what is printed.

use std::error::Error;
use std::iter;

use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::status::escape;

/// Adds `name: value` to `metadata`. The value of a name that ends in `-bin` is base64.
///
/// # Errors
///
/// INVALID_ARGUMENT if it has another form, or a name that gRPC keeps for itself.
pub fn add_metadata(metadata: &mut MetadataMap, line: &str) -> Result<(), Status> {
    let pair = line.split_once(':').and_then(|(name, value)| {
        let name = HeaderName::try_from(name.trim()).ok()?;
        Some((name, HeaderValue::try_from(value.trim()).ok()?))
    });
    let (name, value) = pair.ok_or_else(|| {
        Status::invalid_argument(format!("metadata has the form `name: value`, not `{line}`"))
    })?;
    let mut headers = std::mem::take(metadata).into_headers();
    headers.append(name, value);
    *metadata = MetadataMap::from_headers(headers);
    let mut request = Request::new(());
    *request.metadata_mut() = metadata.clone();
    crate::metadata::check_request(&request)
}

/// `name: value` of everything in `metadata`, sorted by name, safe for a terminal.
pub fn metadata_lines(metadata: &MetadataMap) -> Vec<String> {
    let headers: &HeaderMap = metadata.as_ref();
    let mut pairs: Vec<_> = headers.iter().collect();
    pairs.sort_by_key(|(name, _)| name.as_str());
    let lines = pairs.into_iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        format!("{name}: {}", escape(&value))
    });
    lines.collect()
}

/// The method of `types` that is called `package.Service/Method`.
pub fn method_of(types: &DescriptorPool, name: &str) -> Option<MethodDescriptor> {
    let (service, method) = name.split_once('/')?;
    let service = types.get_service_by_name(service)?;
    service.methods().find(|it| it.name() == method)
}

/// `SquareRoot(Number) returns (Number)`: what stands behind `rpc`, with names cut short.
pub fn signature(method: &MethodDescriptor) -> String {
    let stream = |streams| if streams { "stream " } else { "" };
    format!(
        "{}({}{}) returns ({}{})",
        method.name(),
        stream(method.is_client_streaming()),
        method.input().name(),
        stream(method.is_server_streaming()),
        method.output().name(),
    )
}

/// The status that `error` is, or that has caused it.
pub fn status_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Status> {
    let mut causes = iter::successors(Some(error), |&error| error.source());
    causes.find_map(|error| error.downcast_ref())
}
