//! What was saved is shown again as it was, and methods can be left out.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::service::{self, Client, HelloRequest, Number, ann};
use super::traffic::events;
use super::*;
use crate::proxy::{Limits, Save};
use crate::testing::soon;
use crate::{Descriptors, End, Json, Only, Saved, Tap, json, open};

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("wire-{}-{name}.wire", std::process::id()))
}

async fn saving(file: &Path, descriptors: &Descriptors) -> Tap {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = service::start().await;
    let builder = Tap::builder().save(file).descriptors(descriptors.clone());
    builder.serve(listener, server).unwrap()
}

fn opened(file: &Path, descriptors: &Descriptors) -> Vec<Event> {
    open(file, descriptors)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test]
async fn what_was_seen_is_seen_again() {
    let file = file("again");
    let descriptors = Descriptors::built_in();
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/protos");
    descriptors.add_protos(&protos).unwrap();
    let tap = saving(&file, &descriptors).await;
    let mut client = Client::connect(tap.url()).await.unwrap();
    client.say_hello(ann()).await.unwrap();
    client.say_hello(HelloRequest::default()).await.unwrap_err();
    drop(client.count(Number { value: 0 }).await.unwrap());
    tap.wait_for(|frame| frame.reset().is_some()).await;
    tap.stall();
    let held = tokio::spawn(async move { client.say_hello(ann()).await });
    tap.wait_for(|frame| frame.held && frame.is_end_stream())
        .await;
    tap.reset();
    held.await.unwrap().unwrap_err();
    tap.wait_for_event(|event| event.end().is_some()).await;
    let saved = tap.finish_saving().unwrap().unwrap();
    assert_eq!(saved.dropped, 0);

    // Later and elsewhere: the types come with it.
    let before = events(&tap);
    let elsewhere = Descriptors::built_in();
    let after = opened(&file, &elsewhere);
    assert_eq!(after, before);
    for (all, bytes) in [(false, false), (true, true)] {
        let show = Show {
            all,
            bytes,
            colour: false,
            secrets: false,
        };
        assert_eq!(ladder(&after, show), ladder(&before, show));
    }
    let as_json = |events: &[Event]| -> Vec<Value> { events.iter().map(json).collect() };
    assert_eq!(as_json(&after), as_json(&before));
    let text = ladder(&after, Show::default());
    assert!(text.contains("message { value: 1 }"), "{text}");
    assert!(text.contains("was reset here, as requested"), "{text}");
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_recording_misses_nothing_that_was_too_fast_to_be_printed() {
    let file = file("burst");
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let builder = Tap::builder().save(&file);
    let tap = builder
        .serve(listener, server.local_addr().unwrap())
        .unwrap();
    let mut client = TcpStream::connect(tap.address()).await.unwrap();
    let (mut peer, _) = server.accept().await.unwrap();
    let burst = [HELLO, &frame(8, 0, 0, &[0, 0, 0, 1]).repeat(100_000)].concat();
    let mut heard = Vec::new();
    let (written, read) = tokio::join!(
        async {
            client.write_all(&burst).await?;
            client.shutdown().await
        },
        peer.read_to_end(&mut heard)
    );
    written.unwrap();
    read.unwrap();
    drop((client, peer));
    soon("the end of the connection", async {
        while tap.events().try_next().is_none() || tap.lost() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(tap.lost() > 30_000);
    let saved = tap.finish_saving().unwrap().unwrap();
    assert_eq!((saved.bytes, saved.dropped), (burst.len() as u64, 0));
    let events = opened(&file, &Descriptors::built_in());
    assert_eq!(
        events
            .iter()
            .filter(|event| event.frame().is_some())
            .count(),
        100_001
    );
    std::fs::remove_file(file).unwrap();
}

#[test]
fn what_does_not_fit_is_counted_and_said() {
    let file = file("full");
    let limits = Limits {
        waiting: 0,
        file: 0,
    };
    let save = Save::create(&file, Descriptors::built_in(), limits).unwrap();
    let at = Duration::from_millis(1);
    for bytes in [HELLO, b"more"] {
        save.bytes(at, 1, ToServer, false, bytes);
    }
    let saved = save.finish().unwrap();
    assert_eq!(
        saved,
        Saved {
            bytes: 0,
            dropped: HELLO.len() as u64 + 4
        }
    );
    drop(save);

    let limits = Limits {
        waiting: 64,
        file: u64::MAX,
    };
    let save = Save::create(&file, Descriptors::built_in(), limits).unwrap();
    save.event(at, 1, &EventKind::Opened);
    save.bytes(at, 1, ToServer, false, HELLO);
    drop(save);
    let events = opened(&file, &Descriptors::built_in());
    assert_eq!(events[0].kind, EventKind::Opened);
    let note = "from here on the recording misses bytes of this connection";
    assert_eq!(notes(&events), [note]);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn what_is_no_recording_is_named() {
    let file = file("wrong");
    let descriptors = Descriptors::built_in();
    let error = |text: &str| {
        std::fs::write(&file, text).unwrap();
        match open(&file, &descriptors) {
            Err(error) => error.to_string(),
            Ok(mut events) => events.find_map(Result::err).unwrap().to_string(),
        }
    };
    let first = "{\"format\":\"wire recording 1\"}\n";
    assert!(error("hello\n").ends_with("line 1: not a recording of the wire view"));
    assert!(error("").ends_with("line 1: not a recording of the wire view"));
    assert!(
        error(&format!("{first}{{\"at\":1}}\n")).ends_with("line 2: a line that can't be read")
    );
    let bytes = |length: u64| {
        format!(
            "{first}{{\"at\":1,\"connection\":1,\"direction\":\"to server\",\"bytes\":{length}}}\n"
        )
    };
    assert!(error(&(bytes(3) + "abcd\n")).ends_with("line 2: bytes without an end"));
    assert!(error(&bytes(1 << 40)).ends_with("line 2: too many bytes for one line"));
    assert!(error(&bytes(3).replace("to server", "up").replace('}', "}\nabc")).contains("line 2"));
    let descriptors = "{\"descriptors\":\"AAAA\"}\n";
    assert!(error(&format!("{first}{descriptors}")).contains("descriptors that can't be used"));
    // Its writer was stopped in the middle of a line.
    for text in [
        format!("{first}{{\"at\":1,\"conn"),
        bytes(9) + "abc",
        bytes(3) + "abc",
    ] {
        std::fs::write(&file, text).unwrap();
        assert!(opened(&file, &Descriptors::built_in()).is_empty());
    }
    // What it says is not trusted.
    let note = "{\"at\":1,\"connection\":1,\"event\":\"note\",\"text\":\"\\u001b[2J\"}\n";
    std::fs::write(&file, format!("{first}{note}")).unwrap();
    let text = ladder(&opened(&file, &Descriptors::built_in()), Show::default());
    assert!(
        text.contains("\\u{1b}[2J") && !text.contains('\x1b'),
        "{text}"
    );
    std::fs::remove_file(&file).unwrap();
    let missing = open(&file, &Descriptors::built_in()).err().unwrap();
    assert!(missing.to_string().contains("can't be read"));
}

fn only(methods: &[&str]) -> Only {
    let mut only = Only::default();
    for method in methods {
        only.add(method).unwrap();
    }
    only
}

#[tokio::test]
async fn only_some_methods_are_shown() {
    let tap = Tap::start(service::start().await).await.unwrap();
    let mut client = Client::connect(tap.url()).await.unwrap();
    client.say_hello(ann()).await.unwrap();
    client
        .count(Number { value: 1 })
        .await
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap();
    let pending = tokio::spawn(async move { client.wait(Number { value: 1 }).await });
    tap.wait_for(|frame| frame.path() == Some("/wire.test.Numbers/Wait") && frame.is_end_stream())
        .await;
    tap.reset();
    pending.await.unwrap().unwrap_err();
    tap.wait_for_event(|event| event.end() == Some(&End::ResetByTap))
        .await;
    let events = events(&tap);
    for (methods, calls) in [
        (&[][..], &["SayHello", "Count", "Wait"][..]),
        (&["Greeter/SayHello"], &["SayHello"]),
        (&["/helloworld.Greeter/SayHello"], &["SayHello"]),
        (&["reeter/SayHello", "other.Greeter/SayHello"], &[]),
        (&["Numbers/*"], &["Count", "Wait"]),
        (&["*/Wait", "*/SayHello"], &["SayHello", "Wait"]),
    ] {
        let only = only(methods);
        let shown: Vec<_> = events
            .iter()
            .filter_map(|event| only.filter(event))
            .collect();
        let requests = shown.iter().filter_map(|event| event.frame());
        let requests = requests.filter(|frame| frame.is_request());
        let paths: Vec<_> = requests.map(|frame| frame.path().unwrap()).collect();
        let methods: Vec<_> = paths
            .iter()
            .map(|path| path.rsplit('/').next().unwrap())
            .collect();
        assert_eq!(methods, calls);
        let broken_off = shown.iter().find_map(|event| match &event.kind {
            EventKind::Closed { open, .. } => Some(open.len()),
            _ => None,
        });
        assert_eq!(broken_off, Some(usize::from(calls.contains(&"Wait"))));
    }
    // Nothing of the connection itself.
    let only = only(&["Greeter/SayHello"]);
    let frames = events.iter().filter_map(|event| only.filter(event));
    assert!(
        frames
            .filter_map(|event| event.frame().cloned())
            .all(|frame| frame.call.is_some())
    );
}

#[test]
fn both_ways_of_printing_print_the_same_events() {
    let mut decoder = called();
    let events = decoder.read(ToServer, &frame(0, 1, 1, &greeting("Ann")), Duration::ZERO);
    let (mut out, mut json) = (Vec::new(), Vec::new());
    for printer in [
        &mut Ladder::new(&mut out, Show::default()) as &mut dyn Printer,
        &mut Json::new(&mut json, false),
    ] {
        printer.listening("127.0.0.1:1", "127.0.0.1:2").unwrap();
        printer.event(&events[0]).unwrap();
        printer.missed(7).unwrap();
        printer.flush().unwrap();
    }
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("listening on 127.0.0.1:1, passing on to 127.0.0.1:2\n"));
    assert!(out.contains("Ann") && out.contains("7 events missing here"));
    let lines: Vec<Value> = json
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    assert_eq!(lines[0]["to"], "127.0.0.1:2");
    assert_eq!(lines[1]["messages"][0]["message"]["name"], "Ann");
    assert_eq!(lines[2]["events"], 7);
}
