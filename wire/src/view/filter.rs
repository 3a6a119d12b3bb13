//! Shows some methods only.

use std::borrow::Cow;

use crate::decoder::{Call, End, Event, EventKind};
use crate::http2::FrameType;

/// Which methods are shown. By default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only(Vec<(String, String)>);

impl Only {
    /// Adds a method: `Greeter/SayHello`, with or without its package. `Greeter/*` means all of a
    /// service, and `*/SayHello` the method of all services.
    ///
    /// # Errors
    ///
    /// A sentence, if it is neither.
    pub fn add(&mut self, method: &str) -> Result<(), String> {
        let bare = method.strip_prefix('/').unwrap_or(method);
        match bare.split_once('/') {
            Some((service, name)) if !service.is_empty() && !name.is_empty() => {
                self.0.push((service.to_owned(), name.to_owned()));
                Ok(())
            }
            _ => Err(format!(
                "{method} isn't a method; expected Greeter/SayHello"
            )),
        }
    }

    /// What of an event is to be shown, if anything.
    pub fn filter<'a>(&self, event: &'a Event) -> Option<Cow<'a, Event>> {
        if self.0.is_empty() {
            return Some(Cow::Borrowed(event));
        }
        match &event.kind {
            EventKind::Frame(frame) => match &frame.call {
                Some(call) => self.shows(call),
                // It has to do with all calls.
                None => frame.kind == FrameType::GoAway,
            },
            EventKind::Note(_) => true,
            EventKind::Opened | EventKind::HalfClosed(_) | EventKind::Tls(_) => false,
            EventKind::Closed { end, open, .. } => {
                let mut event = event.clone();
                if let EventKind::Closed { open, .. } = &mut event.kind {
                    open.retain(|call| self.shows(call));
                }
                let tells = matches!(end, End::Refused(_) | End::ResetByTap);
                let breaks_off = open.iter().any(|call| self.shows(call));
                return (tells || breaks_off).then_some(Cow::Owned(event));
            }
        }
        .then_some(Cow::Borrowed(event))
    }

    fn shows(&self, call: &Call) -> bool {
        let Some((service, method)) = call.path.trim_start_matches('/').split_once('/') else {
            return false;
        };
        self.0.iter().any(|(wanted_service, wanted_method)| {
            let in_package = service
                .strip_suffix(wanted_service.as_str())
                .is_some_and(|package| package.is_empty() || package.ends_with('.'));
            (wanted_service == "*" || in_package)
                && (wanted_method == "*" || wanted_method == method)
        })
    }
}
