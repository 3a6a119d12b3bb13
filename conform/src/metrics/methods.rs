//! What a method is called in the metrics: by its name, if it is known, and `other` if not.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use opentelemetry::KeyValue;
use tonic::codegen::http::Request;

use super::OTHER;

/// Whether a method that isn't registered goes by its name all the same.
type Filter = Arc<dyn Fn(&str) -> bool + Send + Sync>;

#[derive(Clone)]
pub(super) struct Methods {
    registered: Arc<HashMap<String, KeyValue>>,
    other: KeyValue,
    generic: Option<Filter>,
}

impl Methods {
    pub(super) fn new() -> Self {
        Self {
            registered: Arc::default(),
            other: KeyValue::new(KEY, OTHER),
            generic: None,
        }
    }

    pub(super) fn register(&mut self, name: String) {
        let name = name.strip_prefix('/').map(str::to_owned).unwrap_or(name);
        // Shared text: a clone for each call costs no allocation.
        let attribute = KeyValue::new(KEY, Arc::<str>::from(&*name));
        Arc::make_mut(&mut self.registered).insert(name, attribute);
    }

    pub(super) fn record_generic(&mut self, filter: Filter) {
        self.generic = Some(filter);
    }

    /// For a server: the methods that were registered.
    pub(super) fn of_server<B>(&self, request: &Request<B>) -> KeyValue {
        let name = name(request);
        match self.registered.get(name) {
            Some(attribute) => attribute.clone(),
            None => self.generic(name),
        }
    }

    /// For a client: the methods that a generated stub calls. Those are known when it's compiled.
    pub(super) fn of_client<B>(&self, request: &Request<B>) -> KeyValue {
        match request.extensions().get::<tonic::GrpcMethod<'static>>() {
            Some(_) => KeyValue::new(KEY, name(request).to_owned()),
            None => self.generic(name(request)),
        }
    }

    fn generic(&self, name: &str) -> KeyValue {
        match &self.generic {
            Some(record) if record(name) => KeyValue::new(KEY, name.to_owned()),
            _ => self.other.clone(),
        }
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.registered.keys().collect();
        names.sort();
        f.debug_set().entries(names).finish()
    }
}

const KEY: &str = "grpc.method";

/// A66 writes methods without the slash that begins the path.
fn name<B>(request: &Request<B>) -> &str {
    let path = request.uri().path();
    path.strip_prefix('/').unwrap_or(path)
}
