//! Doubling, and its like.

use super::*;

#[test]
fn doubles_zero_to_zero() {
    assert_eq!(double(0), 0);
}

#[test]
#[ignore = "exercise 1: double"]
fn exercise_1_doubles() {
    assert_eq!(double(2), 4);
}

#[test]
#[ignore = "exercise 2: halve"]
fn exercise_2_halves() {
    assert_eq!(halve(2), 1);
}

#[test]
#[ignore = "exercise 3: negate"]
fn exercise_3_negates() {
    assert_eq!(negate(2), -2);
}
