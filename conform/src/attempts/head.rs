//! The head of a call's request, for as many attempts as there are.

use tonic::GrpcMethod;
use tonic::codegen::http::request::Parts;
use tonic::codegen::http::{Extensions, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::IsAttempt;
use crate::deadline::Deadline;

/// What attempts begin with. The first one gets what the caller gave, later ones a copy of it: most
/// calls have one attempt, so a copy has to be cheap to keep rather than to use.
pub(super) struct Head {
    first: Option<Parts>,
    copy: Option<Copy>,
}

impl Head {
    pub(super) fn new(first: Parts) -> Self {
        let first = Some(first);
        Self { first, copy: None }
    }

    /// The caller's own, as long as there was no attempt.
    #[cfg(feature = "hedging")]
    pub(super) fn first(&mut self) -> Option<&mut Parts> {
        self.first.as_mut()
    }

    /// For the next attempt. After the last one nothing is kept.
    pub(super) fn next(&mut self, is_last: bool) -> Option<Parts> {
        let Some(head) = self.first.take() else {
            return self.copy.as_ref().map(Copy::restored);
        };
        self.copy = (!is_last).then(|| Copy::of(&head));
        Some(head)
    }
}

/// Headers in a slice, which is one allocation where a map has two.
struct Copy {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Box<[(HeaderName, HeaderValue)]>,
    extensions: Extended,
}

impl Copy {
    fn of(head: &Parts) -> Self {
        let headers = head.headers.iter();
        Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            headers: headers
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            extensions: Extended::of(&head.extensions),
        }
    }

    fn restored(&self) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = self.method.clone();
        head.uri = self.uri.clone();
        head.version = self.version;
        // Appended: a name may be there more than once.
        for (name, value) in &self.headers {
            head.headers.append(name, value.clone());
        }
        head.extensions = self.extensions.restored();
        head
    }
}

/// A request's extensions. A map of them costs two allocations and one for each value, so those that
/// most calls have stand here by themselves.
enum Extended {
    Usual {
        method: Option<GrpcMethod<'static>>,
        deadline: Option<Deadline>,
        mark: Option<IsAttempt>,
    },
    Other(Extensions),
}

impl Extended {
    fn of(extensions: &Extensions) -> Self {
        let method = extensions.get::<GrpcMethod<'static>>().cloned();
        let deadline = extensions.get::<Deadline>().copied();
        let mark = extensions.get::<IsAttempt>().copied();
        let usual = [method.is_some(), deadline.is_some(), mark.is_some()];
        if usual.into_iter().filter(|is_there| *is_there).count() < extensions.len() {
            return Self::Other(extensions.clone());
        }
        Self::Usual {
            method,
            deadline,
            mark,
        }
    }

    fn restored(&self) -> Extensions {
        let (method, deadline, mark) = match self {
            Self::Other(extensions) => return extensions.clone(),
            Self::Usual {
                method,
                deadline,
                mark,
            } => (method, deadline, mark),
        };
        let mut extensions = Extensions::new();
        method.clone().map(|method| extensions.insert(method));
        deadline.map(|deadline| extensions.insert(deadline));
        mark.map(|mark| extensions.insert(mark));
        extensions
    }
}
