//! The only way to a file: a name that can't lead out of the folder that is served.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The film that the server serves: its name, and its size in bytes.
pub const FILM: (&str, u32) = ("harbour.film", 8 << 20);

/// A folder whose files may be read.
#[derive(Debug)]
pub struct RootDir(PathBuf);

impl RootDir {
    /// Serves `folder`, which must exist.
    pub fn new(folder: impl AsRef<Path>) -> io::Result<Self> {
        fs::canonicalize(folder).map(Self)
    }

    /// Serves `folder` with the film in it.
    pub fn with_film(folder: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let root = Self::new(folder)?;
        // Not written in place: another server may be reading it.
        let unfinished = root.0.join(format!("new.{}", std::process::id()));
        let film: Vec<_> = (0..FILM.1 / 4).map(u32::to_le_bytes).collect();
        fs::write(&unfinished, film.as_flattened())?;
        fs::rename(unfinished, root.0.join(FILM.0)).map(|()| root)
    }

    /// Opens a file, and tells its size. This blocks. No link leads out of the folder.
    pub fn open(&self, name: &str) -> io::Result<(File, u64)> {
        let path = fs::canonicalize(self.0.join(name))?;
        // Opening a pipe would wait for its writer.
        let metadata = path.metadata()?;
        if !path.starts_with(&self.0) || !metadata.is_file() {
            return Err(ErrorKind::NotFound.into());
        }
        Ok((File::open(path)?, metadata.len()))
    }
}

/// Whether a name is that of one file, on every system.
pub fn is_file_name(name: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || b".-_".contains(&it);
    (1..=255).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_plain)
}
