//! The film in the archive: eight MiB, the same each time, which no one has to keep in a repository.

use std::fs;
use std::io;
use std::path::Path;

/// The film's name.
pub const NAME: &str = "harbour.film";

/// The film's size in bytes.
pub const SIZE: u64 = 8 * 1024 * 1024;

/// The folder that the server serves. cargo keeps it with what it compiles, and `cargo clean` takes it away.
pub const FOLDER: &str = concat!(env!("OUT_DIR"), "/archive");

/// Puts the film into `folder`, unless it is there already.
///
/// # Errors
///
/// If it cannot be written.
pub fn store(folder: impl AsRef<Path>) -> io::Result<()> {
    let folder = folder.as_ref();
    let film = folder.join(NAME);
    if fs::metadata(&film).is_ok_and(|film| film.is_file() && film.len() == SIZE) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    // Another server may be about to read it: it gets the whole film or none.
    let unfinished = folder.join(format!("{NAME}.{}", std::process::id()));
    fs::write(&unfinished, shoot())?;
    fs::rename(unfinished, film)
}

/// Bytes that do not repeat, so that no chunk is mistaken for another.
fn shoot() -> Vec<u8> {
    let mut state: u64 = 13;
    let mut film = Vec::new();
    for _ in 0..SIZE / 8 {
        // Knuth's linear congruential generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        film.extend(state.to_le_bytes());
    }
    film
}
