//! `message_limit`: see the front page.
