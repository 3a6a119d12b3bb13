//! What a server reports, what a client makes of it, and which backend is picked because of it.

use std::time::Duration;

use super::*;

mod call;
mod names;
mod out_of_band;
mod scheduler;
mod tonic_alone;
mod watch;
mod weight;

const SECOND: Duration = Duration::from_secs(1);
