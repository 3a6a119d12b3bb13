//! The office's database, with a bug of the kind that is found in production.

use crate::error::SignupError;
use crate::proto::signup::Form;

/// Stores a form, and returns the number of the new member's card.
///
/// # Errors
///
/// If the name has an apostrophe, because it is pasted into the statement. The error holds the
/// statement, the host, and a password.
pub fn insert(form: &Form) -> Result<String, SignupError> {
    let name = form.name.trim();
    if name.contains('\'') {
        let sql = format!("INSERT INTO club VALUES ('{name}')");
        let error = format!("bad SQL: {sql} on db://clerk:hunter2@10.0.0.7");
        return Err(SignupError::Database(error));
    }
    let initial: String = name.chars().take(1).collect();
    Ok(format!("{initial}{}", form.year_of_birth))
}

/// What the club has lent to a member and not got back: for exercise 1.
pub fn lent_to(email: &str) -> &'static [&'static str] {
    match email {
        "bob@club.example" => &["the key", "a towel"],
        _ => &[],
    }
}
