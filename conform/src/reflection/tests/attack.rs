//! Servers that lie, and servers that never end.

use std::time::Duration;

use super::*;

/// What comes of asking for `a.S`.
async fn lie(fake: &Fake) -> String {
    let error = fake.client().types_of("a.S").await.unwrap_err();
    let sentence = error.to_string();
    assert!(
        sentence.len() < 400 && !sentence.contains('\n'),
        "{sentence}"
    );
    sentence
}

async fn lie_about(files: impl IntoIterator<Item = FileDescriptorProto>) -> String {
    let files: Vec<_> = files.into_iter().collect();
    let fake = Fake::new(move |question| {
        let file = match &question {
            MessageRequest::FileByFilename(name) => files.iter().find(|it| it.name() == name),
            _ => files.first(),
        };
        one(file.map_or(error(5), |it| these([it.encode_to_vec()])))
    });
    lie(&fake).await
}

#[tokio::test]
async fn a_file_that_is_missing_is_named_with_the_one_that_imports_it() {
    let files = [
        file("a.proto", &["b.proto"]),
        file("b.proto", &["c\n.proto"]),
    ];
    let expected = r"the server doesn't have `c\n.proto`, which its `b.proto` imports";
    assert_eq!(lie_about(files).await, expected);
}

#[tokio::test]
async fn files_that_import_each_other_in_a_circle_are_named() {
    let expected = "the server's files import each other in a circle: ";
    let files = [file("a.proto", &["a.proto"])];
    assert_eq!(
        lie_about(files).await,
        format!("{expected}`a.proto`, and again the first")
    );
    // Those that lead to the circle aren't in it.
    let files = [
        file("a.proto", &["b.proto"]),
        file("b.proto", &["d.proto", "c.proto"]),
        file("c.proto", &["b.proto"]),
        file("d.proto", &[]),
    ];
    let got = lie_about(files).await;
    assert_eq!(
        got,
        format!("{expected}`b.proto`, `c.proto`, and again the first")
    );
    let names: Vec<_> = (0..40).map(|it| format!("{it:02}.proto")).collect();
    let mut files: Vec<_> = (0..40)
        .map(|it| file(&names[it], &[&names[(it + 1) % 40]]))
        .collect();
    files.insert(0, file("a.proto", &["00.proto"]));
    let got = lie_about(files).await;
    assert!(got.ends_with("`04.proto`, and 35 more"), "{got}");
}

#[tokio::test]
async fn an_import_chain_without_end_is_given_up() {
    let link = |name: &str| {
        let number: usize = name.trim_end_matches(".proto").parse().unwrap_or(0);
        file(name, &[&format!("{}.proto", number + 1)])
    };
    let fake = Fake::new(move |question| match question {
        MessageRequest::FileByFilename(name) => one(these([link(&name).encode_to_vec()])),
        _ => one(these([link("a.proto").encode_to_vec()])),
    });
    let expected = "the server's files import each other more than 100 deep";
    assert_eq!(lie(&fake).await, expected);
}

#[tokio::test]
async fn as_deep_as_the_limit_is_deep_enough() {
    let names: Vec<_> = (0..3).map(|it| format!("{it}.proto")).collect();
    let set = set([
        file("a.proto", &["0.proto"]),
        file(&names[0], &["1.proto"]),
        file(&names[1], &["2.proto"]),
        file(&names[2], &[]),
    ]);
    for (depth, is_enough) in [(2, false), (3, true)] {
        let limits = Limits {
            depth,
            ..Limits::default()
        };
        let fake = Fake::of(&FileDescriptorSet {
            file: set.file.iter().rev().cloned().collect(),
        });
        let types = fake.client().limits(limits).types_of("a.S").await;
        assert_eq!(types.is_ok(), is_enough, "{depth}: {types:?}");
    }
}

