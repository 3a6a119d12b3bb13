//! `framing`: see the front page.
