//! The rules for a form. All of them are checked: whoever corrects a form wants to do it once.

use tonic_types::FieldViolation;

use crate::error::SignupError;
use crate::proto::signup::Form;

/// Checks a form.
///
/// # Errors
///
/// [`SignupError::Form`] with every rule that is broken.
pub fn check(form: &Form) -> Result<(), SignupError> {
    let born = form.year_of_birth;
    let rules = [
        ("name", !form.name.trim().is_empty(), "is blank"),
        ("name", form.name.len() <= 100, "has more than 100 bytes"),
        ("email", is_address(&form.email), "isn't an e-mail address"),
        (
            "year_of_birth",
            (1900..=2010).contains(&born),
            "isn't from 1900 to 2010",
        ),
    ];
    let broken = rules.into_iter().filter(|(_, is_kept, _)| !is_kept);
    let wrong: Vec<_> = broken
        .map(|(field, _, what)| FieldViolation::new(field, what))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(SignupError::Form(wrong))
}

/// Something, an `@`, something. Whether mail arrives there, only the mail server knows.
fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    text.len() <= 254 && parts.is_some_and(|(who, at)| !who.is_empty() && !at.is_empty())
}