#[tokio::test]
async fn files_without_number_are_given_up() {
    let names: Vec<_> = (0..3000).map(|it| format!("{it}.proto")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let first = file("a.proto", &names).encode_to_vec();
    let fake = Fake::new(move |question| match question {
        MessageRequest::FileByFilename(name) => one(these([file(&name, &[]).encode_to_vec()])),
        _ => one(these([first.clone()])),
    });
    let expected = "the server's description has more than 2000 files or services";
    assert_eq!(lie(&fake).await, expected);
    let names = (0..2001).map(|it| format!("a.S{it}")).collect::<Vec<_>>();
    for (count, is_ok) in [(2000, true), (2001, false)] {
        let names = names[..count].to_vec();
        let fake = Fake::new(move |_| one(list(names.clone())));
        let services = fake.client().services().await;
        assert_eq!(services.map_err(|it| it.to_string()).is_ok(), is_ok);
    }
}

/// Each answer is within the limit; together they aren't.
#[tokio::test]
async fn more_bytes_than_the_limit_are_not_taken() {
    for sizes in [[100_000_000, 0], [9_000_000, 0], [6_000_000, 6_000_000]] {
        let files =
            ["a.proto", "b.proto"].map(|it| file(it, &["b.proto"][..usize::from(it < "b")]));
        let mut encoded = files.map(|it| it.encode_to_vec());
        for (file, size) in encoded.iter_mut().zip(sizes) {
            // A field that descriptors don't have.
            file.extend([0xfa, 0x7f]);
            prost::encoding::encode_varint(size as u64, file);
            file.extend(std::iter::repeat_n(0, size));
        }
        let fake = Fake::new(move |question| match question {
            MessageRequest::FileByFilename(_) => one(these([encoded[1].clone()])),
            _ => one(these([encoded[0].clone()])),
        });
        assert_eq!(
            lie(&fake).await,
            "the server's description is larger than 8 MiB"
        );
    }
}

/// Two bytes are an empty message: a thousand of them are a megabyte.
#[tokio::test]
async fn more_memory_than_the_limit_is_not_taken() {
    for tag in [[0x22, 0], [0x2a, 0], [0x32, 0], [0x1a, 0]] {
        let mut encoded = file("a.proto", &[]).encode_to_vec();
        encoded.extend(tag.repeat(4_000_000));
        let fake = Fake::new(move |_| one(these([encoded.clone()])));
        let expected = "the server's description needs more than 64 MiB of memory";
        assert_eq!(lie(&fake).await, expected, "{tag:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let fake = Fake::new(|_| futures::stream::pending().boxed());
    let begin = tokio::time::Instant::now();
    let expected = "the server did not describe itself within 10 seconds";
    assert_eq!(lie(&fake).await, expected);
    assert_eq!(
        fake.client().services().await.unwrap_err().to_string(),
        expected
    );
    assert_eq!(begin.elapsed().as_secs(), 20);
}

/// One answer a question is read; the rest stays where it is.
#[tokio::test]
async fn answers_without_end_are_not_read() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let fake = Fake::new(move |_| {
        let counted = counted.clone();
        let answers = futures::stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(list(vec!["a.S".into()]))
        });
        answers.boxed()
    });
    assert_eq!(fake.client().services().await.unwrap(), ["a.S"]);
    assert!(sent.load(Ordering::SeqCst) < 10_000);
}

#[tokio::test]
async fn a_server_that_answers_slowly_for_ever_is_given_up() {
    let limits = Limits {
        time: Duration::from_millis(200),
        ..Limits::default()
    };
    let link = |name: &str| file(name, &[&format!("{name}x")]);
    let fake = Fake::new(move |question| {
        let file = match question {
            MessageRequest::FileByFilename(name) => link(&name),
            _ => link("a.proto"),
        };
        let answer = async move {
            tokio::time::sleep(Duration::from_millis(15)).await;
            Ok(these([file.encode_to_vec()]))
        };
        futures::stream::once(answer).boxed()
    });
    let error = fake
        .client()
        .limits(limits)
        .types_of("a.S")
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server did not describe itself within 0.2 seconds"
    );
}

#[tokio::test]
async fn answers_to_other_questions_are_refused() {
    let says = "the server's description is invalid: ";
    let other = Fake::new(|_| one(list(Vec::new())));
    let expected = format!("{says}no files in the answer to a question for files");
    assert_eq!(lie(&other).await, expected);
    let other = Fake::new(|_| one(these([])));
    let expected = format!("{says}no list of services in the answer to that question");
    assert_eq!(
        other.client().services().await.unwrap_err().to_string(),
        expected
    );
    let a = file("a.proto", &["b.proto"]).encode_to_vec();
    let same = Fake::new(move |_| one(these([a.clone()])));
    assert_eq!(
        lie(&same).await,
        format!("{says}asked for `b.proto`, it sent others")
    );
    let garbage = Fake::new(|_| one(these([vec![0xff; 9]])));
    assert_eq!(
        lie(&garbage).await,
        format!("{says}a file that can't be decoded")
    );
    let unnamed = Fake::new(|_| one(these([Vec::new()])));
    assert_eq!(lie(&unnamed).await, format!("{says}a file without a name"));
    let nothing = Fake::new(|_| one(these([])));
    assert_eq!(
        lie(&nothing).await,
        format!("{says}no file of them declares `a.S`")
    );
    let silent = Fake::new(|_| futures::stream::iter([Err(Status::internal("no"))]).boxed());
    assert_eq!(lie(&silent).await, "the server refused: Internal: no");
}

fn with_enum() -> FileDescriptorProto {
    let text = "syntax = \"proto3\"; package a; message M {} enum E { V = 0; }
        service S { rpc C(M) returns (M); }";
    compile(&[("a.proto", text)]).file.remove(0)
}

