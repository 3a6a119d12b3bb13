//! The head of a call's request, for as many attempts as there are.

use tonic::GrpcMethod;
use tonic::codegen::http::request::Parts;
use tonic::codegen::http::{Extensions, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::IsAttempt;
use crate::deadline::Deadline;
use crate::per_call::PerCall;

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

/// Headers in a vector, which is one allocation where a map has two.
struct Copy {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
    extensions: Extended,
}

impl Copy {
    fn of(head: &Parts) -> Self {
        // The map doesn't tell an iterator's collector how many there are.
        let mut headers = Vec::with_capacity(head.headers.len());
        for (name, value) in &head.headers {
            headers.push((name.clone(), value.clone()));
        }
        Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            headers,
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
    Usual(Usual),
    Other(Extensions),
}

struct Usual {
    method: Option<GrpcMethod<'static>>,
    call: Option<PerCall>,
    deadline: Option<Deadline>,
    mark: Option<IsAttempt>,
}

impl Extended {
    fn of(extensions: &Extensions) -> Self {
        let usual = Usual {
            method: extensions.get().cloned(),
            call: extensions.get().cloned(),
            deadline: extensions.get().copied(),
            mark: extensions.get().copied(),
        };
        match usual.count() < extensions.len() {
            true => Self::Other(extensions.clone()),
            false => Self::Usual(usual),
        }
    }

    fn restored(&self) -> Extensions {
        match self {
            Self::Usual(usual) => usual.restored(),
            Self::Other(extensions) => extensions.clone(),
        }
    }
}

impl Usual {
    fn count(&self) -> usize {
        let are_there = [
            self.method.is_some(),
            self.call.is_some(),
            self.deadline.is_some(),
            self.mark.is_some(),
        ];
        are_there.into_iter().filter(|is_there| *is_there).count()
    }

    fn restored(&self) -> Extensions {
        let mut extensions = Extensions::new();
        insert(&mut extensions, &self.method);
        insert(&mut extensions, &self.call);
        insert(&mut extensions, &self.deadline);
        insert(&mut extensions, &self.mark);
        extensions
    }
}

fn insert<T: Clone + Send + Sync + 'static>(extensions: &mut Extensions, value: &Option<T>) {
    if let Some(value) = value {
        extensions.insert(value.clone());
    }
}
