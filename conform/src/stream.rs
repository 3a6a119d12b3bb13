//! `stream`: see the front page.
