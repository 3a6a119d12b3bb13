//! `deadline`: see the front page.
