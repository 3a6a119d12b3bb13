//! `retryPolicy` of a service config.

use std::sync::Arc;
use std::time::Duration;

use tonic::Code;

use crate::attempts::{Codes, InvalidPolicy, MOST_ATTEMPTS, Policy};
use crate::per_call::PerCall;

impl Policy for RetryPolicy {
    fn configured(call: &PerCall) -> Option<Arc<Self>> {
        call.retry.clone()
    }
}

/// Which calls are made again, how often, and after which pause: gRFC A6, "Retry Policy".
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    max_attempts: u32,
    initial: Duration,
    max: Duration,
    multiplier: f64,
    codes: Codes,
}

impl RetryPolicy {
    /// At most `max_attempts` attempts, the first one among them, of a call that fails with one of
    /// `codes`. More than 5 are taken as 5.
    ///
    /// The pause before the second attempt is `initial`, and `multiplier` times as long before each
    /// further one, up to `max`; each is 20 % shorter or longer by chance.
    ///
    /// # Errors
    ///
    /// gRFC A6, "Validation of retryPolicy": if `max_attempts` is less than 2, if a duration or the
    /// multiplier isn't above 0, or if there are no codes.
    pub fn new(
        max_attempts: u32,
        initial: Duration,
        max: Duration,
        multiplier: f64,
        codes: impl IntoIterator<Item = Code>,
    ) -> Result<Self, InvalidPolicy> {
        if max_attempts < 2 {
            return Err(InvalidPolicy("maxAttempts must be at least 2"));
        }
        if initial.is_zero() {
            return Err(InvalidPolicy("initialBackoff must be longer than 0s"));
        }
        if max.is_zero() {
            return Err(InvalidPolicy("maxBackoff must be longer than 0s"));
        }
        if !multiplier.is_finite() || multiplier <= 0.0 {
            return Err(InvalidPolicy("backoffMultiplier must be a number above 0"));
        }
        let codes: Codes = codes.into_iter().collect();
        if codes.is_empty() {
            return Err(InvalidPolicy("retryableStatusCodes must not be empty"));
        }
        Ok(Self {
            max_attempts: max_attempts.min(MOST_ATTEMPTS),
            initial,
            max,
            multiplier,
            codes,
        })
    }

    /// How many attempts there may be, from 2 to 5.
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Whether a call that fails with `code` may be made again.
    pub fn is_retryable(&self, code: Code) -> bool {
        self.codes.contains(code)
    }

    pub(super) fn codes(&self) -> Codes {
        self.codes
    }

    /// The pause after `pauses` others, `jitter` times as long as it would be: gRFC A6,
    /// "Exponential Backoff".
    pub(super) fn pause(&self, pauses: u32, jitter: f64) -> Duration {
        let growth = self.multiplier.powi(pauses.min(MOST_ATTEMPTS) as i32);
        let seconds = (self.initial.as_secs_f64() * growth).min(self.max.as_secs_f64());
        Duration::try_from_secs_f64(seconds * jitter).unwrap_or(self.max)
    }
}
