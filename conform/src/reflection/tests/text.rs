//! Text that compiles to the descriptor that it was made of.

use super::*;

/// Every construct that the text knows, in one file.
pub(super) const EVERYTHING: &str = r#"
// The head.
syntax = "proto2";

// The package.
package a.b;

import "google/protobuf/empty.proto";
import public "google/protobuf/timestamp.proto";

option java_package = "a \"quoted\" \\ name\n";
option optimize_for = CODE_SIZE;
option cc_enable_arenas = true;

// A service.
service S {
  option deprecated = true;

  // One reply.
  rpc One(M) returns (M.Inner);
  rpc Many(stream google.protobuf.Empty) returns (stream Other) {
    option deprecated = true;
    option idempotency_level = NO_SIDE_EFFECTS;
  }
}

/* A message,
   with a comment of two lines. */
message M {
  option message_set_wire_format = false;
  message Inner { optional Inner inner = 1; }
  enum Colour { option allow_alias = true; RED = 0 [deprecated = true]; ROT = 0; BLUE = -1; }
  required double required = 1; // Behind it.
  optional float number = 2 [default = -1.5];
  optional int32 a_number = 3 [default = -7, json_name = "otherName"];
  optional string text = 4 [default = "say \"hi\"\n\\ \303\244"];
  optional bytes raw = 5 [default = "\000\377\"x\\"];
  optional bool flag = 6 [default = true, deprecated = true];
  optional Colour colour = 7 [default = BLUE];
  repeated sint64 packed = 8 [packed = true];
  repeated Inner many = 9;
  map<string, M> map_of = 10;
  map<int32, Colour> colours = 11;
  message After { optional uint64 x = 1; }
  oneof choice {
    // The first.
    string first = 12;
    Inner second = 13;
    group Third = 14 { optional fixed32 y = 1; }
  }
  optional group Grouped = 15 { required sfixed64 z = 1; }
  optional double inf = 16 [default = inf];
  optional double nan = 17 [default = nan];
  optional google.protobuf.Timestamp time = 18;
  extensions 100 to 199, 1000 to max;
  reserved 20, 30 to 40;
  reserved "old", "older";
  extend Other { optional M in_other = 100; }
}

message Other { extensions 100 to max; }
message Empty {}

enum Top { ZERO = 0; ONE = 1; reserved 5 to 10, 100 to max; reserved "TWO"; }

extend Other { repeated Top tops = 101; optional group Extra = 102 { optional bool w = 1; } }
"#;

const PROTO3: &str = r#"
syntax = "proto3";
package a;
message M {
  optional int32 maybe = 1;
  repeated int32 packed = 2;
  repeated int32 unpacked = 3 [packed = false];
  oneof one { M x = 4; .a.M.string b = 5; }
  message string { }
  message Number { }
  string text = 6;
  .a.Number outer = 7;
  Number inner = 8;
  optional string last = 9;
  message a { .a.M m = 1; }
  .a.Number again = 10;
  message Deep { .a.google.protobuf.X x = 1; google g = 2; }
  message google { }
}
message Number {}
message Outer { message Inner {} }
message Fields { string Number = 1; string Outer = 2; Number number_of = 3; Outer.Inner inner = 4; }
message google { message protobuf { message X {} } }
"#;

/// Compiles what is printed of each file, and compares.
fn check(set: &FileDescriptorSet) {
    let pool = DescriptorPool::from_file_descriptor_set(set.clone()).unwrap();
    let files = pool.files().filter(|it| !it.name().starts_with("google/"));
    let printed: Vec<_> = files
        .map(|it| (it.name().to_owned(), proto_text(&it)))
        .collect();
    let sources: Vec<_> = printed
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect();
    let again = compile(&sources);
    for (name, text) in sources {
        let of = |set: &FileDescriptorSet| {
            let mut file = set
                .file
                .iter()
                .find(|it| it.name() == name)
                .unwrap()
                .clone();
            file.source_code_info = None;
            file
        };
        assert!(
            of(&again) == of(set),
            "{text}\n{:?}\n{:?}",
            of(&again),
            of(set)
        );
        // With the comments: they are where they were.
        let pool = DescriptorPool::from_file_descriptor_set(again.clone()).unwrap();
        assert_eq!(proto_text(&pool.get_file_by_name(name).unwrap()), text);
    }
}

