//! Descriptors as the text of a `.proto` file.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use prost::Message;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::source_code_info::Location;
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    MethodDescriptorProto, ServiceDescriptorProto,
};
use prost_reflect::{DescriptorPool, DynamicMessage, FileDescriptor, Kind, Value};

use crate::status::escape;

/// The text of `file`, as somebody could have written it: with its imports, options, and, if the
/// descriptor has them, comments. It compiles to the same descriptor.
///
/// What isn't in there: options of one's own, and comments that belong to nothing.
pub fn proto_text(file: &FileDescriptor) -> String {
    let descriptor = file.file_descriptor_proto();
    let locations = descriptor
        .source_code_info
        .iter()
        .flat_map(|it| &it.location);
    let mut printer = Printer {
        text: String::new(),
        indent: 0,
        begins: true,
        is_proto3: descriptor.syntax() == "proto3",
        package: descriptor.package(),
        comments: locations.map(|it| (&it.path[..], it)).collect(),
        names: names(file.parent_pool()),
        options: DescriptorPool::global(),
    };
    printer.file(descriptor);
    printer.text
}

/// All names that a type's name could be taken for. Those of fields are none: where a type is
/// expected, compilers pass them by.
fn names(pool: &DescriptorPool) -> HashSet<String> {
    let mut names = HashSet::new();
    for file in pool.files() {
        let mut package = file.package_name();
        while !package.is_empty() {
            names.insert(package.to_owned());
            package = package.rsplit_once('.').map_or("", |(parent, _)| parent);
        }
    }
    names.extend(pool.all_messages().map(|it| it.full_name().to_owned()));
    names.extend(pool.all_enums().map(|it| it.full_name().to_owned()));
    names.extend(pool.services().map(|it| it.full_name().to_owned()));
    names
}

fn join(scope: &str, name: &str) -> String {
    match scope {
        "" => name.to_owned(),
        scope => format!("{scope}.{name}"),
    }
}

struct Printer<'a> {
    text: String,
    indent: usize,
    /// Whether nothing stands in this block yet.
    begins: bool,
    is_proto3: bool,
    package: &'a str,
    comments: HashMap<&'a [i32], &'a Location>,
    names: HashSet<String>,
    options: DescriptorPool,
}

