//! Doubles, halves and negates, once the exercises are solved.

mod proto;
#[cfg(test)]
mod tests;

/// Twice the number.
pub fn double(number: i32) -> i32 {
    number
}

/// Half of the number.
pub fn halve(number: i32) -> i32 {
    number
}

/// The number with the other sign.
pub fn negate(number: i32) -> i32 {
    number
}