#[tokio::test]
async fn a_name_of_500_characters_is_short_enough() {
    let mut file = with_enum();
    let name = "M".repeat(497);
    let full = format!(".a.{name}");
    assert_eq!(full.len(), 500);
    file.message_type[0].name = Some(name);
    let method = &mut file.service[0].method[0];
    (method.input_type, method.output_type) = (Some(full.clone()), Some(full));
    Fake::of(&set([file]))
        .client()
        .types_of("a.S")
        .await
        .unwrap();
}

/// Each of these breaks a rule that whoever builds types takes for granted.
#[tokio::test]
async fn files_that_make_no_sense_are_refused() {
    let says = "the server's description is invalid: ";
    type Change = fn(&mut FileDescriptorProto);
    let breaks: [(Change, &str); 12] = [
        (
            |it| it.syntax = Some("editions".into()),
            "`a.proto` has the syntax `editions`",
        ),
        (
            |it| it.package = Some("google.protobuf".into()),
            "`a.proto` claims to be of google.protobuf",
        ),
        (|it| it.package = Some("a..b".into()), "`` is no name"),
        (|it| it.package = Some("1a".into()), "`1a` is no name"),
        (
            |it| it.message_type[0].name = Some("M;".into()),
            "`M;` is no name",
        ),
        (
            |it| it.service[0].name = Some("S\x07".into()),
            r"`S\u{7}` is no name",
        ),
        (|it| it.service[0].method[0].name = None, "`` is no name"),
        (
            |it| it.enum_type[0].name = Some("E;".into()),
            "`E;` is no name",
        ),
        (
            |it| it.enum_type[0].value[0].name = Some("V;".into()),
            "`V;` is no name",
        ),
        (
            // With its package and two dots.
            |it| it.message_type[0].name = Some("M".repeat(498)),
            "a name of more than 500 characters",
        ),
        (
            |it| it.package = Some("a".repeat(500)),
            "a name of more than 500 characters",
        ),
        (
            |it| it.service[0].method[0].input_type = Some(".a".repeat(300)),
            "a name of more than 500 characters",
        ),
    ];
    for (change, expected) in breaks {
        let mut file = with_enum();
        change(&mut file);
        assert_eq!(lie_about([file]).await, format!("{says}{expected}"));
    }
    let mut file = file("a.proto", &[]);
    file.service[0].method[0].input_type = Some(".a.Nothing".into());
    let sentence = lie_about([file]).await;
    assert!(
        sentence.starts_with(says) && sentence.contains("a.Nothing"),
        "{sentence}"
    );
}

/// Those who read maps expect a key and a value, and panic without them.
#[tokio::test]
async fn entries_of_maps_that_are_none_are_refused() {
    let text = "syntax = \"proto3\"; package a; service S {} message M { map<string, M> m = 1; }";
    let good = compile(&[("a.proto", text)]).file.remove(0);
    type Change = fn(&mut prost_reflect::prost_types::DescriptorProto);
    let changes: [Change; 10] = [
        |it| it.field.clear(),
        |it| it.field.swap(0, 1),
        |it| it.field.push(it.field[1].clone()),
        |it| it.field[0].number = Some(3),
        |it| it.field[1].number = Some(3),
        |it| it.field[0].r#type = Some(1),
        |it| it.field[0].r#type = None,
        |it| it.field[0].type_name = Some(".a.M".into()),
        |it| it.field[1].label = Some(3),
        |it| it.field[1].name = Some("worth".into()),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut file = good.clone();
        change(&mut file.message_type[0].nested_type[0]);
        let expected = "the server's description is invalid: `MEntry` is no entry of a map";
        assert_eq!(lie_about([file]).await, expected, "{at}");
    }
    let fake = Fake::of(&set([good]));
    fake.client().types_of("a.S").await.unwrap();
}

/// Bytes changed anywhere: an error or types, but no panic, and text that is as good as the types.
#[test]
fn no_bytes_make_it_panic() {
    let sources = super::text::EVERYTHING;
    let originals: Vec<_> = compile(&[("a.proto", sources)]).file;
    let original = originals
        .into_iter()
        .find(|it| it.name() == "a.proto")
        .unwrap();
    let original = original.encode_to_vec();
    arbtest::arbtest(|random| {
        let mut bytes = original.clone();
        for _ in 0..random.int_in_range(1..=4)? {
            let at = random.choose_index(bytes.len())?;
            match random.int_in_range(0..=2)? {
                0 => bytes[at] = random.arbitrary()?,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.arbitrary()?),
            }
        }
        let mut files = super::super::files::Files::new(Limits::default());
        if files.take([bytes]).is_ok()
            && let Ok(pool) = files.build()
        {
            for file in pool.files() {
                let _ = proto_text(&file);
            }
            for message in pool.all_messages() {
                let _ = prost_reflect::DynamicMessage::new(message);
            }
        }
        Ok(())
    });
}
