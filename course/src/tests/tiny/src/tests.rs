//! Doubling.

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
