//! All that can go wrong, and the one place that decides how much of it a caller learns.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::journal::Journal;
use crate::language::Language;
use crate::store::DatabaseError;
use crate::tries;

/// Whose reasons they are, in an `ErrorInfo`: with the reason they make a name that programs can rely on.
pub const DOMAIN: &str = "club.example";

/// How many wrong fields are listed at most. A status travels in headers, and clients limit those: to
/// 8 KiB, as PROTOCOL-HTTP2 suggests in section "Responses", or to 16 KiB, as tonic does.
pub const LISTED_AT_MOST: usize = 20;

/// How long to wait for a mail server that is not there.
const LATER: Duration = Duration::from_secs(5);

/// An error of the office. There is no `From<SignupError> for Status`: a `?` cannot turn the one into the
/// other without the journal's knowledge.
#[derive(Debug)]
pub enum SignupError {
    /// The form has wrong fields. This is all of them.
    Form(Vec<FieldViolation>),
    /// The invitation is none. So many tries are left.
    Invitation {
        /// How many, before the address has to wait.
        left: u32,
    },
    /// Too many invitations that are none.
    TooManyTries {
        /// How long no further one is looked at.
        wait: Duration,
    },
    /// The database failed.
    Database(DatabaseError),
    /// The mail server answered with an error.
    Mail(Status),
    /// The office's own code broke off, with this message.
    Panic(String),
}

impl SignupError {
    /// What the caller may know; for people too, if the caller says what they read. The rest goes to the
    /// journal.
    ///
    /// Nothing of the request comes back: the size of a status is not for callers to choose.
    pub fn into_status(self, language: Option<Language>, journal: &Journal) -> Status {
        let for_people = language.map(|language| (language.tag(), language.tell(&self)));
        let (code, message, mut details): (_, Cow<'static, str>, _) = match self {
            Self::Form(mut violations) => {
                let wrong = violations.len();
                violations.truncate(LISTED_AT_MOST);
                let message = match wrong - violations.len() {
                    0 => format!("wrong fields: {wrong}"),
                    more => format!("wrong fields: {}, and {more} more", violations.len()),
                };
                let mut details = ErrorDetails::with_bad_request(violations);
                details.add_help_link("How to fill in the form", "https://club.example/form");
                (Code::InvalidArgument, message.into(), details)
            }
            Self::Invitation { left } => {
                let left = [("tries_left".to_owned(), left.to_string())];
                let details = ErrorDetails::with_error_info("WRONG_INVITATION", DOMAIN, left);
                (
                    Code::PermissionDenied,
                    "this is no invitation".into(),
                    details,
                )
            }
            Self::TooManyTries { wait } => {
                let limit = format!("{} wrong ones, then a pause", tries::LIMIT);
                let mut details = ErrorDetails::with_quota_failure_violation("invitations", limit);
                details.set_retry_info(Some(wait));
                (
                    Code::ResourceExhausted,
                    "too many wrong invitations".into(),
                    details,
                )
            }
            // The only code of the mail server that means the same to our caller: try again later.
            Self::Mail(ref status) if status.code() == Code::Unavailable => {
                journal.note(&self);
                let details = ErrorDetails::with_retry_info(Some(LATER));
                (Code::Unavailable, "try again later".into(), details)
            }
            Self::Database(_) | Self::Mail(_) | Self::Panic(_) => {
                let incident = journal.incident(&self);
                let details = ErrorDetails::with_request_info(incident, "");
                (Code::Internal, "something went wrong here".into(), details)
            }
        };
        if let Some((tag, text)) = for_people {
            details.set_localized_message(tag, text);
        }
        Status::with_error_details(code, message, details)
    }
}

/// For the journal: with everything that is known.
impl fmt::Display for SignupError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(violations) => write!(formatter, "{} wrong fields", violations.len()),
            Self::Invitation { left } => write!(formatter, "no invitation, {left} tries left"),
            Self::TooManyTries { wait } => write!(formatter, "too many tries, {wait:?} to wait"),
            Self::Database(error) => write!(formatter, "database: {error}"),
            Self::Mail(status) => {
                let (code, message) = (status.code(), status.message());
                write!(formatter, "mail server: {code:?}: {message}")
            }
            Self::Panic(message) => write!(formatter, "panic: {message}"),
        }
    }
}

impl std::error::Error for SignupError {}

impl From<DatabaseError> for SignupError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// The office meets a `Status` only where it calls the mail server.
impl From<Status> for SignupError {
    fn from(status: Status) -> Self {
        Self::Mail(status)
    }
}
