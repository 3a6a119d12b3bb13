//! How often an address may send an invitation that is none, before it has to wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::SignupError;

/// The words on the real invitation.
pub const INVITATION: &str = "open sesame";

/// How many wrong invitations an address may send without a pause.
pub const LIMIT: u32 = 2;

/// How long a wrong invitation counts, and no further one is looked at once there are too many.
pub const PAUSE: Duration = Duration::from_secs(2);

/// The wrong invitations of the last moments: for an address how many, and until when they count.
#[derive(Debug, Default)]
pub struct Tries(Mutex<HashMap<String, (u32, Instant)>>);

impl Tries {
    /// Looks at an invitation.
    ///
    /// # Errors
    ///
    /// [`SignupError::Invitation`] if it is none, [`SignupError::TooManyTries`] if it is not looked at.
    pub fn check(&self, email: &str, invitation: &str) -> Result<(), SignupError> {
        let now = Instant::now();
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Forget in time: whoever sends a new address each time must not fill the memory.
        tries.retain(|_, (_, until)| *until > now);
        let wrong = match tries.get(email) {
            Some((LIMIT.., until)) => {
                let wait = *until - now;
                return Err(SignupError::TooManyTries { wait });
            }
            Some((wrong, _)) => wrong + 1,
            None => 1,
        };
        if invitation == INVITATION {
            tries.remove(email);
            return Ok(());
        }
        tries.insert(email.to_owned(), (wrong, now + PAUSE));
        let left = LIMIT - wrong;
        Err(SignupError::Invitation { left })
    }
}
