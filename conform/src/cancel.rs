//! `cancel`: see the front page.
