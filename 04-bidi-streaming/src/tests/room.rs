//! Who hears whom, how one comes and goes, and what the room refuses.

use std::future;
use std::pin::pin;

use futures::poll;
use http_body_util::{BodyExt, Full};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time;
use tonic::codec::Codec;
use tonic::codegen::Bytes;
use tonic_prost::ProstCodec;

use super::*;
use crate::chat::chat_client::ChatClient;

#[tokio::test]
async fn everyone_hears_everyone_else_but_not_oneself() {
    let (url, mut journal) = start().await;
    let mut ann = Guest::enter(&url, "Ann").await;
    let mut bob = Guest::enter(&url, "Bob").await;
    let mut cid = Guest::enter(&url, "Cid").await;
    ann.assert_hears(&["* Bob joins", "* Cid joins"]).await;
    bob.assert_hears(&["* Cid joins"]).await;

    ann.says("Hello.").await;
    bob.assert_hears(&["Ann: Hello."]).await;
    cid.assert_hears(&["Ann: Hello."]).await;
    bob.says("Hello, Ann.").await;
    ann.assert_hears(&["Bob: Hello, Ann."]).await;
    cid.assert_hears(&["Bob: Hello, Ann."]).await;

    drop(bob.sender);
    ann.assert_hears(&["* Bob leaves"]).await;
    cid.assert_hears(&["* Bob leaves"]).await;
    for line in ["Ann joins", "Bob joins", "Cid joins", "Bob leaves"] {
        assert_eq!(in_time(journal.recv()).await.unwrap(), line);
    }
}

#[tokio::test]
async fn the_call_is_not_answered_before_its_first_line() {
    let url = start().await.0;
    let channel = connect(&url).await.unwrap();
    let mut chat = ChatClient::new(channel.clone());
    let (sender, said) = mpsc::channel(1);
    let mut entering = pin!(chat.talk(ReceiverStream::new(said)));
    // Others come and go meanwhile, over the same connection.
    for _ in 0..20 {
        assert!(poll!(&mut entering).is_pending());
        let bob = Guest::enter_by(&channel, "Bob").await.unwrap();
        let Guest { sender, mut heard } = bob;
        drop(sender);
        assert!(in_time(heard.message()).await.unwrap().is_none());
    }
    sender
        .send(Line::new("Ann", "not passed on"))
        .await
        .unwrap();
    in_time(entering).await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_is_still_heard() {
    let url = start().await.0;
    let ann = Guest::enter(&url, "Ann").await;
    let mut bob = Guest::enter(&url, "Bob").await;
    // More than Ann's window, and all that may wait on the way to it.
    for _ in 0..500 {
        bob.says(&"x".repeat(1_000)).await;
    }
    ann.says("Hello, Bob.").await;
    bob.assert_hears(&["Ann: Hello, Bob."]).await;
}

#[tokio::test]
async fn a_burst_of_lines_reaches_an_attentive_reader_whole() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let lines = (0..200).map(|number| Line::new("Bob", &number.to_string()));
    let mut chat = ChatClient::new(connect(&url).await.unwrap());
    let mut bob = chat.talk(stream::iter(lines)).await.unwrap().into_inner();
    ann.assert_hears(&["* Bob joins"]).await;
    for number in 1..200 {
        ann.assert_hears(&[&format!("Bob: {number}")]).await;
    }
    ann.assert_hears(&["* Bob leaves"]).await;
    assert!(in_time(bob.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn who_ends_its_input_hears_what_was_said_before_and_leaves() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let mut bob = Guest::enter(&url, "Bob").await;
    ann.assert_hears(&["* Bob joins"]).await;
    bob.says("One.").await;
    bob.says("Two.").await;
    drop(bob.sender);
    ann.assert_hears(&["Bob: One.", "Bob: Two.", "* Bob leaves"])
        .await;
    assert!(in_time(bob.heard.message()).await.unwrap().is_none());

    // Left, and not just silent: the name is free.
    let mut bob = Guest::enter(&url, "Bob").await;
    let mut cid = Guest::enter(&url, "Cid").await;
    ann.says("Good night.").await;
    cid.assert_hears(&["Ann: Good night."]).await;
    drop(bob.sender);
    for line in ["* Cid joins", "Ann: Good night."] {
        let heard = in_time(bob.heard.message()).await.unwrap().unwrap();
        assert_eq!(heard.to_string(), line);
    }
    assert!(in_time(bob.heard.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn who_cancels_leaves() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let (sender, said) = mpsc::channel(1);
    sender.send(Line::new("Bob", "")).await.unwrap();
    let mut request = Request::new(ReceiverStream::new(said));
    let cancellation = request.cancellation_handle();
    let mut chat = ChatClient::new(connect(&url).await.unwrap());
    let heard = in_time(chat.talk(request)).await.unwrap();
    cancellation.cancel();
    ann.assert_hears(&["* Bob joins", "* Bob leaves"]).await;
    let status = in_time(heard.into_inner().message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    drop(sender);
}

#[tokio::test]
async fn who_drops_the_replies_stays_and_is_still_heard() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let mut bob = Guest::enter(&url, "Bob").await;
    let cid = Guest::enter(&url, "Cid").await;
    ann.assert_hears(&["* Bob joins", "* Cid joins"]).await;
    let Guest { sender, heard } = cid;
    drop(heard);
    bob.assert_hears(&["* Cid joins"]).await;
    for _ in 0..500 {
        ann.says(&"x".repeat(1_000)).await;
        assert!(bob.hears().await.is_some());
    }
    in_time(sender.send(Line::new("", "I am here.")))
        .await
        .unwrap();
    ann.assert_hears(&["Cid: I am here."]).await;
    drop(sender);
    ann.assert_hears(&["* Cid leaves"]).await;
}

/// Called without a network, for there the end of a reply is the end of its request as well.
#[tokio::test]
async fn the_seat_goes_with_the_reply() {
    let (journal, mut lines) = mpsc::unbounded_channel();
    let room = Room::new(journal);
    let name = Full::new(Bytes::from_static(b"\0\0\0\0\x05\x0a\x03Bob"));
    let never_ends = name.with_trailers(future::pending());
    let decoder = ProstCodec::<Line, Line>::default().decoder();
    let said = Streaming::new_request(decoder, never_ends, None, None);
    let reply = Host { room }.talk(Request::new(said)).await.unwrap();
    assert_eq!(in_time(lines.recv()).await.unwrap(), "Bob joins");
    drop(reply);
    assert_eq!(in_time(lines.recv()).await.unwrap(), "Bob leaves");
}

#[tokio::test]
async fn whose_connection_is_cut_leaves() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let (way, cut) = detour(&url).await;
    let bob = Guest::enter(&way, "Bob").await;
    ann.assert_hears(&["* Bob joins"]).await;
    cut.send(Harm::Cut).unwrap();
    ann.assert_hears(&["* Bob leaves"]).await;
    drop(bob);
}

#[tokio::test]
async fn whose_connection_falls_silent_leaves() {
    let (url, mut journal) = start().await;
    let (way, freeze) = detour(&url).await;
    let bob = Guest::enter(&way, "Bob").await;
    freeze.send(Harm::Freeze).unwrap();
    time::pause();
    let silent = time::Instant::now();
    for line in ["Bob joins", "Bob leaves"] {
        assert_eq!(in_time(journal.recv()).await.unwrap(), line);
    }
    assert!(silent.elapsed() <= 3 * PATIENCE, "{:?}", silent.elapsed());
    drop(bob);
}

/// What happens to a connection.
#[derive(Debug)]
enum Harm {
    /// It ends.
    Cut,
    /// It stays, and nothing comes through any more.
    Freeze,
}

/// Another way to `url`, for one connection. Harm can be done to it once.
async fn detour(url: &str) -> (String, oneshot::Sender<Harm>) {
    let server = url.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = format!("http://{}", listener.local_addr().unwrap());
    let (harm, harmed) = oneshot::channel();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        let harm = tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            harm = harmed => harm.unwrap(),
        };
        match harm {
            Harm::Cut => drop((client, server)),
            Harm::Freeze => future::pending().await,
        }
    });
    (way, harm)
}