#[test]
fn what_is_printed_of_the_courses_protos_compiles_to_the_same_descriptors() {
    check(&course());
}

#[test]
fn what_is_printed_of_everything_compiles_to_the_same_descriptor() {
    check(&compile(&[("a.proto", EVERYTHING)]));
    check(&compile(&[("a.proto", PROTO3)]));
    check(&compile(&[(
        "a.proto",
        "syntax = \"proto3\"; message M { M m = 1; }",
    )]));
    check(&compile(&[("b c\"\\.proto", "message M {}")]));
}

#[test]
fn it_looks_as_somebody_would_have_written_it() {
    let source = r#"// A sample.
syntax = "proto3";

package sample.v1;

import "google/protobuf/empty.proto";

option java_package = "v1";
option java_multiple_files = true;

// Does nothing.
service Sample {
  // Once.
  rpc Once(Request) returns (google.protobuf.Empty);
  rpc Often(stream Request) returns (stream Request);

  // Never.
  rpc Never(Request) returns (Request);
}

// What is asked.
//
// In two parts.
message Request {
  string some_text = 1; // Any.
  repeated Part parts = 2;

  // One or the other.
  oneof either {
    bool this = 3;
    bool that = 4;
  }

  message Part {
    map<string, Part> parts = 1;
  }
}

message Nothing {}

enum Answer {
  NO = 0;
  YES = 1;
}
"#;
    let pool = DescriptorPool::from_file_descriptor_set(compile(&[("s.proto", source)])).unwrap();
    let text = proto_text(&pool.get_file_by_name("s.proto").unwrap());
    assert_eq!(text, source);
}

/// The text of the one file of `set`, after a change.
fn changed(source: &str, change: impl FnOnce(&mut FileDescriptorProto)) -> String {
    let mut set = compile(&[("a.proto", source)]);
    change(&mut set.file[0]);
    let pool = DescriptorPool::from_file_descriptor_set(set).unwrap();
    proto_text(&pool.get_file_by_name("a.proto").unwrap())
}

#[test]
fn what_can_be_short_is_short_and_what_can_not_be_shown_is_escaped() {
    let source = r#"
syntax = "proto2";
package a;
message M { // Inside.
  extensions 100 to 199, 1000 to max;
  reserved 20, 30 to 40;
  optional string text = 1 [default = "a b\303\244\n"];
  optional bytes raw = 2;
  map<string, M> of_m = 3;
  optional M m = 4;
}
service S { rpc C(M) returns (M); }
"#;
    let text = changed(source, |file| {
        let message = &mut file.message_type[0];
        // As no compiler writes it.
        message.field[1].default_value = Some("a bä".into());
    });
    for expected in [
        "message M {\n  // Inside.\n",
        "  extensions 100 to 199;\n  extensions 1000 to max;\n",
        "  reserved 20;\n  reserved 30 to 40;\n",
        r#"text = 1 [default = "a b\303\244\n"];"#,
        r#"raw = 2 [default = "a b\303\244"];"#,
        "  optional M m = 4;\n",
        "  rpc C(M) returns (M);\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let same = changed(source, |file| {
        file.message_type[0].field[1].default_value = Some("a bä".into());
        // It is found by its name.
        file.message_type[0].field[3].r#type = None;
        // None that this text knows.
        file.service[0].method[0].options = Some(Default::default());
    });
    assert_eq!(same, text);
    // An entry that is left of a map is a message, which can't say what it is an entry of.
    let without = changed(source, |file| drop(file.message_type[0].field.remove(2)));
    assert!(without.contains("message OfMEntry {"), "{without}");
    assert!(!without.contains("map_entry"), "{without}");
}

#[test]
fn comments_cannot_leave_their_lines() {
    let source = "syntax = \"proto3\";\n// a\x1b[2J\u{2028}b\rc\nmessage M {}\n";
    let pool = DescriptorPool::from_file_descriptor_set(compile(&[("s.proto", source)])).unwrap();
    let text = proto_text(&pool.get_file_by_name("s.proto").unwrap());
    assert!(
        text.chars().all(|it| it == '\n' || !it.is_control()),
        "{text:?}"
    );
    assert!(!text.contains('\u{2028}'), "{text:?}");
}
