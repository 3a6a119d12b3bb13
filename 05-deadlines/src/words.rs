//! Says how much time is left, in words that are the same in every run.

use conform::deadline::Deadline;

/// The time that is left, rounded up to half a second.
pub(crate) fn time_left(deadline: Option<Deadline>) -> String {
    match deadline {
        None => "no limit".to_owned(),
        Some(deadline) => {
            let halves = (deadline.remaining().as_secs_f64() * 2.0).ceil();
            format!("at most {} s", halves / 2.0)
        }
    }
}
