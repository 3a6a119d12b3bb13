//! `error_details`: see the front page.
