//! `status`: see the front page.