impl Printer<'_> {
    fn file(&mut self, file: &FileDescriptorProto) {
        self.comment(&[12]);
        let syntax = if self.is_proto3 { "proto3" } else { "proto2" };
        self.line(&format!("syntax = \"{syntax}\";"));
        if !file.package().is_empty() {
            self.gap(&[2], true);
            self.line(&format!("package {};", file.package()));
        }
        for (at, import) in (0..).zip(&file.dependency) {
            self.gap(&[3, at], at == 0);
            let kind = if file.public_dependency.contains(&at) {
                "public "
            } else if file.weak_dependency.contains(&at) {
                "weak "
            } else {
                ""
            };
            self.line(&format!("import {kind}{};", quoted(import)));
        }
        if let Some(options) = &file.options {
            let options = self.options("FileOptions", options);
            for (at, option) in options.iter().enumerate() {
                self.gap(&[8], at == 0);
                self.line(&format!("option {option};"));
            }
        }
        for (at, service) in (0..).zip(&file.service) {
            self.gap(&[6, at], true);
            self.service(service, &[6, at]);
        }
        let groups = file
            .extension
            .iter()
            .filter(|it| it.r#type() == Type::Group);
        let groups: Vec<_> = groups.map(FieldDescriptorProto::type_name).collect();
        let is_group = |name: &str| {
            let name = format!(".{}", join(file.package(), name));
            groups.contains(&&*name)
        };
        for (at, message) in (0..).zip(&file.message_type) {
            if is_group(message.name()) {
                continue;
            }
            self.gap(&[4, at], true);
            self.message(message, self.package, &[4, at], "message");
        }
        for (at, it) in (0..).zip(&file.enum_type) {
            self.gap(&[5, at], true);
            self.enumeration(it, &[5, at]);
        }
        self.extensions(&file.extension, &file.message_type, self.package, &[7]);
    }

    fn service(&mut self, service: &ServiceDescriptorProto, path: &[i32]) {
        self.open(&format!("service {} {{", service.name()), path);
        if let Some(options) = &service.options {
            self.option_lines("ServiceOptions", options);
        }
        let scope = join(self.package, service.name());
        for (at, method) in (0..).zip(&service.method) {
            self.method(method, &scope, &[path, &[2, at]].concat());
        }
        self.close();
    }

    fn method(&mut self, method: &MethodDescriptorProto, scope: &str, path: &[i32]) {
        self.gap(path, false);
        let stream = |streams| if streams { "stream " } else { "" };
        let text = format!(
            "rpc {}({}{}) returns ({}{})",
            method.name(),
            stream(method.client_streaming()),
            self.reference(scope, method.input_type()),
            stream(method.server_streaming()),
            self.reference(scope, method.output_type()),
        );
        let options = method.options.as_ref();
        let options = options.map(|it| self.options("MethodOptions", it));
        match options {
            Some(options) if !options.is_empty() => {
                self.open(&format!("{text} {{"), path);
                for option in options {
                    self.line(&format!("option {option};"));
                }
                self.close();
            }
            _ => self.line_with(&format!("{text};"), path),
        }
    }

    fn message(&mut self, message: &DescriptorProto, scope: &str, path: &[i32], head: &str) {
        let scope = join(scope, message.name());
        let head = match head {
            "message" => format!("message {}", message.name()),
            group => group.to_owned(),
        };
        if is_empty(message) {
            return self.line_with(&format!("{head} {{}}"), path);
        }
        self.open(&format!("{head} {{"), path);
        if let Some(options) = &message.options {
            self.option_lines("MessageOptions", options);
        }
        for (at, it) in (0..).zip(&message.enum_type) {
            let path = [path, &[4, at]].concat();
            self.gap(&path, true);
            self.enumeration(it, &path);
        }
        // A map and a group have a type of their own among the nested ones: what stands before it
        // there is written before it here.
        let mut nested = 0;
        for (at, field) in (0..).zip(&message.field) {
            let path_of = |at: i32| [path, &[2, at]].concat();
            match field.oneof_index {
                Some(oneof) if !field.proto3_optional() => {
                    let is_in = |it: &&FieldDescriptorProto| {
                        it.oneof_index == Some(oneof) && !it.proto3_optional()
                    };
                    let first = message.field.iter().position(|it| is_in(&it));
                    if first != usize::try_from(at).ok() {
                        continue;
                    }
                    for field in message.field.iter().filter(is_in) {
                        if let Some(own) = own_type(message, &scope, field) {
                            self.nested(message, &mut nested, own, &scope, path);
                        }
                    }
                    let own = usize::try_from(oneof).ok();
                    let own = own.and_then(|it| message.oneof_decl.get(it));
                    let path = [path, &[8, oneof]].concat();
                    self.gap(&path, false);
                    let name = own.map_or("", |it| it.name());
                    self.open(&format!("oneof {name} {{"), &path);
                    for (at, field) in (0..).zip(&message.field) {
                        if is_in(&field) {
                            self.field(field, message, &scope, &path_of(at), false);
                        }
                    }
                    self.close();
                }
                _ => {
                    if let Some(own) = own_type(message, &scope, field) {
                        self.nested(message, &mut nested, own, &scope, path);
                    }
                    self.field(field, message, &scope, &path_of(at), true);
                }
            }
        }
        self.nested(
            message,
            &mut nested,
            message.nested_type.len(),
            &scope,
            path,
        );
        for range in &message.extension_range {
            let text = numbers(range.start(), range.end() - 1, MAX_FIELD);
            self.line(&format!("extensions {text};"));
        }
        for range in &message.reserved_range {
            let text = numbers(range.start(), range.end() - 1, MAX_FIELD);
            self.line(&format!("reserved {text};"));
        }
        for name in &message.reserved_name {
            self.line(&format!("reserved {};", quoted(name)));
        }
        self.extensions(
            &message.extension,
            &message.nested_type,
            &scope,
            &[path, &[6]].concat(),
        );
        self.close();
    }

    /// Nested messages, up to the one at `end`, but for those that belong to a map or a group.
    fn nested(
        &mut self,
        message: &DescriptorProto,
        done: &mut usize,
        end: usize,
        scope: &str,
        path: &[i32],
    ) {
        let groups = message.field.iter().chain(&message.extension);
        let groups = groups.filter_map(|field| own_type(message, scope, field));
        let owned: HashSet<usize> = groups.collect();
        for at in *done..end {
            if let Some(inner) = message.nested_type.get(at)
                && !owned.contains(&at)
            {
                let path = [path, &[3, i32::try_from(at).unwrap_or(i32::MAX)]].concat();
                self.gap(&path, true);
                self.message(inner, scope, &path, "message");
            }
        }
        *done = end.max(*done);
    }

    fn field(
        &mut self,
        field: &FieldDescriptorProto,
        message: &DescriptorProto,
        scope: &str,
        path: &[i32],
        with_label: bool,
    ) {
        self.gap(path, false);
        let own = own_type(message, scope, field).and_then(|at| message.nested_type.get(at));
        self.field_with(field, own, scope, path, with_label);
    }

    fn field_with(
        &mut self,
        field: &FieldDescriptorProto,
        own: Option<&DescriptorProto>,
        scope: &str,
        path: &[i32],
        with_label: bool,
    ) {
        let is_map = own.is_some_and(is_map_entry);
        let label = match field.label() {
            _ if is_map || !with_label => "",
            Label::Repeated => "repeated ",
            Label::Required => "required ",
            Label::Optional if self.is_proto3 && !field.proto3_optional() => "",
            Label::Optional => "optional ",
        };
        if let Some(own) = own
            && field.r#type() == Type::Group
        {
            let head = format!("{label}group {} = {}", own.name(), field.number());
            return self.message(own, scope, path, &head);
        }
        let kind = match own {
            // A group is done with: this is a map.
            Some(entry) => {
                let kinds = entry.field.iter().map(|it| self.kind(scope, it));
                let kinds: Vec<_> = kinds.collect();
                format!("map<{}>", kinds.join(", "))
            }
            None => self.kind(scope, field),
        };
        let mut options = Vec::new();
        if let Some(value) = &field.default_value {
            let value = match field.r#type() {
                Type::String => quoted(value),
                Type::Bytes => quoted_again(value),
                _ => value.chars().filter(|it| !it.is_whitespace()).collect(),
            };
            options.push(format!("default = {value}"));
        }
        if let Some(name) = &field.json_name
            && *name != json_name(field.name())
        {
            options.push(format!("json_name = {}", quoted(name)));
        }
        if let Some(own) = &field.options {
            options.extend(self.options("FieldOptions", own));
        }
        let options = match &options[..] {
            [] => String::new(),
            some => format!(" [{}]", some.join(", ")),
        };
        let (name, number) = (field.name(), field.number());
        self.line_with(&format!("{label}{kind} {name} = {number}{options};"), path);
    }

    fn kind(&self, scope: &str, field: &FieldDescriptorProto) -> String {
        let scalar = match field.r#type() {
            Type::Double => "double",
            Type::Float => "float",
            Type::Int64 => "int64",
            Type::Uint64 => "uint64",
            Type::Int32 => "int32",
            Type::Fixed64 => "fixed64",
            Type::Fixed32 => "fixed32",
            Type::Bool => "bool",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Uint32 => "uint32",
            Type::Sfixed32 => "sfixed32",
            Type::Sfixed64 => "sfixed64",
            Type::Sint32 => "sint32",
            Type::Sint64 => "sint64",
            Type::Group | Type::Message | Type::Enum => "",
        };
        match scalar {
            "" => self.reference(scope, field.type_name()),
            scalar => scalar.to_owned(),
        }
    }

    fn extensions(
        &mut self,
        extensions: &[FieldDescriptorProto],
        nested: &[DescriptorProto],
        scope: &str,
        path: &[i32],
    ) {
        for (at, field) in (0..).zip(extensions) {
            let path = [path, &[at]].concat();
            self.gap(&path, true);
            let extendee = self.reference(scope, field.extendee());
            self.open(&format!("extend {extendee} {{"), &[]);
            let is_own = |it: &&DescriptorProto| {
                field.r#type() == Type::Group && is_named(field, scope, it.name())
            };
            let own = nested.iter().find(is_own);
            self.field_with(field, own, scope, &path, true);
            self.close();
        }
    }

    fn enumeration(&mut self, it: &EnumDescriptorProto, path: &[i32]) {
        self.open(&format!("enum {} {{", it.name()), path);
        if let Some(options) = &it.options {
            self.option_lines("EnumOptions", options);
        }
        for (at, value) in (0..).zip(&it.value) {
            let path = [path, &[2, at]].concat();
            self.gap(&path, false);
            let options = value.options.as_ref();
            let options = options.map(|it| self.options("EnumValueOptions", it));
            let options = match options.unwrap_or_default().join(", ") {
                none if none.is_empty() => none,
                some => format!(" [{some}]"),
            };
            let text = format!("{} = {}{options};", value.name(), value.number());
            self.line_with(&text, &path);
        }
        for range in &it.reserved_range {
            let text = numbers(range.start(), range.end(), i32::MAX);
            self.line(&format!("reserved {text};"));
        }
        for name in &it.reserved_name {
            self.line(&format!("reserved {};", quoted(name)));
        }
        self.close();
    }

    /// A type's name, as short as it can be where it is written.
    fn reference(&self, scope: &str, name: &str) -> String {
        let Some(full) = name.strip_prefix('.') else {
            return name.to_owned();
        };
        let begins = full.rmatch_indices('.').map(|(dot, _)| dot + 1);
        let candidates = begins.chain([0]).map(|begin| &full[begin..]);
        let mut fit = candidates.filter(|it| self.resolves(scope, it, full));
        fit.next().unwrap_or(name).to_owned()
    }

    /// Whether `candidate` is found to be `full` from within `scope`, the innermost first.
    fn resolves(&self, mut scope: &str, candidate: &str, full: &str) -> bool {
        let first = candidate.split('.').next().unwrap_or_default();
        if KEYWORDS.contains(&first) {
            return false;
        }
        loop {
            if self.names.contains(&join(scope, first)) {
                return join(scope, candidate) == full;
            }
            if scope.is_empty() {
                return false;
            }
            scope = scope.rsplit_once('.').map_or("", |(parent, _)| parent);
        }
    }

    fn option_lines(&mut self, kind: &str, options: &impl Message) {
        for option in self.options(kind, options) {
            self.line(&format!("option {option};"));
        }
    }

    /// `name = value` of each of the options that is set.
    fn options(&self, kind: &str, options: &impl Message) -> Vec<String> {
        let name = format!("google.protobuf.{kind}");
        let Some(descriptor) = self.options.get_message_by_name(&name) else {
            return Vec::new();
        };
        let encoded = options.encode_to_vec();
        let Ok(options) = DynamicMessage::decode(descriptor, &encoded[..]) else {
            return Vec::new();
        };
        let mut lines = Vec::new();
        for (field, value) in options.fields() {
            let values = match value {
                Value::List(values) => &values[..],
                value => std::slice::from_ref(value),
            };
            for value in values {
                let text = match (value, field.kind()) {
                    // A map says so by its type.
                    _ if field.name() == "map_entry" => continue,
                    (Value::Bool(it), _) => it.to_string(),
                    (Value::String(it), _) => quoted(it),
                    (Value::EnumNumber(it), Kind::Enum(kind)) => match kind.get_value(*it) {
                        Some(it) => it.name().to_owned(),
                        None => continue,
                    },
                    _ => continue,
                };
                lines.push(format!("{} = {text}", field.name()));
            }
        }
        lines
    }

    /// An empty line, if asked for or if a comment follows, and the comment.
    fn gap(&mut self, path: &[i32], is_asked_for: bool) {
        let comments = self.comments.get(path);
        let is_commented = comments.is_some_and(|it| it.leading_comments.is_some());
        if !self.begins && (is_asked_for || is_commented) {
            self.text.push('\n');
        }
        self.comment(path);
    }

    fn comment(&mut self, path: &[i32]) {
        let comment = self.comments.get(path);
        let comment = comment.and_then(|it| it.leading_comments.clone());
        self.comment_lines(&comment.unwrap_or_default());
    }

    fn comment_lines(&mut self, comment: &str) {
        for line in comment.lines() {
            self.line(&format!("//{}", escape(line.trim_end())));
        }
    }

    fn open(&mut self, line: &str, path: &[i32]) {
        self.line(line);
        self.indent += 1;
        self.begins = true;
        self.trailing(path);
    }

    fn close(&mut self) {
        self.indent = self.indent.saturating_sub(1);
        self.line("}");
    }

    fn line_with(&mut self, line: &str, path: &[i32]) {
        self.line(line);
        self.trailing(path);
    }

    /// A comment behind what has just been written: on the same line, if it is one line long.
    fn trailing(&mut self, path: &[i32]) {
        let comment = self.comments.get(path);
        let comment = comment.and_then(|it| it.trailing_comments.clone());
        let comment = comment.unwrap_or_default();
        match comment.lines().count() {
            1 if !self.begins => {
                self.text.pop();
                // Writing to a string doesn't fail.
                let _ = writeln!(self.text, " //{}", escape(comment.trim_end()));
            }
            _ => self.comment_lines(&comment),
        }
    }

    fn line(&mut self, line: &str) {
        let indent = 2 * self.indent;
        let _ = writeln!(self.text, "{:indent$}{line}", "");
        self.begins = false;
    }
}

