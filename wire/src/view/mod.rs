//! How what was seen is printed.

mod filter;
mod json;
mod labels;
mod ladder;
mod printer;
mod secret;
mod times;

pub use self::filter::Only;
pub use self::json::{Json, json};
#[cfg(test)]
pub(crate) use self::labels::parts;
pub use self::ladder::{Ladder, Show};
pub use self::printer::Printer;
