//! Takes services out of what reflection tells, with all that only they need.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;

use prost::Message;
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, SourceCodeInfo,
};

/// `encoded`, a `FileDescriptorSet`, with these services only: give it to tonic-reflection's
/// `register_encoded_file_descriptor_set`.
///
/// Other services are gone, and so are messages and enums that only they use, files in which
/// nothing is left, and comments that belong to none of what is left. They can't be found by any
/// name. Whoever knows their methods can still call them: that is for the table of the module
/// `method_policy` to say.
///
/// Extensions and options of one's own are gone too.
///
/// # Errors
///
/// If `encoded` is no `FileDescriptorSet`, or has no service of one of these names.
pub fn only_services(encoded: &[u8], services: &[&str]) -> Result<Vec<u8>, HideError> {
    let set = FileDescriptorSet::decode(encoded).map_err(|_| HideError::Malformed)?;
    let types = types(&set.file);
    let mut found = BTreeSet::new();
    let mut needed = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            let name = join(file.package(), service.name());
            if services.contains(&&*name) {
                for method in &service.method {
                    need(&mut needed, &types, method.input_type());
                    need(&mut needed, &types, method.output_type());
                }
                found.insert(name);
            }
        }
    }
    if let Some(unknown) = services.iter().find(|it| !found.contains(**it)) {
        return Err(HideError::UnknownService((*unknown).to_owned()));
    }
    let files = set.file.iter();
    let file = files.filter_map(|file| pruned(file, &found, &needed, &types));
    let file = file.collect();
    Ok(FileDescriptorSet { file }.encode_to_vec())
}

/// Why services can't be taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HideError {
    /// What was given is no `FileDescriptorSet`.
    Malformed,
    /// There is no service of this name.
    UnknownService(String),
}

impl fmt::Display for HideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => write!(f, "these bytes are no FileDescriptorSet"),
            Self::UnknownService(name) => write!(f, "the descriptors have no service `{name}`"),
        }
    }
}

impl Error for HideError {}

/// A message or enum that stands in no other one.
struct TopLevel {
    file: String,
    /// The full names of all types that it uses, itself and those nested in it among them.
    uses: BTreeSet<String>,
}

#[derive(Default)]
struct Types {
    top_level: BTreeMap<String, TopLevel>,
    /// The top-level type in which each type stands.
    outermost: BTreeMap<String, String>,
}

fn types(files: &[FileDescriptorProto]) -> Types {
    let mut types = Types::default();
    for file in files {
        for message in &file.message_type {
            let name = join(file.package(), message.name());
            let mut uses = BTreeSet::new();
            types.add(&name, &name, message, &mut uses);
            let file = file.name().to_owned();
            types.top_level.insert(name, TopLevel { file, uses });
        }
        for it in &file.enum_type {
            let name = join(file.package(), it.name());
            types.outermost.insert(name.clone(), name.clone());
            let (file, uses) = (file.name().to_owned(), BTreeSet::new());
            types.top_level.insert(name, TopLevel { file, uses });
        }
    }
    types
}

impl Types {
    fn add(
        &mut self,
        outermost: &str,
        name: &str,
        message: &DescriptorProto,
        uses: &mut BTreeSet<String>,
    ) {
        self.outermost.insert(name.to_owned(), outermost.to_owned());
        for it in &message.enum_type {
            let name = join(name, it.name());
            self.outermost.insert(name, outermost.to_owned());
        }
        let fields = message.field.iter().chain(&message.extension);
        let names = fields.flat_map(|it: &FieldDescriptorProto| [it.type_name(), it.extendee()]);
        uses.extend(
            names
                .filter_map(|it| it.strip_prefix('.'))
                .map(str::to_owned),
        );
        for inner in &message.nested_type {
            self.add(outermost, &join(name, inner.name()), inner, uses);
        }
    }

    /// The file of a type, by the name that a descriptor refers to it.
    fn file_of(&self, name: &str) -> Option<&str> {
        let outermost = self.outermost.get(name.strip_prefix('.').unwrap_or(name))?;
        Some(&self.top_level.get(outermost)?.file)
    }
}

