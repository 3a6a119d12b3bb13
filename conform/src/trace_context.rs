//! One trace through many servers: a call carries the name of what it is part of.
//!
//! # The promise
//!
//! A call that makes calls of its own passes on the trace that it is part of, so that what
//! different servers write down can be put together. gRFC [A72] leaves the form to OpenTelemetry's
//! propagators; the one that everything understands is W3C's [Trace Context], the header
//! `traceparent`:
//!
//! ```text
//! traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!              │  trace id                         span id          └ sampled
//!              └ version
//! ```
//!
//! # What tonic 0.14.9 does
//!
//! Nothing: a handler's calls begin without metadata.
//!
//! # Example
//!
//! ```
//! use conform::trace_context::TraceContext;
//! use tonic::Request;
//!
//! # let mut request = Request::new(());
//! # let begun = TraceContext::new();
//! # begun.pass_on(&mut request);
//! // In a handler:
//! let trace = TraceContext::of(&request);
//! println!("in trace {}", trace.trace_id());
//!
//! let mut onward = Request::new("to the next server");
//! trace.pass_on(&mut onward);
//! assert_eq!(TraceContext::of(&onward).trace_id(), trace.trace_id());
//! # assert_eq!(begun.trace_id(), trace.trace_id());
//! ```
//!
//! # What it keeps, and what it doesn't do
//!
//! * A header that breaks the rules, or stands there twice, begins a new trace, as the
//!   specification asks. A header of a later version is read as far as this one goes.
//! * `tracestate`, where other systems keep what is theirs, is passed on up to the 512 characters
//!   that have to be (section 3.3.1.5), and else left out.
//! * It names spans, and records none: no exporter is needed. `opentelemetry-http`'s propagators
//!   read and write the same headers.
//! * A caller may send any trace id: don't take it for a proof of who calls.
//!
//! [A72]: https://github.com/grpc/proposal/blob/master/A72-open-telemetry-tracing.md
//! [Trace Context]: https://www.w3.org/TR/trace-context/

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use tonic::Request;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

#[cfg(test)]
mod tests;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// How much of `tracestate` has to be passed on: section 3.3.1.5.
const MAX_STATE: usize = 512;

/// What a call is part of. Its [`Display`](fmt::Display) is the header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
    state: Option<AsciiMetadataValue>,
}

impl TraceContext {
    /// Begins a trace, by drawing its names. Nobody keeps it unless [`sampled`](Self::sampled).
    pub fn new() -> Self {
        Self {
            trace: u128::from(random()) << 64 | u128::from(random()),
            span: random(),
            sampled: false,
            state: None,
        }
    }

    /// Goes on in the trace of `request`, with a span of one's own; or begins a new one.
    pub fn of<T>(request: &Request<T>) -> Self {
        let metadata = request.metadata();
        match parent(metadata) {
            Some(parent) => Self {
                span: random(),
                state: state(metadata),
                ..parent
            },
            None => Self::new(),
        }
    }

    /// Makes `request` part of this trace.
    pub fn pass_on<T>(&self, request: &mut Request<T>) {
        let metadata = request.metadata_mut();
        // Hexadecimal digits and hyphens: always valid.
        if let Ok(header) = self.to_string().parse() {
            metadata.insert(PARENT, header);
        }
        match &self.state {
            Some(state) => metadata.insert(STATE, state.clone()),
            None => metadata.remove(STATE),
        };
    }

    /// Reads a `traceparent` header; `None` if it breaks the rules of section 3.2.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let lower = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let part = part.bytes().all(lower).then_some(part)?;
            u128::from_str_radix(part, 16).ok()
        };
        let (version, trace, span, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // A later version may go on after the flags. This one may not.
        let ends_well = version != 0 || parts.next().is_none();
        let valid = ends_well && version != 0xff && trace != 0 && span != 0;
        valid.then_some(Self {
            trace,
            span: u64::try_from(span).ok()?,
            sampled: flags & 1 == 1,
            state: None,
        })
    }

    /// The same context, with or without the wish that servers keep what they do in it.
    pub fn sampled(self, sampled: bool) -> Self {
        Self { sampled, ..self }
    }

    /// Whether the one who began the trace keeps it.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The trace, in 32 hexadecimal digits: the same in all servers that it passes through.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// What is done in this place of the trace, in 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (self.trace_id(), self.span_id());
        write!(f, "00-{trace}-{span}-{:02x}", u8::from(self.sampled))
    }
}

fn parent(metadata: &MetadataMap) -> Option<TraceContext> {
    let mut headers = metadata.get_all(PARENT).iter();
    let (first, second) = (headers.next()?, headers.next());
    second
        .is_none()
        .then(|| TraceContext::parse(first.to_str().ok()?))?
}

/// Several headers are one list: RFC 9110, section 5.3.
fn state(metadata: &MetadataMap) -> Option<AsciiMetadataValue> {
    let mut joined = String::new();
    for value in metadata.get_all(STATE) {
        let value = value.to_str().ok()?;
        let comma = if joined.is_empty() { "" } else { "," };
        if joined.len() + comma.len() + value.len() > MAX_STATE {
            return None;
        }
        joined.extend([comma, value]);
    }
    let state = joined.parse().ok();
    state.filter(|_| !joined.is_empty())
}

/// The standard library draws the secret of its hash maps from the operating system, and changes
/// it for each. Never 0, which would be no name.
fn random() -> u64 {
    RandomState::new().hash_one(0).max(1)
}
