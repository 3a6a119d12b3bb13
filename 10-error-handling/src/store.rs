//! The office's database, with two bugs of the kind that is found in production.

use std::fmt;

use crate::signup::Form;

/// One drawer a letter, for names that begin with one of these letters.
const DRAWERS: &[u8; 26] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// An error in the words of the database: with the statement, the host, and worse.
#[derive(Debug)]
pub struct DatabaseError(String);

impl fmt::Display for DatabaseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for DatabaseError {}

/// Stores a form; returns the card of the new member.
///
/// # Errors
///
/// If the name has an apostrophe. The first bug: it is pasted into the statement.
///
/// # Panics
///
/// If the name does not begin with one of 26 letters. The second bug: its author knew no other names.
pub fn insert(form: &Form) -> Result<String, DatabaseError> {
    let name = form.name.trim();
    if name.contains('\'') {
        return Err(DatabaseError(format!(
            "bad SQL: INSERT INTO club VALUES ('{name}') on db://clerk:hunter2@10.0.0.7"
        )));
    }
    let drawer = name.as_bytes()[0].wrapping_sub(b'A');
    let letter = char::from(DRAWERS[usize::from(drawer)]);
    Ok(format!("{letter}{}", form.born))
}

/// What the club has lent to a member and not got back: for exercise 2.
pub fn lent_to(email: &str) -> &'static [&'static str] {
    match email {
        "bob@club.example" => &["the key", "a towel"],
        _ => &[],
    }
}
