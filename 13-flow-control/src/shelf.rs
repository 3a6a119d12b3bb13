//! The only way to a file: by a name that cannot lead out of the folder that is served.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use tonic::Status;

use crate::document::Document;

/// A folder whose files may be read, with those of the folders in it.
#[derive(Debug)]
pub struct Shelf {
    root: PathBuf,
}

impl Shelf {
    /// Serves `folder`.
    ///
    /// # Errors
    ///
    /// If there is no such folder.
    pub fn new(folder: impl AsRef<Path>) -> io::Result<Self> {
        // Links on the way to the folder are followed here, once.
        let root = fs::canonicalize(folder)?;
        Ok(Self { root })
    }

    /// Opens a file by its name. This blocks.
    ///
    /// Links are followed as long as they stay in the folder. Whoever may write in the folder is trusted: a
    /// file that is swapped for a link between the check and the opening is not noticed.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the name is none, which can be seen without a look at the disk. NOT_FOUND for
    /// everything else, so that the answer does not tell which files exist.
    pub fn open(&self, name: &str) -> Result<Document, Status> {
        if !is_plain(name) {
            return Err(Status::invalid_argument(
                "a name leads down from the folder, without `..`, `\\` and `:`",
            ));
        }
        self.find(name)
            .ok()
            .flatten()
            .ok_or_else(|| Status::not_found("there is no such file"))
    }

    /// The document, or nothing if what has this name is elsewhere, or is no file.
    fn find(&self, name: &str) -> io::Result<Option<Document>> {
        let path = fs::canonicalize(self.root.join(name))?;
        // To open a pipe would wait for its writer.
        if !path.starts_with(&self.root) || !path.metadata()?.is_file() {
            return Ok(None);
        }
        Document::new(File::open(path)?).map(Some)
    }
}

/// Whether a name means the same on all systems, and leads down.
///
/// On Windows `\` separates folders and `:` names a drive or a part of a file.
fn is_plain(name: &str) -> bool {
    let has_only_folders_and_a_file = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    !name.is_empty() && !name.contains(['\0', '\\', ':']) && has_only_folders_and_a_file
}
