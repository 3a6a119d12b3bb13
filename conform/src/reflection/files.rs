//! The files that a server tells, checked before anything is built of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};
use prost_reflect::{DescriptorPool, MessageDescriptor};

use super::size::{DESCRIPTOR, Refused, estimate};
use super::{Limits, ReflectionError};

/// The longest full name. Every name is kept in full, with those of all that it stands in.
const LONGEST_NAME: usize = 500;

/// Files by name, and those that are still to be asked for.
#[derive(Debug)]
pub(super) struct Files {
    limits: Limits,
    memory_left: usize,
    well_known: DescriptorPool,
    descriptor: Option<MessageDescriptor>,
    files: BTreeMap<String, FileDescriptorProto>,
    depths: BTreeMap<String, usize>,
    missing: VecDeque<Missing>,
}

/// A file that another one imports.
#[derive(Clone, Debug)]
pub(super) struct Missing {
    pub(super) file: String,
    pub(super) importer: String,
}

impl Files {
    pub(super) fn new(limits: Limits) -> Self {
        let well_known = well_known();
        Self {
            limits,
            memory_left: limits.memory,
            descriptor: well_known.get_message_by_name("google.protobuf.FileDescriptorProto"),
            well_known,
            files: BTreeMap::new(),
            depths: BTreeMap::new(),
            missing: VecDeque::new(),
        }
    }

    /// Takes files as they were sent. Returns their names.
    pub(super) fn take(
        &mut self,
        encoded: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<String>, ReflectionError> {
        let mut names = Vec::new();
        for file in encoded {
            let file = self.decode(file.as_ref())?;
            names.push(file.name().to_owned());
            // Our own well-known types are those that our JSON is written for.
            if is_well_known(&self.well_known, file.name()) || self.files.contains_key(file.name())
            {
                continue;
            }
            if self.files.len() >= self.limits.files {
                return Err(ReflectionError::TooManyFiles(self.limits.files));
            }
            check(&file)?;
            let depth = self.depths.get(file.name()).copied().unwrap_or(0);
            for import in &file.dependency {
                if !self.depths.contains_key(import) {
                    if depth >= self.limits.depth {
                        return Err(ReflectionError::TooDeep(self.limits.depth));
                    }
                    self.depths.insert(import.clone(), depth + 1);
                    self.missing.push_back(Missing {
                        file: import.clone(),
                        importer: file.name().to_owned(),
                    });
                }
            }
            self.files.insert(file.name().to_owned(), file);
        }
        Ok(names)
    }

    fn decode(&mut self, file: &[u8]) -> Result<FileDescriptorProto, ReflectionError> {
        let malformed = || invalid("a file that can't be decoded");
        let descriptor = self.descriptor.as_ref().ok_or_else(malformed)?;
        self.memory_left =
            estimate(descriptor, file, DESCRIPTOR, self.memory_left).map_err(|it| match it {
                Refused::TooLarge => ReflectionError::TooMuchMemory(self.limits.memory),
                Refused::TooDeep | Refused::Malformed => malformed(),
            })?;
        FileDescriptorProto::decode(file).map_err(|_| malformed())
    }

    /// The next file that is to be asked for.
    pub(super) fn next_missing(&mut self) -> Option<Missing> {
        while let Some(missing) = self.missing.pop_front() {
            let is_here = self.files.contains_key(&missing.file);
            if !is_here && !is_well_known(&self.well_known, &missing.file) {
                return Some(missing);
            }
        }
        None
    }

    /// Builds the types, once no file is missing.
    pub(super) fn build(self) -> Result<DescriptorPool, ReflectionError> {
        let files = in_order(self.files)?;
        let mut pool = self.well_known;
        pool.add_file_descriptor_protos(files)
            .map_err(|error| ReflectionError::Invalid(error.to_string()))?;
        Ok(pool)
    }
}

/// The types of google.protobuf. Not all of the global pool: a program may have put others there.
fn well_known() -> DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        let global = DescriptorPool::global();
        let files = global.file_descriptor_protos();
        let files = files.filter(|file| file.package() == "google.protobuf");
        let mut pool = DescriptorPool::new();
        // They stood in one pool before.
        let _ = pool.add_file_descriptor_protos(files.cloned());
        pool
    });
    POOL.clone()
}

fn is_well_known(pool: &DescriptorPool, file: &str) -> bool {
    file.starts_with("google/protobuf/") && pool.get_file_by_name(file).is_some()
}

/// The files, each after those that it imports.
fn in_order(
    mut files: BTreeMap<String, FileDescriptorProto>,
) -> Result<Vec<FileDescriptorProto>, ReflectionError> {
    let mut importers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut waits_for: BTreeMap<String, usize> = BTreeMap::new();
    for (name, file) in &files {
        let imports: BTreeSet<_> = file.dependency.iter().collect();
        let imports = imports.into_iter().filter(|it| files.contains_key(*it));
        let mut count = 0;
        for import in imports {
            importers
                .entry(import.clone())
                .or_default()
                .push(name.clone());
            count += 1;
        }
        waits_for.insert(name.clone(), count);
    }
    let ready = waits_for.iter().filter(|(_, count)| **count == 0);
    let mut ready: VecDeque<_> = ready.map(|(name, _)| name.clone()).collect();
    let mut ordered = Vec::new();
    while let Some(name) = ready.pop_front() {
        for importer in importers.remove(&name).unwrap_or_default() {
            if let Some(count) = waits_for.get_mut(&importer) {
                *count -= 1;
                if *count == 0 {
                    ready.push_back(importer);
                }
            }
        }
        ordered.extend(files.remove(&name));
    }
    match files.keys().next() {
        None => Ok(ordered),
        Some(first) => Err(ReflectionError::Cycle(circle(&files, first))),
    }
}

