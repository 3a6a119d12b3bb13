//! The types of messages: those built in, those from a folder of protos, and those that a server
//! tells.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};

/// How many protos a folder may hold.
const PROTOS: usize = 10_000;

/// The protos of the course, and of the standard services that servers offer beside their own.
static BUILT_IN: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::global();
    for set in [
        include_bytes!(concat!(env!("OUT_DIR"), "/course.bin")).as_slice(),
        include_bytes!(concat!(env!("OUT_DIR"), "/standard.bin")).as_slice(),
    ] {
        // A set that could not be read would leave its messages without names, no more.
        let _ = pool.decode_file_descriptor_set(set);
    }
    pool
});

/// The types that messages are shown by.
///
/// Those from folders and files come first, then those that are built in, then what a server has
/// told. Clones share what is added to any of them.
#[derive(Clone, Default)]
pub struct Descriptors(Arc<RwLock<Pools>>);

#[derive(Default)]
struct Pools {
    /// From folders and files, those that count first in front.
    given: Vec<DescriptorPool>,
    /// By servers.
    told: Vec<DescriptorPool>,
    /// All of them, in the order in which they came.
    added: Vec<DescriptorPool>,
}

/// Where a set of descriptors comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    User,
    /// A recording: what the user gives counts more.
    Recording,
    Server,
}

impl Descriptors {
    /// The protos of the course, and those of health, reflection and error details.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// Compiles all protos of a folder, those of its subfolders too. Imports start at the folder.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong: with the folder, or with a proto.
    pub fn add_protos(&self, folder: &Path) -> Result<(), String> {
        let mut protos = Vec::new();
        find_protos(folder, &mut protos)
            .map_err(|error| format!("{} can't be read: {error}", folder.display()))?;
        if protos.is_empty() {
            return Err(format!("there is no .proto in {}", folder.display()));
        }
        // Folders have no order of their own.
        protos.sort();
        let set = protox::compile(protos, [folder])
            .map_err(|error| format!("{} can't be compiled: {error}", folder.display()))?;
        self.add(Source::User, |pool| pool.add_file_descriptor_set(set))
            .map_err(|error| format!("{} can't be used: {error}", folder.display()))
    }

    /// Adds a `FileDescriptorSet`, as `protoc --include_imports --descriptor_set_out` writes it.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn add_descriptor_set(&self, file: &Path) -> Result<(), String> {
        let set = std::fs::read(file)
            .map_err(|error| format!("{} can't be read: {error}", file.display()))?;
        self.decode_descriptor_set(Source::User, &set)
            .map_err(|error| format!("{} is not a set of descriptors: {error}", file.display()))
    }

    /// The same from memory.
    pub(crate) fn decode_descriptor_set(&self, source: Source, set: &[u8]) -> Result<(), String> {
        self.add(source, |pool| pool.decode_file_descriptor_set(set))
    }

    fn add<E: fmt::Display>(
        &self,
        source: Source,
        add: impl FnOnce(&mut DescriptorPool) -> Result<(), E>,
    ) -> Result<(), String> {
        // A pool of its own, so that a file may have the same name as one that is known already.
        let mut pool = DescriptorPool::global();
        add(&mut pool).map_err(|error| error.to_string())?;
        let mut pools = self.0.write().unwrap_or_else(PoisonError::into_inner);
        pools.added.push(pool.clone());
        match source {
            Source::User => pools.given.insert(0, pool),
            Source::Recording => pools.given.push(pool),
            Source::Server => pools.told.push(pool),
        }
        Ok(())
    }

    /// What was added, as sets of descriptors, without so many first ones.
    pub(crate) fn added(&self, skip: usize) -> Vec<Vec<u8>> {
        let pools = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let added = pools.added.iter().skip(skip);
        added.map(DescriptorPool::encode_to_vec).collect()
    }

    /// The method at this path, `/package.Service/Method`.
    pub(crate) fn method(&self, path: &str) -> Option<MethodDescriptor> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        self.find(|pool| {
            let service = pool.get_service_by_name(service)?;
            service.methods().find(|known| known.name() == method)
        })
    }

    /// The type with this name.
    pub(crate) fn message(&self, name: &str) -> Option<MessageDescriptor> {
        self.find(|pool| pool.get_message_by_name(name))
    }

    fn find<T>(&self, find: impl FnMut(&DescriptorPool) -> Option<T>) -> Option<T> {
        let pools = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let built_in = std::iter::once(&*BUILT_IN);
        pools
            .given
            .iter()
            .chain(built_in)
            .chain(&pools.told)
            .find_map(find)
    }
}

impl fmt::Debug for Descriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Descriptors")
    }
}

fn find_protos(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            // A link may lead back to where it stands.
            if kind.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "proto")
            {
                found.push(path);
            }
            if found.len() > PROTOS {
                return Err(std::io::Error::other(format!("more than {PROTOS} protos")));
            }
        }
    }
    Ok(())
}
