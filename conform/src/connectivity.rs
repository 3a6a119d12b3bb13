//! `connectivity`: see the front page.