/// A circle among files each of which imports another one of them.
fn circle(files: &BTreeMap<String, FileDescriptorProto>, first: &str) -> Vec<String> {
    let mut path = vec![first.to_owned()];
    while let Some(file) = path.last().and_then(|name| files.get(name)) {
        let mut imports = file.dependency.iter();
        let Some(next) = imports.find(|it| files.contains_key(*it)) else {
            break;
        };
        if let Some(begin) = path.iter().position(|it| it == next) {
            return path.split_off(begin);
        }
        path.push(next.clone());
    }
    path
}

/// Checks what those who build types of a file take for granted.
fn check(file: &FileDescriptorProto) -> Result<(), ReflectionError> {
    if file.name().is_empty() {
        return Err(invalid("a file without a name"));
    }
    if !matches!(file.syntax(), "" | "proto2" | "proto3") {
        let name = file.name();
        return Err(invalid(format!(
            "`{name}` has the syntax `{}`",
            file.syntax()
        )));
    }
    let package = file.package();
    if package == "google.protobuf" {
        let name = file.name();
        return Err(invalid(format!("`{name}` claims to be of google.protobuf")));
    }
    let mut scope = 0;
    if !package.is_empty() {
        for part in package.split('.') {
            scope = name(scope, part)?;
        }
    }
    for message in &file.message_type {
        check_message(message, scope)?;
    }
    for it in &file.enum_type {
        check_enum(it, scope)?;
    }
    for field in &file.extension {
        name(scope, field.name())?;
    }
    for service in &file.service {
        let scope = name(scope, service.name())?;
        for method in &service.method {
            name(scope, method.name())?;
            type_name(method.input_type())?;
            type_name(method.output_type())?;
        }
    }
    Ok(())
}

/// No deeper than prost has decoded it.
fn check_message(message: &DescriptorProto, scope: usize) -> Result<(), ReflectionError> {
    let scope = name(scope, message.name())?;
    for field in message.field.iter().chain(&message.extension) {
        name(scope, field.name())?;
        type_name(field.type_name())?;
        type_name(field.extendee())?;
    }
    for oneof in &message.oneof_decl {
        name(scope, oneof.name())?;
    }
    for it in &message.enum_type {
        check_enum(it, scope)?;
    }
    for inner in &message.nested_type {
        check_message(inner, scope)?;
    }
    let is_map_entry = message.options.as_ref().is_some_and(|it| it.map_entry());
    if is_map_entry && !is_proper_map_entry(message) {
        return Err(invalid(format!(
            "`{}` is no entry of a map",
            message.name()
        )));
    }
    Ok(())
}

fn is_proper_map_entry(message: &DescriptorProto) -> bool {
    let [key, value] = &message.field[..] else {
        return false;
    };
    let is_key = !matches!(
        key.r#type(),
        Type::Double | Type::Float | Type::Bytes | Type::Message | Type::Group | Type::Enum
    );
    let are_named = key.name() == "key" && value.name() == "value";
    let are_numbered = key.number() == 1 && value.number() == 2;
    let are_single = [key, value].iter().all(|it| it.label() == Label::Optional);
    let are_plain = [key, value].iter().all(|it| it.oneof_index.is_none());
    let is_value = value.r#type() != Type::Group;
    // Without a type, it is found by its name, which may be a message's.
    let is_typed = key.r#type.is_some() && key.type_name.is_none();
    is_key && is_typed && is_value && are_named && are_numbered && are_single && are_plain
}

fn check_enum(it: &EnumDescriptorProto, scope: usize) -> Result<(), ReflectionError> {
    let inner = name(scope, it.name())?;
    for value in &it.value {
        name(inner, value.name())?;
    }
    Ok(())
}

/// Checks one name in a scope whose own name has `scope` characters; returns the length of the
/// full one.
fn name(scope: usize, name: &str) -> Result<usize, ReflectionError> {
    let first = name.chars().next();
    let is_identifier = first.is_some_and(|it| it.is_ascii_alphabetic() || it == '_')
        && name
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || it == '_');
    if !is_identifier {
        return Err(invalid(format!("`{name}` is no name")));
    }
    let length = scope + 1 + name.len();
    if length > LONGEST_NAME {
        return Err(invalid(format!(
            "a name of more than {LONGEST_NAME} characters"
        )));
    }
    Ok(length)
}

fn type_name(name: &str) -> Result<(), ReflectionError> {
    if name.len() > LONGEST_NAME {
        return Err(invalid(format!(
            "a name of more than {LONGEST_NAME} characters"
        )));
    }
    Ok(())
}

pub(super) fn invalid(reason: impl Into<String>) -> ReflectionError {
    ReflectionError::Invalid(reason.into())
}
