//! Tokens that failures cost: gRFC A6, "Throttling Retry Attempts and Hedged RPCs".

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::InvalidPolicy;

/// What a whole token is counted as.
const TOKEN: u32 = 1000;

/// Ends retries and hedges while too many calls to a server fail. Clones share their tokens.
///
/// There are `max_tokens` at first, and never more. A failure that could be retried costs one, and
/// so does an answer that says not to retry; a success brings `token_ratio` back. While no more than
/// half of them are there, nothing is sent a second time. gRFC A6, "Throttling Retry Attempts and
/// Hedged RPCs"; in a service config it is `retryThrottling`.
///
/// gRPC has one for each server name: give all channels to a server clones of one.
#[derive(Clone, Debug)]
pub struct Throttle(Arc<Tokens>);

#[derive(Debug)]
struct Tokens {
    count: AtomicU32,
    max: u32,
    ratio: u32,
}

impl Throttle {
    /// A throttle with all its tokens: from 1 to 1000 of them, and at least a thousandth for each
    /// success.
    ///
    /// # Errors
    ///
    /// If a number is out of these bounds.
    pub fn new(max_tokens: u32, token_ratio_thousandths: u32) -> Result<Self, InvalidPolicy> {
        if !(1..=1000).contains(&max_tokens) {
            return Err(InvalidPolicy("maxTokens must be from 1 to 1000"));
        }
        if token_ratio_thousandths == 0 {
            return Err(InvalidPolicy("tokenRatio must be at least 0.001"));
        }
        let max = max_tokens * TOKEN;
        Ok(Self(Arc::new(Tokens {
            count: AtomicU32::new(max),
            max,
            ratio: token_ratio_thousandths,
        })))
    }

    /// The tokens that are left, in thousandths.
    pub fn thousandths(&self) -> u32 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Whether calls may be sent again: more than half of the tokens are there.
    pub fn is_open(&self) -> bool {
        self.thousandths() > self.0.max / 2
    }

    pub(crate) fn failed(&self) {
        self.change(|count| count.saturating_sub(TOKEN));
    }

    pub(crate) fn succeeded(&self) {
        let Tokens { max, ratio, .. } = *self.0;
        // Most calls succeed while none is missing.
        if self.thousandths() < max {
            self.change(|count| count.saturating_add(ratio).min(max));
        }
    }

    fn change(&self, change: impl Fn(u32) -> u32) {
        let count = &self.0.count;
        // It never refuses.
        let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            Some(change(count))
        });
    }
}
