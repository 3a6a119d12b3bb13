//! What a person is told, in the language that the person reads. Codes and messages are for programmers.

use tonic::codegen::http::HeaderMap;

use crate::error::SignupError;

/// A language in which the office can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `en`
    English,
    /// `de`
    German,
}

impl Language {
    /// The first language of `accept-language` that the office can speak, or else English; `None` if the
    /// caller does not say that there is somebody to read it.
    ///
    /// The order counts; weights such as `;q=0.8` (RFC 9110, section 12.5.4) are not looked at.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let wishes = headers.get("accept-language")?.to_str().ok()?;
        let mut tags = wishes.split(',').map(|wish| wish.split(['-', ';']).next());
        let spoken = tags.find_map(|tag| match tag?.trim() {
            "en" => Some(Self::English),
            "de" => Some(Self::German),
            _ => None,
        });
        Some(spoken.unwrap_or(Self::English))
    }

    /// The language's tag, as in BCP 47.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// An error in words for a person who does not program.
    pub fn tell(self, error: &SignupError) -> String {
        use SignupError::{Database, Form, Invitation, Mail, Panic, TooManyTries};
        match (self, error) {
            (Self::English, Form(wrong)) => format!("Entries to correct: {}.", wrong.len()),
            (Self::German, Form(wrong)) => format!("Zu berichtigen: {}.", wrong.len()),
            (Self::English, Invitation { .. }) => {
                "Please look at your invitation again.".to_owned()
            }
            (Self::German, Invitation { .. }) => "Bitte die Einladung genau ansehen.".to_owned(),
            (Self::English, TooManyTries { .. }) => "Please wait a moment.".to_owned(),
            (Self::German, TooManyTries { .. }) => "Bitte einen Moment warten.".to_owned(),
            (Self::English, Database(_) | Mail(_) | Panic(_)) => {
                "Something went wrong here. It is not your fault.".to_owned()
            }
            (Self::German, Database(_) | Mail(_) | Panic(_)) => {
                "Bei uns ging etwas schief. Es liegt nicht an Ihnen.".to_owned()
            }
        }
    }
}
