//! `panic`: see the front page.