#[tokio::test]
async fn a_name_is_taken_once_and_is_free_again() {
    let url = start().await.0;
    let channel = connect(&url).await.unwrap();
    let mut ann = Guest::enter_by(&channel, "Ann").await.unwrap();
    let refused = Guest::enter_by(&channel, "Ann").await.err().unwrap();
    assert_eq!(refused.code(), Code::AlreadyExists);
    // The refused call took nobody's seat away.
    let bob = Guest::enter_by(&channel, "Bob").await.unwrap();
    bob.says("Hello.").await;
    ann.assert_hears(&["* Bob joins", "Bob: Hello."]).await;
    drop(ann.sender);
    assert!(in_time(ann.heard.message()).await.unwrap().is_none());
    Guest::enter_by(&channel, "Ann").await.unwrap();
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let url = start().await.0;
    let channel = connect(&url).await.unwrap();
    let long = "x".repeat(33);
    for name in ["", " ", "\t", "a\nb", "\u{1b}[2J", "\u{9b}2J", &long] {
        let refused = Guest::enter_by(&channel, name).await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name:?}");
    }
    Guest::enter_by(&channel, &long[1..]).await.unwrap();
    Guest::enter_by(&channel, "Zoë Müller").await.unwrap();

    let nothing = stream::empty::<Line>();
    let refused = ChatClient::new(channel).talk(nothing).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn nobody_speaks_under_another_name() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let bob = Guest::enter(&url, "Bob").await;
    for speaker in ["", "Ann", "Cid"] {
        let line = Line::new(speaker, "It is me.");
        bob.sender.send(line).await.unwrap();
    }
    ann.assert_hears(&["* Bob joins"]).await;
    ann.assert_hears(&["Bob: It is me."; 3]).await;
}

#[tokio::test]
async fn control_characters_are_not_passed_on_and_neither_is_nothing() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let bob = Guest::enter(&url, "Bob").await;
    for text in ["", "\r\n", "\u{1b}", "\u{1b}[31mred\u{7}\n", "Zoë 😀"] {
        bob.says(text).await;
    }
    ann.assert_hears(&["* Bob joins", "Bob: [31mred", "Bob: Zoë 😀"])
        .await;
}

#[tokio::test]
async fn a_line_that_is_too_long_is_told_to_its_speaker_alone() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let mut bob = Guest::enter(&url, "Bob").await;
    let longest = "x".repeat(1_000);
    bob.says(&format!("{longest}x")).await;
    bob.says(&longest).await;
    bob.assert_hears(&["* a line has 1000 bytes at most, not 1001"])
        .await;
    ann.assert_hears(&["* Bob joins", &format!("Bob: {longest}")])
        .await;
}