/// The largest number of a field.
const MAX_FIELD: i32 = 536_870_911;

/// Words that a type's name may not begin with where a type is expected.
const KEYWORDS: [&str; 29] = [
    "bool",
    "bytes",
    "double",
    "enum",
    "extend",
    "extensions",
    "fixed32",
    "fixed64",
    "float",
    "group",
    "int32",
    "int64",
    "map",
    "message",
    "oneof",
    "option",
    "optional",
    "repeated",
    "required",
    "reserved",
    "returns",
    "rpc",
    "sfixed32",
    "sfixed64",
    "sint32",
    "sint64",
    "stream",
    "string",
    "uint32",
];

fn is_empty(message: &DescriptorProto) -> bool {
    let nothing = DescriptorProto {
        name: message.name.clone(),
        ..DescriptorProto::default()
    };
    *message == nothing
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|it| it.map_entry())
}

/// Where the type stands among those nested in `message` that `field` declares by itself: as a
/// map, or as a group.
fn own_type(message: &DescriptorProto, scope: &str, field: &FieldDescriptorProto) -> Option<usize> {
    let is_own = |it: &DescriptorProto| {
        let is_group = field.r#type() == Type::Group;
        (is_group || is_map_entry(it)) && is_named(field, scope, it.name())
    };
    message.nested_type.iter().position(is_own)
}

