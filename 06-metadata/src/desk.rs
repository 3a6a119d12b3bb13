//! The front desk: who asks, what the answer begins with, and what it costs in the end.

use std::borrow::Cow;

use tonic::metadata::{AsciiMetadataValue, BinaryMetadataValue, MetadataMap};
use tonic::{Extensions, Request, Response, Status};

use crate::binary;
use crate::trailers::Trailers;

/// Who asks for `method`, and with which tags, in one line.
pub fn entry<T>(method: &str, request: &Request<T>) -> String {
    let asked = request.metadata();
    let caller = asked.get("caller").map_or("somebody".into(), text);
    let tags: Vec<_> = asked.get_all("tag").iter().map(text).collect();
    match tags.as_slice() {
        [] => format!("{caller} asked for {method}"),
        tags => format!("{caller} asked for {method}, tags: {}", tags.join(", ")),
    }
}

/// A peer may send bytes that are no ASCII. gRPC forbids to fail for that alone.
fn text(value: &AsciiMetadataValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// The headers of the answer to `request`: who answers, and what the caller said about itself.
///
/// # Errors
///
/// INVALID_ARGUMENT if `trace-bin` cannot be read.
pub fn headers_for<T>(request: &Request<T>) -> Result<MetadataMap, Status> {
    let asked = request.metadata();
    let mut headers = MetadataMap::new();
    headers.insert("served-by", AsciiMetadataValue::from_static("abacus"));
    if let Some(caller) = asked.get("caller") {
        headers.insert("asked-by", caller.clone());
    }
    for tag in asked.get_all("tag") {
        headers.append("tag", tag.clone());
    }
    for trace in binary::values(asked, "trace-bin")? {
        headers.append_bin("trace-bin", BinaryMetadataValue::from_bytes(&trace));
    }
    Ok(headers)
}

/// A reply, or a stream of them, that begins with `headers`.
pub fn answer<T>(headers: MetadataMap, message: T) -> Response<T> {
    Response::from_parts(headers, message, Extensions::new())
}

/// What a call has cost so far, in steps of calculation; the last word is the trailer `cost`.
#[derive(Debug)]
pub struct Bill {
    cost: u64,
    trailers: Trailers,
}

impl Bill {
    /// Opens the bill of the call that `request` began, at nothing.
    pub fn open<T>(request: &Request<T>) -> Self {
        let bill = Self {
            cost: 0,
            trailers: Trailers::of(request),
        };
        bill.write();
        bill
    }

    /// Adds one step.
    pub fn charge(&mut self) {
        self.cost += 1;
        self.write();
    }

    fn write(&self) {
        self.trailers.lock().insert("cost", self.cost.into());
    }
}