/// Adds the outermost type of `name`, and all that it uses.
fn need(needed: &mut BTreeSet<String>, types: &Types, name: &str) {
    let mut open = vec![name.strip_prefix('.').unwrap_or(name)];
    while let Some(name) = open.pop() {
        if let Some(outermost) = types.outermost.get(name)
            && needed.insert(outermost.clone())
            && let Some(top_level) = types.top_level.get(outermost)
        {
            open.extend(top_level.uses.iter().map(String::as_str));
        }
    }
}

/// What is left of a file, if anything is.
fn pruned(
    file: &FileDescriptorProto,
    services: &BTreeSet<String>,
    needed: &BTreeSet<String>,
    types: &Types,
) -> Option<FileDescriptorProto> {
    let full = |name: &str| join(file.package(), name);
    let messages = Kept::of(&file.message_type, |it| needed.contains(&full(it.name())));
    let enums = Kept::of(&file.enum_type, |it| needed.contains(&full(it.name())));
    let kept = Kept::of(&file.service, |it| services.contains(&full(it.name())));
    if messages.items.is_empty() && enums.items.is_empty() && kept.items.is_empty() {
        return None;
    }
    let mut imports = BTreeSet::new();
    for method in kept.items.iter().flat_map(|it| &it.method) {
        imports.extend(types.file_of(method.input_type()));
        imports.extend(types.file_of(method.output_type()));
    }
    for message in &messages.items {
        if let Some(top_level) = types.top_level.get(&full(message.name())) {
            imports.extend(top_level.uses.iter().filter_map(|it| types.file_of(it)));
        }
    }
    imports.remove(file.name());
    // The order of the original, then those that came by a public import.
    let is_used = |it: &&String| imports.contains(it.as_str());
    let mut dependency: Vec<_> = file.dependency.iter().filter(is_used).cloned().collect();
    let others = imports
        .iter()
        .filter(|it| !dependency.iter().any(|known| known == *it));
    let others: Vec<_> = others.map(|it| (*it).to_owned()).collect();
    dependency.extend(others);
    let comments = file.source_code_info.as_ref();
    let comments =
        comments.map(|it| comments_of(it, [&messages.places, &enums.places, &kept.places]));
    Some(FileDescriptorProto {
        name: file.name.clone(),
        package: file.package.clone(),
        dependency,
        message_type: messages.items,
        enum_type: enums.items,
        service: kept.items,
        options: file.options.clone(),
        source_code_info: comments,
        syntax: file.syntax.clone(),
        ..FileDescriptorProto::default()
    })
}

/// What is left of a list, and where each of its items stands now.
struct Kept<T> {
    items: Vec<T>,
    places: Vec<Option<i32>>,
}

impl<T: Clone> Kept<T> {
    fn of(all: &[T], is_kept: impl Fn(&T) -> bool) -> Self {
        let (mut items, mut places, mut next) = (Vec::new(), Vec::new(), 0);
        for item in all {
            let stays = is_kept(item);
            places.push(stays.then_some(next));
            if stays {
                items.push(item.clone());
                next += 1;
            }
        }
        Self { items, places }
    }
}

/// The comments on messages, enums and services that are left. None that stand alone: nobody knows
/// what they are about.
fn comments_of(comments: &SourceCodeInfo, places: [&Vec<Option<i32>>; 3]) -> SourceCodeInfo {
    let location = comments.location.iter().filter_map(|location| {
        let [kind @ 4..=6, place, ..] = location.path[..] else {
            return None;
        };
        let places = places[usize::try_from(kind - 4).ok()?];
        let place = *places.get(usize::try_from(place).ok()?)?;
        let mut location = location.clone();
        location.leading_detached_comments.clear();
        *location.path.get_mut(1)? = place?;
        Some(location)
    });
    SourceCodeInfo {
        location: location.collect(),
    }
}

fn join(scope: &str, name: &str) -> String {
    match scope {
        "" => name.to_owned(),
        scope => format!("{scope}.{name}"),
    }
}
