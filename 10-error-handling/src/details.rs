//! Reads the details of a status one by one, so that one which makes no sense does not cost the others.

use std::time::Duration;

use prost::Message;
use tonic::Status;
use tonic_types::{ErrorDetail, RetryInfo, RpcStatusExt, pb};

/// The longest that a client waits because a server says so.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// One detail of a status.
#[derive(Debug, Clone)]
pub enum Detail {
    /// One of the standard types, `google.rpc.*`.
    Known(ErrorDetail),
    /// One of another type, by its URL. A newer server may send it, and it is no error.
    Unknown(String),
    /// One that cannot be used, and why.
    Useless(String),
}

/// The details of `status`. Whatever the server has sent, this does not fail.
pub fn read(status: &Status) -> Vec<Detail> {
    if status.details().is_empty() {
        return Vec::new();
    }
    let Ok(inner) = pb::Status::decode(status.details()) else {
        return vec![Detail::Useless("no google.rpc.Status".to_owned())];
    };
    // PROTOCOL-HTTP2, section "Responses": Status-Details must not contradict the status, and the consumer
    // must verify it.
    if inner.code != i32::from(status.code()) {
        return vec![Detail::Useless("details of another error".to_owned())];
    }
    let details = inner.details.into_iter().map(|detail| {
        let url = detail.type_url.clone();
        if url == RetryInfo::TYPE_URL && !is_delay(&detail.value) {
            return Detail::Useless(url);
        }
        // A status with this detail alone.
        let alone = pb::Status {
            details: vec![detail],
            ..pb::Status::default()
        };
        match alone.check_error_details_vec().map(|mut known| known.pop()) {
            Ok(Some(known)) => Detail::Known(known),
            Ok(None) => Detail::Unknown(url),
            Err(_) => Detail::Useless(url),
        }
    });
    details.collect()
}

/// Whether the bytes of a `RetryInfo` hold no negative time. prost-types negates it, and the smallest
/// number of seconds cannot be negated: a build with overflow checks panics.
fn is_delay(bytes: &[u8]) -> bool {
    pb::RetryInfo::decode(bytes).is_ok_and(|info| {
        let delay = info.retry_delay.unwrap_or_default();
        delay.seconds >= 0 && delay.nanos >= 0
    })
}

/// How long to wait before the next try, if the server says so: at most [`LONGEST_WAIT`].
pub fn wait(details: &[Detail]) -> Option<Duration> {
    details.iter().find_map(|detail| match detail {
        Detail::Known(ErrorDetail::RetryInfo(info)) => Some(info.retry_delay?.min(LONGEST_WAIT)),
        _ => None,
    })
}

impl Detail {
    /// The detail in words, a line for each thing that it says.
    pub fn lines(&self) -> Vec<String> {
        let known = match self {
            Self::Known(known) => known,
            Self::Unknown(url) => return vec![format!("unknown here: {url}")],
            Self::Useless(what) => return vec![format!("cannot be used: {what}")],
        };
        match known {
            ErrorDetail::BadRequest(bad) => {
                let violations = bad.field_violations.iter();
                let line = violations.map(|wrong| format!("{} {}", wrong.field, wrong.description));
                line.collect()
            }
            ErrorDetail::ErrorInfo(info) => {
                let mut more: Vec<_> = info.metadata.iter().collect();
                more.sort();
                let more = more.iter().map(|(key, value)| format!(", {key}: {value}"));
                let more: String = more.collect();
                vec![format!("reason: {} of {}{more}", info.reason, info.domain)]
            }
            ErrorDetail::QuotaFailure(quota) => {
                let violations = quota.violations.iter();
                let line = violations
                    .map(|over| format!("limit of {}: {}", over.subject, over.description));
                line.collect()
            }
            ErrorDetail::RetryInfo(info) => {
                let delay = info.retry_delay.unwrap_or_default();
                vec![format!("try again in {:.0} s", delay.as_secs_f64().ceil())]
            }
            ErrorDetail::RequestInfo(info) => vec![format!("ask for: {}", info.request_id)],
            ErrorDetail::LocalizedMessage(text) => {
                vec![format!("for people ({}): {}", text.locale, text.message)]
            }
            ErrorDetail::Help(help) => {
                let links = help.links.iter();
                let line = links.map(|link| format!("help: {}, {}", link.description, link.url));
                line.collect()
            }
            _ => vec!["a standard detail that this client has no words for".to_owned()],
        }
    }
}
