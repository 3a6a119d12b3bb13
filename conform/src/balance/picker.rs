//! What a call is asked and told: which connection, and how it went there.

use std::fmt;

use tonic::codegen::http::HeaderMap;
use tonic::{Code, Status};

use super::Subchannel;

/// Says for each call where it goes.
///
/// A picker is a snapshot: a policy publishes a new one with each change. It is asked by many calls
/// at once and must not block. One that panics ends the call that has asked, with INTERNAL.
pub trait Picker: Send + Sync + 'static {
    /// Where this call goes. Asked again, with a newer picker, after [`Pick::Wait`], and if the
    /// subchannel has lost its connection meanwhile.
    fn pick(&self, call: &Call<'_>) -> Pick;
}

/// A function is a picker too.
impl<F: Fn(&Call<'_>) -> Pick + Send + Sync + 'static> Picker for F {
    fn pick(&self, call: &Call<'_>) -> Pick {
        self(call)
    }
}

/// The call that a picker is asked for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// Its method: `/package.Service/Method`.
    pub path: &'a str,
    /// What the caller sends as metadata.
    pub headers: &'a HeaderMap,
}

impl<'a> Call<'a> {
    /// A call of this method with these headers.
    pub fn new(path: &'a str, headers: &'a HeaderMap) -> Self {
        Self { path, headers }
    }
}

/// A picker's answer.
#[derive(Debug)]
pub enum Pick {
    /// The call goes to this subchannel.
    Use(Picked),
    /// The call waits for the next picker: a connection is being made.
    Wait,
    /// The call ends with this status. One that waits for ready waits for the next picker instead.
    Fail(Status),
    /// The call ends with this status, also one that waits for ready.
    Drop(Status),
}

impl From<Subchannel> for Pick {
    fn from(subchannel: Subchannel) -> Self {
        Self::Use(Picked::new(subchannel))
    }
}

type OnEnd = Box<dyn FnOnce(&CallEnd<'_>) + Send>;

/// A subchannel for one call, and who wants to know how the call ends.
pub struct Picked {
    subchannel: Subchannel,
    on_end: Option<OnEnd>,
}

impl Picked {
    /// The call goes to `subchannel`.
    pub fn new(subchannel: Subchannel) -> Self {
        Self {
            subchannel,
            on_end: None,
        }
    }

    /// Calls `tell` once, when the call has ended: a stream at its end, not at its headers. If the
    /// call never begins, or is dropped, it's told so.
    pub fn on_end(mut self, tell: impl FnOnce(&CallEnd<'_>) + Send + 'static) -> Self {
        self.on_end = Some(Box::new(tell));
        self
    }

    /// Where the call goes.
    pub fn subchannel(&self) -> &Subchannel {
        &self.subchannel
    }

    pub(crate) fn into_parts(self) -> (Subchannel, Option<OnEnd>) {
        (self.subchannel, self.on_end)
    }
}

impl fmt::Debug for Picked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picked")
            .field("subchannel", &self.subchannel)
            .finish_non_exhaustive()
    }
}

/// How a call has ended, seen from the connection that it was made on.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct CallEnd<'a> {
    /// Its status; DEADLINE_EXCEEDED if it was broken off at its deadline; `None` if its caller broke it
    /// off, or it never began.
    pub code: Option<Code>,
    /// The server's trailers, or its headers if there was nothing else.
    pub trailers: Option<&'a HeaderMap>,
}

impl<'a> CallEnd<'a> {
    /// An end with this code and these trailers.
    pub fn new(code: Option<Code>, trailers: Option<&'a HeaderMap>) -> Self {
        Self { code, trailers }
    }
}
