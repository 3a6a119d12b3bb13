//! The proxy: passes bytes on, records what it sees, and injects faults on request.

mod faults;
mod forward;
mod queue;
mod record;
mod reflection;
mod save;
mod shared;
mod tap;
#[cfg(feature = "tls")]
mod tls;

pub use self::faults::{After, Faults};
pub use self::record::{Events, Seen};
pub use self::save::{Recording, Saved, open};
pub use self::tap::{Builder, Tap};
#[cfg(feature = "tls")]
pub use self::tls::TlsFiles;

#[cfg(test)]
pub(crate) use self::save::{Limits, Save};
