//! Services that are left out, and what would give them away.

use tonic_reflection::server::Builder;

use super::*;

const SHARED: &str = "syntax = \"proto3\"; package shared; message Both { In in = 1; }
    message In {} message Secret { Deep deep = 1; } message Deep {} enum Hidden { H = 0; }";
const PUBLIC: &str = "syntax = \"proto3\"; package public; import public \"shared.proto\";";
const BOTH: &str = "// About admins, too.
    syntax = \"proto3\"; package both; import \"public.proto\"; import \"google/protobuf/empty.proto\";
    // Gone, with its comment.
    service Admin { rpc Close(Order) returns (shared.Secret); }
    // Stays.
    service Shop { rpc Buy(Item) returns (stream shared.Both); }
    // Only admins need it.
    message Order { google.protobuf.Empty empty = 1; }
    message Another {}
    // Bought.
    message Item { Colour colour = 1; message Part { Size size = 1; } map<string, Part> parts = 2; Tag tag = 3; }
    // Its price.
    message Tag {}
    enum Gone { G = 0; } enum Colour { C = 0; } enum Size { S = 0; }";
const ADMIN: &str =
    "syntax = \"proto3\"; package admin; message A {} service S { rpc C(A) returns (A); }";

fn everything() -> Vec<u8> {
    let sources = [
        ("shared.proto", SHARED),
        ("public.proto", PUBLIC),
        ("both.proto", BOTH),
        ("admin.proto", ADMIN),
    ];
    compile(&sources).encode_to_vec()
}

fn shop() -> FileDescriptorSet {
    let told = only_services(&everything(), &["both.Shop"]).unwrap();
    FileDescriptorSet::decode(&told[..]).unwrap()
}

#[test]
fn a_service_stays_with_what_it_needs_and_nothing_else() {
    let pool = DescriptorPool::from_file_descriptor_set(shop()).unwrap();
    let files: Vec<_> = pool.files().map(|it| it.name().to_owned()).collect();
    assert_eq!(files, ["shared.proto", "both.proto"]);
    let services: Vec<_> = pool
        .services()
        .map(|it| it.full_name().to_owned())
        .collect();
    assert_eq!(services, ["both.Shop"]);
    let mut messages: Vec<_> = pool
        .all_messages()
        .map(|it| it.full_name().to_owned())
        .collect();
    messages.sort();
    let expected = [
        "both.Item",
        "both.Item.Part",
        "both.Item.PartsEntry",
        "both.Tag",
        "shared.Both",
        "shared.In",
    ];
    assert_eq!(messages, expected);
    let mut enums: Vec<_> = pool
        .all_enums()
        .map(|it| it.full_name().to_owned())
        .collect();
    enums.sort();
    assert_eq!(enums, ["both.Colour", "both.Size"]);
}

#[test]
fn comments_stay_with_what_they_are_about() {
    let pool = DescriptorPool::from_file_descriptor_set(shop()).unwrap();
    let text = proto_text(&pool.get_file_by_name("both.proto").unwrap());
    assert!(text.contains("// Stays.\nservice Shop {"), "{text}");
    assert!(text.contains("// Bought.\nmessage Item {"), "{text}");
    assert!(text.contains("// Its price.\nmessage Tag {"), "{text}");
    assert!(!text.to_lowercase().contains("admin"), "{text}");
    assert!(text.contains("import \"shared.proto\";"), "{text}");
    assert!(!text.contains("public"), "{text}");
    compile(&[("shared.proto", SHARED), ("both.proto", &text)]);
}

#[test]
fn all_services_of_the_course_may_stay() {
    let set = course();
    let pool = DescriptorPool::from_file_descriptor_set(set.clone()).unwrap();
    let names: Vec<_> = pool
        .services()
        .map(|it| it.full_name().to_owned())
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let told = only_services(&set.encode_to_vec(), &names).unwrap();
    let told = FileDescriptorSet::decode(&told[..]).unwrap();
    for file in &set.file {
        let kept = told
            .file
            .iter()
            .find(|it| it.name() == file.name())
            .unwrap();
        assert_eq!(
            (&kept.service, &kept.message_type),
            (&file.service, &file.message_type)
        );
        assert_eq!(
            (&kept.syntax, &kept.dependency, &kept.options),
            (&file.syntax, &file.dependency, &file.options)
        );
    }
    let none = only_services(&set.encode_to_vec(), &[]).unwrap();
    assert!(none.is_empty());
}

#[test]
fn names_that_are_no_service_and_bytes_that_are_no_descriptors_are_refused() {
    for name in ["both.Nobody", "Shop", "both.Item", ""] {
        let error = only_services(&everything(), &["both.Shop", name]).unwrap_err();
        assert_eq!(error, HideError::UnknownService(name.into()));
        assert_eq!(
            error.to_string(),
            format!("the descriptors have no service `{name}`")
        );
    }
    let error = only_services(&[0xff], &[]).unwrap_err();
    assert_eq!(error.to_string(), "these bytes are no FileDescriptorSet");
}

/// What a stranger could guess: names of services, methods, messages and files.
const GUESSES: [&str; 5] = [
    "both.Admin",
    "both.Admin.Close",
    "both.Order",
    "shared.Secret",
    "admin.S",
];

#[tokio::test]
async fn what_is_hidden_cannot_be_found_by_any_name() {
    let told = only_services(&everything(), &["both.Shop"]).unwrap();
    let server = Builder::configure().register_encoded_file_descriptor_set(&told);
    let mut client = ReflectionClient::new(server.build_v1().unwrap());
    let types = client.types_of("both.Shop").await.unwrap();
    assert!(types.get_service_by_name("both.Admin").is_none());
    for guess in GUESSES {
        let error = client.types_of(guess).await.unwrap_err();
        assert!(
            matches!(error, ReflectionError::NotFound(_)),
            "{guess}: {error}"
        );
    }
}

#[tokio::test]
async fn tonic_alone_hides_a_service_from_the_list_only() {
    let everything = everything();
    let server = Builder::configure()
        .register_encoded_file_descriptor_set(&everything)
        .with_service_name("both.Shop");
    let mut client = ReflectionClient::new(server.build_v1().unwrap());
    assert_eq!(client.services().await.unwrap(), ["both.Shop"]);
    for guess in GUESSES {
        client.types_of(guess).await.unwrap();
    }
}
