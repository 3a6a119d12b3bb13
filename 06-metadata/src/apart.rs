//! Keeps headers and trailers of a response apart, which tonic's client merges for a single reply.

use std::sync::{Arc, OnceLock};

use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::metadata::MetadataMap;

/// Both kinds of metadata of one response, in its extensions.
#[derive(Clone, Debug)]
pub struct Apart {
    headers: MetadataMap,
    trailers: Arc<OnceLock<MetadataMap>>,
}

impl Apart {
    /// What the server said before the first message.
    pub fn headers(&self) -> &MetadataMap {
        &self.headers
    }

    /// What the server said after the last message. Empty until the answer has been read to its end.
    pub fn trailers(&self) -> MetadataMap {
        self.trailers.get().cloned().unwrap_or_default()
    }
}

/// Puts an [`Apart`] into the extensions of `response`. To be mapped over a channel, below the stub.
pub fn keep(response: http::Response<Body>) -> http::Response<Body> {
    let (mut head, body) = response.into_parts();
    let trailers = Arc::new(OnceLock::new());
    head.extensions.insert(Apart {
        headers: MetadataMap::from_headers(head.headers.clone()),
        trailers: trailers.clone(),
    });
    let body = body.map_frame(move |frame| {
        if let Some(found) = frame.trailers_ref() {
            trailers.get_or_init(|| MetadataMap::from_headers(found.clone()));
        }
        frame
    });
    http::Response::from_parts(head, Body::new(body))
}
