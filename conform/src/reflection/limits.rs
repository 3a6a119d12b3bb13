//! How much a server may tell.

use std::time::Duration;

/// What [`ReflectionClient`](super::ReflectionClient) takes from a server, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes in all answers to one question and those that follow from it. 8 MiB.
    pub bytes: usize,
    /// Memory, as estimated before anything is decoded: a few bytes can stand for a lot of it.
    /// 64 MiB.
    pub memory: usize,
    /// Files, and services in a list. 2,000.
    pub files: usize,
    /// How long a chain of imports may be. 100.
    pub depth: usize,
    /// Time for a list, or for one name's types. 10 seconds.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 8 * 1024 * 1024,
            memory: 64 * 1024 * 1024,
            files: 2_000,
            depth: 100,
            time: Duration::from_secs(10),
        }
    }
}
