//! What `protos/README.md` says of protobuf, claim by claim: each schema beside its bytes.

use std::collections::HashMap;

use prost::{Enumeration, Message, Oneof};
use prost_reflect::text_format::FormatOptions;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use wire::testing::{framed, post};

use super::start;

// Fields and numbers

#[test]
fn numbers_travel_and_names_do_not() {
    let ann = b"\x0a\x03Ann";
    assert_eq!(encode("string name = 1;", r#"name: "Ann""#), ann);
    assert_eq!(encode("string who = 1;", r#"who: "Ann""#), ann);
    // Field 1, of kind 2: "a length, and that many bytes".
    assert_eq!(ann[0], 1 << 3 | 2);
}

#[test]
fn numbers_above_15_take_a_second_byte() {
    assert_eq!(encode("bool a = 15;", "a: true").len(), 2);
    assert_eq!(encode("bool a = 16;", "a: true").len(), 3);
}

#[test]
fn small_integers_are_short_and_negative_ones_want_sint() {
    let length = |kind, value| encode(&format!("{kind} a = 1;"), &format!("a: {value}")).len() - 1;
    assert_eq!(length("int32", "127"), 1);
    assert_eq!(length("int32", "128"), 2);
    assert_eq!(length("int32", "-1"), 10);
    assert_eq!(length("sint32", "-1"), 1);
    assert_eq!(length("fixed32", "1"), 4);
    assert_eq!(length("double", "1"), 8);
}

#[test]
fn a_string_must_be_utf8_and_bytes_need_not() {
    let bytes = [0x0a, 1, 0xff];
    assert_eq!(decode("string a = 1;", &bytes), Err("unreadable"));
    assert_eq!(decode("bytes a = 1;", &bytes), Ok(r#"a:"\377""#.to_owned()));
}

// Defaults and presence

#[test]
fn a_default_is_not_sent_and_a_missing_field_is_read_as_its_default() {
    for (kind, default) in [("double", "0"), ("bool", "false"), ("string", r#""""#)] {
        assert_eq!(
            encode(&format!("{kind} a = 1;"), &format!("a: {default}")),
            b""
        );
    }
    assert_eq!(
        Plain::decode(&b""[..]),
        Ok(Plain {
            name: String::new()
        })
    );
}

#[test]
fn optional_tells_zero_from_missing() {
    assert_eq!(encode("optional double a = 1;", "a: 0").len(), 9);
    assert_eq!(encode("optional double a = 1;", ""), b"");
    let empty_name = b"\x0a\x00";
    assert_eq!(
        Optional::decode(&empty_name[..]).unwrap().name,
        Some(String::new())
    );
    assert_eq!(Optional::decode(&b""[..]).unwrap().name, None);
    // A reader without `optional` takes both for the same.
    assert_eq!(Plain::decode(&empty_name[..]), Plain::decode(&b""[..]));
}

#[test]
fn a_message_as_a_field_is_always_optional() {
    assert_eq!(Outer::decode(&b""[..]).unwrap().inner, None);
    assert_eq!(
        Outer::decode(&b"\x0a\x00"[..]).unwrap().inner,
        Some(Plain::default())
    );
}

#[test]
fn a_member_of_a_oneof_is_sent_even_at_its_default() {
    assert_eq!(
        encode("oneof by { uint64 phone = 2; }", "phone: 0"),
        [0x10, 0]
    );
}

// What may change

#[test]
fn a_new_field_is_skipped_by_an_old_reader_and_is_its_default_to_a_new_one() {
    let (old, new) = ("string a = 1;", "string a = 1; uint32 b = 2;");
    assert_eq!(pass(new, r#"a: "x" b: 7"#, old), Ok(r#"a:"x""#.to_owned()));
    assert_eq!(pass(old, r#"a: "x""#, new), Ok(r#"a:"x""#.to_owned()));
}

#[test]
fn in_rust_what_was_skipped_is_lost_when_the_message_is_sent_on() {
    let bytes = encode("string a = 1; uint32 b = 2;", r#"a: "x" b: 7"#);
    let passed_on = Plain::decode(&bytes[..]).unwrap().encode_to_vec();
    assert_eq!(passed_on, encode("string a = 1;", r#"a: "x""#));
}

#[test]
fn a_number_used_again_is_misread_or_unreadable() {
    let double = "double a = 1;";
    // Both are eight bytes: nobody notices.
    assert_eq!(
        pass(double, "a: 1", "fixed64 b = 1;"),
        Ok("b:4607182418800017408".to_owned())
    );
    assert_eq!(pass(double, "a: 1", "string b = 1;"), Err("unreadable"));
    assert_eq!(pass(double, "a: 1", "int32 b = 1;"), Err("unreadable"));
}

#[test]
fn a_reserved_number_is_refused_and_a_reserved_name_by_protoc_only() {
    let with = |field| {
        compile(&format!(
            "message M {{ reserved 1; reserved \"old\"; {field} }}"
        ))
    };
    with("double a = 2;").unwrap();
    with("double a = 1;").unwrap_err();
    // protox doesn't look at reserved names.
    with("double old = 2;").unwrap();
}

#[test]
fn integers_may_grow_but_not_shrink_nor_become_sint() {
    assert_eq!(
        pass("int32 a = 1;", "a: -5", "int64 a = 1;"),
        Ok("a:-5".to_owned())
    );
    assert_eq!(
        pass("bool a = 1;", "a: true", "int32 a = 1;"),
        Ok("a:1".to_owned())
    );
    // 2 to the power of 32, and 7: the upper half is cut off.
    assert_eq!(
        pass("int64 a = 1;", "a: 4294967303", "int32 a = 1;"),
        Ok("a:7".to_owned())
    );
    assert_eq!(
        pass("int32 a = 1;", "a: 1", "sint32 a = 1;"),
        Ok("a:-1".to_owned())
    );
}

#[test]
fn a_string_may_become_repeated_and_its_old_reader_takes_the_last() {
    let (one, many) = ("string a = 1;", "repeated string a = 1;");
    assert_eq!(pass(one, r#"a: "x""#, many), Ok(r#"a:["x"]"#.to_owned()));
    assert_eq!(
        pass(many, r#"a: ["x", "y"]"#, one),
        Ok(r#"a:"y""#.to_owned())
    );
}

#[test]
fn a_message_may_become_repeated_and_its_old_reader_merges_them() {
    let inner = "message I { string a = 1; string b = 2; }";
    let (one, many) = (
        format!("{inner} I i = 1;"),
        format!("{inner} repeated I i = 1;"),
    );
    let text = r#"i { a: "x" } i { a: "y" b: "z" }"#;
    let merged = r#"i{a:"y",b:"z"}"#.to_owned();
    assert_eq!(pass(&many, text, &one), Ok(merged));
}

#[test]
fn a_number_may_not_become_repeated() {
    let (one, many) = ("int32 a = 1;", "repeated int32 a = 1;");
    assert_eq!(pass(one, "a: 7", many), Ok("a:[7]".to_owned()));
    assert_eq!(pass(many, "a: [7]", one), Err("unreadable"));
}

// repeated, map, oneof, enum

#[test]
fn repeated_numbers_are_packed_behind_one_length() {
    assert_eq!(
        encode("repeated int32 a = 1;", "a: [5, 6, 7]"),
        [0x0a, 3, 5, 6, 7]
    );
    assert_eq!(encode("repeated int32 a = 1;", ""), b"");
}

#[test]
fn a_map_travels_as_pairs_and_the_last_of_equal_keys_counts() {
    let pairs = "message Pair { string key = 1; int32 value = 2; } repeated Pair a = 1;";
    let text = r#"a { key: "x" value: 1 } a { key: "x" value: 2 }"#;
    assert_eq!(
        pass(pairs, text, "map<string, int32> a = 1;"),
        Ok(r#"a:[{key:"x",value:2}]"#.to_owned())
    );
    assert_eq!(
        Prices::decode(&encode(pairs, text)[..]).unwrap().of,
        HashMap::from([("x".to_owned(), 2)])
    );
}

#[test]
fn of_a_oneof_the_last_one_counts_and_an_unknown_one_is_none() {
    let both = encode(
        "string mail = 1; uint64 phone = 2;",
        r#"mail: "a@b" phone: 7"#,
    );
    assert_eq!(Contact::decode(&both[..]).unwrap().by, Some(By::Phone(7)));
    let newer = encode(
        "oneof by { string mail = 1; uint64 phone = 2; string chat = 3; }",
        r#"chat: "x""#,
    );
    assert_eq!(Contact::decode(&newer[..]).unwrap().by, None);
}

#[test]
fn an_enum_begins_at_zero_and_keeps_values_that_it_does_not_know() {
    compile("enum Size { SIZE_SMALL = 1; }").unwrap_err();
    let with_large =
        "enum Size { SIZE_UNSPECIFIED = 0; SIZE_SMALL = 1; SIZE_LARGE = 2; } Size size = 1;";
    let shirt = Shirt::decode(&encode(with_large, "size: SIZE_LARGE")[..]).unwrap();
    assert_eq!(shirt.size, 2);
    Size::try_from(shirt.size).unwrap_err();
    // The generated accessor hides it.
    assert_eq!(shirt.size(), Size::Unspecified);
}

#[test]
fn two_enums_of_a_package_cannot_share_a_value_name() {
    compile("enum A { UNKNOWN = 0; } enum B { UNKNOWN = 0; }").unwrap_err();
    compile("enum A { A_UNKNOWN = 0; } enum B { B_UNKNOWN = 0; }").unwrap();
}

// Well-known types, packages

#[test]
fn well_known_types_are_ordinary_messages() {
    let text = "at { seconds: 60 nanos: 5 }";
    let known = encode("google.protobuf.Timestamp at = 1;", text);
    assert_eq!(
        known,
        encode(
            "message T { int64 seconds = 1; int32 nanos = 2; } T at = 1;",
            text
        )
    );
    assert_eq!(encode("google.protobuf.Empty a = 1;", "a {}"), b"\x0a\x00");
    // In Rust an `Empty` is `()`.
    assert_eq!(().encode_to_vec(), b"");
}

#[tokio::test]
async fn names_of_package_service_and_method_travel_in_the_path() {
    let url = start().await;
    for (path, expected) in [
        ("/calculator.v1.Calculator/SquareRoot", "OK"),
        ("/calculator.v2.Calculator/SquareRoot", "UNIMPLEMENTED"),
        ("/calculator.v1.Abacus/SquareRoot", "UNIMPLEMENTED"),
        ("/calculator.v1.Calculator/Root", "UNIMPLEMENTED"),
    ] {
        let reply = post(&url, path, framed(b"")).await;
        assert_eq!(reply.status(), Some(expected), "{path}");
    }
}

/// A message as prost generates it from `string name = 1;`.
#[derive(Clone, PartialEq, Message)]
struct Plain {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Optional {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Outer {
    #[prost(message, optional, tag = "1")]
    inner: Option<Plain>,
}

#[derive(Clone, PartialEq, Message)]
struct Prices {
    #[prost(map = "string, int32", tag = "1")]
    of: HashMap<String, i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Contact {
    #[prost(oneof = "By", tags = "1, 2")]
    by: Option<By>,
}

#[derive(Clone, PartialEq, Oneof)]
enum By {
    #[prost(string, tag = "1")]
    Mail(String),
    #[prost(uint64, tag = "2")]
    Phone(u64),
}

#[derive(Clone, PartialEq, Message)]
struct Shirt {
    #[prost(enumeration = "Size", tag = "1")]
    size: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Enumeration)]
enum Size {
    Unspecified = 0,
    Small = 1,
}

/// Writes with one schema and reads with another.
fn pass(writer: &str, text: &str, reader: &str) -> Result<String, &'static str> {
    decode(reader, &encode(writer, text))
}

/// The bytes of a message with these fields; `text` sets them, in protobuf's text format.
fn encode(fields: &str, text: &str) -> Vec<u8> {
    let message = DynamicMessage::parse_text_format(message(fields), text);
    message.unwrap().encode_to_vec()
}

/// What a reader with these fields makes of the bytes, in protobuf's text format.
fn decode(fields: &str, bytes: &[u8]) -> Result<String, &'static str> {
    let message = DynamicMessage::decode(message(fields), bytes);
    let message = message.map_err(|_| "unreadable")?;
    let known = FormatOptions::new().skip_unknown_fields(true);
    Ok(message.to_text_format_with_options(&known))
}

fn message(fields: &str) -> MessageDescriptor {
    let protos = compile(&format!("message M {{ {fields} }}")).unwrap();
    protos.get_message_by_name("test.M").unwrap()
}

fn compile(definitions: &str) -> Result<DescriptorPool, protox::Error> {
    let source = format!(
        "syntax = \"proto3\";
        package test;
        import \"google/protobuf/empty.proto\";
        import \"google/protobuf/timestamp.proto\";
        {definitions}"
    );
    let mut resolver = ChainFileResolver::new();
    resolver.add(Source(source));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("test.proto")?;
    Ok(compiler.descriptor_pool())
}

/// One file, from memory.
struct Source(String);

impl FileResolver for Source {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "test.proto" {
            File::from_source(name, &self.0)
        } else {
            Err(protox::Error::file_not_found(name))
        }
    }
}
