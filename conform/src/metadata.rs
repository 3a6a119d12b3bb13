//! `metadata`: see the front page.