fn is_named(field: &FieldDescriptorProto, scope: &str, name: &str) -> bool {
    field.type_name().strip_prefix('.') == Some(&join(scope, name))
}

fn numbers(first: i32, last: i32, max: i32) -> String {
    match last {
        last if last == first => first.to_string(),
        last if last == max => format!("{first} to max"),
        last => format!("{first} to {last}"),
    }
}

/// The JSON name that a field has unless it is given another.
fn json_name(name: &str) -> String {
    let mut json = String::new();
    let mut upper = false;
    for character in name.chars() {
        match character {
            '_' => upper = true,
            it if upper => {
                json.push(it.to_ascii_uppercase());
                upper = false;
            }
            it => json.push(it),
        }
    }
    json
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            it if it.is_ascii_graphic() || it == ' ' => quoted.push(it),
            it => {
                // Its bytes, which is valid in text of any kind.
                for byte in it.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(quoted, "\\{byte:03o}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

/// What is escaped already, in quotes.
fn quoted_again(escaped: &str) -> String {
    let mut quoted = String::from("\"");
    let mut characters = escaped.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let next = characters.next().filter(char::is_ascii_graphic);
                quoted.extend(['\\', next.unwrap_or('\\')]);
            }
            '"' => quoted.push_str("\\\""),
            it if it.is_ascii_graphic() || it == ' ' => quoted.push(it),
            it => {
                for byte in it.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(quoted, "\\{byte:03o}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}
