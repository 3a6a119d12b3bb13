//! The rules for a form. All of them are tried: a person who corrects a form wants to do it once.

use std::ops::RangeInclusive;

use tonic_types::FieldViolation;

use crate::error::SignupError;
use crate::signup::Form;

const YEARS: RangeInclusive<u32> = 1900..=2010;

/// No address is longer: RFC 3696, erratum 1690. Addresses are kept, so their size has to have an end.
const LONGEST_ADDRESS: usize = 254;

/// Checks one form.
///
/// # Errors
///
/// [`SignupError::Form`] with every field that is wrong.
pub fn check(form: &Form) -> Result<(), SignupError> {
    listed(violations(form, ""))
}

/// Checks forms that come in together.
///
/// # Errors
///
/// [`SignupError::Form`] with every wrong field of every form: `forms[2].email`, counted from 0.
pub fn check_all(forms: &[Form]) -> Result<(), SignupError> {
    let mut wrong = Vec::new();
    for (index, form) in forms.iter().enumerate() {
        wrong.extend(violations(form, &format!("forms[{index}].")));
    }
    listed(wrong)
}

fn listed(violations: Vec<FieldViolation>) -> Result<(), SignupError> {
    if violations.is_empty() {
        Ok(())
    } else {
        Err(SignupError::Form(violations))
    }
}

/// The rules themselves. `place` says where the form stands in the request.
fn violations(form: &Form, place: &str) -> Vec<FieldViolation> {
    let rules = [
        ("name", !form.name.trim().is_empty(), "is blank"),
        ("email", is_address(&form.email), "is no e-mail address"),
        (
            "born",
            YEARS.contains(&form.born),
            "is not from 1900 to 2010",
        ),
    ];
    let broken = rules.into_iter().filter(|(_, is_kept, _)| !is_kept);
    broken
        .map(|(field, _, what)| FieldViolation::new(format!("{place}{field}"), what))
        .collect()
}

/// Something, an `@`, something. Whether an address is one, only mail that arrives can tell.
fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    text.len() <= LONGEST_ADDRESS
        && parts.is_some_and(|(who, at)| !who.is_empty() && !at.is_empty())
}
