//! Finds prime factors by trial division, in steps short enough to stop between two of them.

use tonic::Status;

/// How many divisors one step tries at most: about a millisecond of work.
const DIVISORS_PER_STEP: u64 = 50_000;

/// What one step of a search found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A prime factor.
    Factor(u64),
    /// Nothing yet.
    Searching,
}

/// The prime factors of `number`, smallest first, each as often as it divides.
///
/// # Errors
///
/// INVALID_ARGUMENT for 0.
pub fn factors(number: u64) -> Result<impl Iterator<Item = Step>, Status> {
    if number == 0 {
        let why = "every number divides 0: it has no prime factors";
        return Err(Status::invalid_argument(why));
    }
    let (mut rest, mut divisor) = (number, 2);
    Ok(std::iter::from_fn(move || {
        if rest == 1 {
            return None;
        }
        for _ in 0..DIVISORS_PER_STEP {
            if rest % divisor == 0 {
                rest /= divisor;
                return Some(Step::Factor(divisor));
            }
            divisor += 1;
            // Nothing up to the square root divides it, so the rest is prime.
            if divisor > rest / divisor {
                return Some(Step::Factor(std::mem::replace(&mut rest, 1)));
            }
        }
        Some(Step::Searching)
    }))
}
