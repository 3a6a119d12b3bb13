//! `server`: see the front page.
