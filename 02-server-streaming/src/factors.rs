//! Finds prime factors by trial division, in steps short enough to stop between two of them.

/// How many divisors one step tries at most: about a millisecond of work.
const DIVISORS_A_STEP: u32 = 50_000;

/// A search for the prime factors of one number, smallest first, each as often as it divides.
#[derive(Debug)]
pub struct Search {
    rest: u64,
    divisor: u64,
}

/// What one step of a [`Search`] came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A prime factor.
    Found(u64),
    /// Nothing yet; go on.
    Searching,
    /// There are no more factors.
    Done,
}

impl Search {
    /// Prepares to factor `number`. Zero, which every number divides, counts as having no factors.
    pub fn new(number: u64) -> Self {
        Self {
            rest: number,
            divisor: 2,
        }
    }

    /// Searches for about a millisecond, or until a factor is found.
    pub fn step(&mut self) -> Step {
        for _ in 0..DIVISORS_A_STEP {
            if self.rest <= 1 {
                return Step::Done;
            }
            if self.rest.is_multiple_of(self.divisor) {
                self.rest /= self.divisor;
                return Step::Found(self.divisor);
            }
            self.divisor += if self.divisor == 2 { 1 } else { 2 };
            // With no divisor up to its square root, the rest is prime.
            if self
                .divisor
                .checked_mul(self.divisor)
                .is_none_or(|square| square > self.rest)
            {
                return Step::Found(std::mem::replace(&mut self.rest, 1));
            }
        }
        Step::Searching
    }
}
