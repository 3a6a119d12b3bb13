//! All that can go wrong, and the one place that decides how much of it a caller learns.

use std::time::Duration;

use conform::status::explain;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::log::Log;

/// An error of the office. Only [`Self::into_status`] makes a `Status` of it.
#[derive(Debug)]
pub enum SignupError {
    /// The form has wrong fields: all of them.
    Form(Vec<FieldViolation>),
    /// The mail server answered with an error.
    Mail(Status),
    /// The database failed, in its own words.
    Database(String),
}

impl SignupError {
    /// What the caller may know. The rest goes to the log.
    ///
    /// Nothing that the caller sent comes back: callers must not choose the size of a status.
    pub fn into_status(self, log: &Log) -> Status {
        match self {
            // The caller's mistake: tell everything.
            Self::Form(violations) => wrong_fields(violations),
            // The mail server knows no such mailbox: that's the caller's mistake, too.
            Self::Mail(status) if status.code() == Code::NotFound => {
                wrong_fields(vec![FieldViolation::new("email", "takes no mail")])
            }
            // Nobody's mistake, and it will pass: say when to try again.
            Self::Mail(status) if status.code() == Code::Unavailable => {
                log.write(format!("mail server: {}", explain(&status)));
                let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(5)));
                Status::with_error_details(Code::Unavailable, "try again later", details)
            }
            // Ours: say nothing but where to find it in the log.
            Self::Mail(status) => incident(log, format!("mail server: {}", explain(&status))),
            Self::Database(what) => incident(log, format!("database: {what}")),
        }
    }
}

fn wrong_fields(violations: Vec<FieldViolation>) -> Status {
    let details = ErrorDetails::with_bad_request(violations);
    Status::with_error_details(Code::InvalidArgument, "fields are wrong", details)
}

fn incident(log: &Log, what: String) -> Status {
    let details = ErrorDetails::with_request_info(log.incident(what), "");
    Status::with_error_details(Code::Internal, "something went wrong here", details)
}

/// The office meets a `Status` only where it calls the mail server.
impl From<Status> for SignupError {
    fn from(status: Status) -> Self {
        Self::Mail(status)
    }
}
