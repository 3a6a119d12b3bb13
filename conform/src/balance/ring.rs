//! The ring of `ring_hash_experimental`.

use twox_hash::XxHash64;

/// The most places that a ring has: gRFC A42, *LB Policy Config*, the client's cap.
pub const MAX_RING_SIZE: u64 = 4096;

/// A place on the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) hash: u64,
    /// Whose place it is.
    pub(super) backend: usize,
}

/// A ring of these backends, each with its key and its weight, sorted by hash: gRFC A42, *Ring
/// Construction*. It's the same ring as grpc-go's.
///
/// There are at least `min` places, and as many more as it takes to give the backend with the least
/// weight a whole number of them; but not more than `max`. So on a ring that is too small for its
/// backends some have no place.
pub(super) fn ring(backends: &[(String, u64)], min: u64, max: u64) -> Vec<Entry> {
    let total: u64 = backends.iter().map(|(_, weight)| weight).sum();
    let share = |weight: u64| weight as f64 / total as f64;
    let least = backends.iter().map(|(_, weight)| *weight).min();
    let Some(least) = least.map(share) else {
        return Vec::new();
    };
    let size = ((least * min as f64).ceil() / least).min(max as f64);
    // In the order of their keys: what is rounded doesn't depend on the resolver's order.
    let mut backends: Vec<_> = backends.iter().enumerate().collect();
    backends.sort_by(|(_, one), (_, other)| one.0.cmp(&other.0));
    let mut ring = Vec::new();
    let mut end = 0.0;
    for (backend, (key, weight)) in backends {
        end += size * share(*weight);
        let mut number = 0;
        while (ring.len() as f64) < end {
            let hash = XxHash64::oneshot(0, format!("{key}_{number}").as_bytes());
            ring.push(Entry { hash, backend });
            number += 1;
        }
    }
    ring.sort_unstable();
    ring
}

/// The place for this hash: the next one on the ring.
pub(super) fn after(ring: &[Entry], hash: u64) -> Option<Entry> {
    let index = ring.partition_point(|entry| entry.hash < hash);
    ring.get(index).or_else(|| ring.first()).copied()
}

/// How far it is along the ring.
pub(super) fn distance(hash: u64, entry: Entry) -> u64 {
    entry.hash.wrapping_sub(hash)
}
