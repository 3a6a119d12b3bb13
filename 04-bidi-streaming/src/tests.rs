//! What a chat room promises, what a running maximum is, and the exercises.

use futures::FutureExt;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, pause, timeout};
use tonic::Code;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;
use wire::Tap;
use wire::testing::{framed, outline, post, soon};

use super::*;
use crate::guest::{enter, greet};
use crate::proto::calculator::calculator_client::CalculatorClient;
use crate::proto::chat::chat_client::ChatClient;

mod room;

#[tokio::test]
async fn everyone_hears_everyone_else_but_not_oneself() {
    let (url, mut log) = start().await;
    let mut ann = Guest::enter(&url, "Ann").await;
    let mut bob = Guest::enter(&url, "Bob").await;
    let mut cid = Guest::enter(&url, "Cid").await;
    ann.hears(&["* Bob joins", "* Cid joins"]).await;
    bob.hears(&["* Cid joins"]).await;

    ann.says("Hello.").await;
    bob.hears(&["Ann: Hello."]).await;
    cid.hears(&["Ann: Hello."]).await;
    bob.says("Hello, Ann.").await;
    ann.hears(&["Bob: Hello, Ann."]).await;
    cid.hears(&["Bob: Hello, Ann."]).await;

    drop(bob.said);
    ann.hears(&["* Bob leaves"]).await;
    cid.hears(&["* Bob leaves"]).await;
    for line in ["Ann joins", "Bob joins", "Cid joins", "Bob leaves"] {
        assert_eq!(soon(line, log.recv()).await.unwrap(), line);
    }
}

#[tokio::test]
async fn a_guest_who_does_not_listen_is_still_heard() {
    let url = start().await.0;
    let ann = Guest::enter(&url, "Ann").await;
    let mut bob = Guest::enter(&url, "Bob").await;
    // More than Ann's window and all the buffers on the way to it.
    for _ in 0..500 {
        bob.says(&"x".repeat(1_000)).await;
    }
    ann.says("Hello, Bob.").await;
    bob.hears(&["Ann: Hello, Bob."]).await;
}

#[tokio::test]
async fn a_guest_who_sleeps_holds_up_nobody_and_learns_what_was_missed() {
    const LINES: u64 = 3_000;
    let url = start().await.0;
    let mut zoe = Guest::enter(&url, "Zoe").await;
    let mut bob = Guest::enter(&url, "Bob").await;
    let ann = Guest::enter(&url, "Ann").await;
    bob.hears(&["* Ann joins"]).await;
    for number in 0..LINES {
        let text = number.to_string();
        ann.says(&text).await;
        bob.hears(&[&format!("Ann: {text}")]).await;
    }
    let waking = tokio::spawn(async move {
        let (mut heard, mut missed) = (0, 0);
        loop {
            let line = soon("a wake-up call", zoe.heard.message()).await;
            let line = line.unwrap().unwrap().show();
            match line.strip_prefix("* you missed ") {
                Some(rest) => missed += number_in(rest),
                None => heard += 1,
            }
            if let Some(rest) = line.strip_prefix("Ann: wake-up call ") {
                return (heard, missed, number_in(rest));
            }
        }
    });
    // Until Zoe has caught up she misses these as well.
    for number in 1.. {
        let text = format!("wake-up call {number}");
        ann.says(&text).await;
        bob.hears(&[&format!("Ann: {text}")]).await;
        if waking.is_finished() {
            break;
        }
    }
    let (heard, missed, calls) = waking.await.unwrap();
    assert!(
        missed > 0,
        "the room kept {LINES} lines for a guest who sleeps"
    );
    let said = "two that joined, what Ann said, and the calls up to the one that was heard";
    assert_eq!(heard + missed, 2 + LINES + calls, "{said}");
}

fn number_in(text: &str) -> u64 {
    text.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_burst_of_lines_reaches_an_attentive_guest_whole() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let lines = (0..200).map(|number| Line::new("Bob", &number.to_string()));
    let mut chat = ChatClient::connect(url).await.unwrap();
    let bob = chat.talk(tokio_stream::iter(lines)).await.unwrap();
    ann.hears(&["* Bob joins"]).await;
    for number in 1..200 {
        ann.hears(&[&format!("Bob: {number}")]).await;
    }
    ann.hears(&["* Bob leaves"]).await;
    assert_eq!(
        soon("the end", bob.into_inner().message()).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn the_end_of_what_is_said_is_the_end_of_what_is_heard() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let mut bob = Guest::enter(&url, "Bob").await;
    ann.says("One.").await;
    bob.says("Two.").await;
    drop(bob.said);
    ann.hears(&["* Bob joins", "Bob: Two.", "* Bob leaves"])
        .await;
    let one = soon("Ann's line", bob.heard.message())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(one.show(), "Ann: One.");
    assert_eq!(soon("the end", bob.heard.message()).await.unwrap(), None);
    // Left, and not just silent: the name is free.
    Guest::enter(&url, "Bob").await;
}

#[tokio::test]
async fn whoever_cancels_leaves() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let (said, lines) = mpsc::channel(1);
    said.send(Line::new("Bob", "")).await.unwrap();
    let mut request = Request::new(ReceiverStream::new(lines));
    let cancellation = request.cancellation_handle();
    let mut chat = ChatClient::connect(url).await.unwrap();
    let heard = soon("headers", chat.talk(request)).await.unwrap();
    cancellation.cancel();
    ann.hears(&["* Bob joins", "* Bob leaves"]).await;
    let status = soon("the end", heard.into_inner().message()).await;
    assert_eq!(status.unwrap_err().code(), Code::Cancelled);
}

#[tokio::test]
async fn a_guest_whose_connection_breaks_leaves() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let tap = Tap::start(&url).await.unwrap();
    let _bob = Guest::enter(&tap.url(), "Bob").await;
    ann.hears(&["* Bob joins"]).await;
    tap.reset();
    ann.hears(&["* Bob leaves"]).await;
}

#[tokio::test]
async fn a_guest_whose_connection_falls_silent_leaves() {
    let (url, mut log) = start().await;
    let tap = Tap::start(&url).await.unwrap();
    let _bob = Guest::enter(&tap.url(), "Bob").await;
    tap.stall();
    pause();
    let start = Instant::now();
    for line in ["Bob joins", "Bob leaves"] {
        assert_eq!(soon(line, log.recv()).await.unwrap(), line);
    }
    assert!(
        start.elapsed() <= Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn the_room_does_not_answer_before_it_knows_the_name() {
    let url = start().await.0;
    let mut chat = ChatClient::connect(url.clone()).await.unwrap();
    let (said, lines) = mpsc::channel(1);
    let mut entering = Box::pin(chat.talk(ReceiverStream::new(lines)));
    for _ in 0..20 {
        assert!((&mut entering).now_or_never().is_none());
        // Others come and go meanwhile.
        Guest::enter(&url, "Bob").await.leave().await;
    }
    said.send(Line::new("Ann", "this isn't passed on"))
        .await
        .unwrap();
    soon("Ann's seat", entering).await.unwrap();

    let nothing = tokio_stream::empty::<Line>();
    let mut chat = ChatClient::connect(url).await.unwrap();
    let status = soon("a refusal", chat.talk(nothing)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn nobody_speaks_under_another_name_or_to_the_terminal() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let bob = Guest::enter(&url, "Bob").await;
    for speaker in ["", "Ann", "Cid"] {
        bob.said.send(Line::new(speaker, "It's me.")).await.unwrap();
    }
    bob.says("\u{1b}[2J").await;
    bob.says("Zoë 😀").await;
    ann.hears(&["* Bob joins"]).await;
    ann.hears(&["Bob: It's me."; 3]).await;
    let line = soon("an escape sequence", ann.heard.message()).await;
    assert_eq!(
        line.unwrap().unwrap().text,
        r"\u{1b}[2J",
        "as the server sends it"
    );
    ann.hears(&["Bob: Zoë 😀"]).await;
    // A guest doesn't rely on the server for this.
    assert_eq!(Line::new("\u{7}", "\u{1b}").show(), r"\u{7}: \u{1b}");
}

#[tokio::test]
async fn what_a_guest_may_not_say_ends_that_call_only() {
    let url = start().await.0;
    let mut ann = Guest::enter(&url, "Ann").await;
    let longest = "x".repeat(1_000);
    let too_long = format!("{longest}x");
    let mut bob = Guest::enter(&url, "Bob").await;
    bob.says(&longest).await;
    bob.says(&too_long).await;
    let status = soon("a refusal", bob.heard.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    ann.hears(&["* Bob joins", &format!("Bob: {longest}"), "* Bob leaves"])
        .await;

    let cid = framed(b"\x0a\x03Cid");
    let not_protobuf = framed(b"\xff\xff\xff");
    let reply = post(&url, "/chat.v1.Chat/Talk", [cid, not_protobuf].concat()).await;
    assert_eq!(reply.status(), Some("INTERNAL"));
    ann.hears(&["* Cid joins", "* Cid leaves"]).await;
}

#[tokio::test]
async fn maximum_answers_each_number_before_the_next_is_sent() {
    let tap = Tap::start(start().await.0).await.unwrap();
    let mut calculator = CalculatorClient::connect(tap.url()).await.unwrap();
    let (numbers, stream) = mpsc::channel(1);
    let maxima = calculator.maximum(ReceiverStream::new(stream));
    let mut maxima = soon("headers", maxima).await.unwrap().into_inner();
    for (value, largest) in [(-3.0, -3.0), (4.0, 4.0), (1.0, 4.0), (4.5, 4.5)] {
        numbers.send(Number { value }).await.unwrap();
        let answer = soon("an answer", maxima.message()).await.unwrap();
        assert_eq!(answer, Some(Number { value: largest }), "after {value}");
    }
    drop(numbers);
    assert_eq!(soon("the end", maxima.message()).await.unwrap(), None);
    assert_eq!(
        outline(tap.frames().iter().filter(|frame| frame.stream == 1)),
        [
            "client: Request",
            "server: Response",
            "client: { value: -3 }",
            "server: { value: -3 }",
            "client: { value: 4 }",
            "server: { value: 4 }",
            "client: { value: 1 }",
            "server: { value: 4 }",
            "client: { value: 4.5 }",
            "server: { value: 4.5 }",
            "client: END_STREAM",
            "server: Trailers",
            "server: END_STREAM",
        ]
    );
}

#[tokio::test]
async fn maximum_has_no_answer_to_nothing_and_refuses_nan() {
    let mut calculator = CalculatorClient::connect(start().await.0).await.unwrap();
    for (sent, answers, code) in [
        (&[][..], &[][..], Code::Ok),
        (&[f64::NEG_INFINITY], &[f64::NEG_INFINITY], Code::Ok),
        (
            &[1.0, 2.0, f64::NAN, 3.0],
            &[1.0, 2.0],
            Code::InvalidArgument,
        ),
    ] {
        let maxima = calculator.maximum(numbers(sent)).await.unwrap();
        assert_eq!(read(maxima.into_inner()).await, (answers.to_vec(), code));
    }
}

#[tokio::test]
#[ignore = "exercise 1: all numbers first, then all of them sorted"]
async fn exercise_1_sorts_once_the_last_number_has_come() {
    let mut calculator = CalculatorClient::connect(start().await.0).await.unwrap();
    for (sent, sorted) in [
        (&[][..], &[][..]),
        (
            &[2.5, -1.0, f64::INFINITY, -1.0, 0.5],
            &[-1.0, -1.0, 0.5, 2.5, f64::INFINITY],
        ),
    ] {
        let expected = (sorted.to_vec(), Code::Ok);
        assert_eq!(
            sort(&mut calculator, sent).await,
            expected,
            "{sent:?} sorted"
        );
    }
    let (_, code) = sort(&mut calculator, &[1.0, f64::NAN, 2.0]).await;
    assert_eq!(
        code,
        Code::InvalidArgument,
        "NaN is not larger than 1, nor smaller"
    );

    // No answer before the half-close.
    let (numbers, stream) = mpsc::channel(1);
    let mut other = calculator.clone();
    let sorting = tokio::spawn(async move {
        let sorted = other.sort(ReceiverStream::new(stream)).await?;
        sorted.into_inner().message().await
    });
    numbers.send(Number { value: 3.0 }).await.unwrap();
    for _ in 0..20 {
        // There and back on the same connection: time enough for an answer.
        let maxima = calculator.maximum(self::numbers(&[1.0])).await.unwrap();
        read(maxima.into_inner()).await;
    }
    assert!(
        !sorting.is_finished(),
        "it answered before the last number had come"
    );
    numbers.send(Number { value: 2.0 }).await.unwrap();
    drop(numbers);
    let first = soon("the smallest number", sorting).await.unwrap();
    assert_eq!(
        first.unwrap(),
        Some(Number { value: 2.0 }),
        "3 and then 2, sorted"
    );

    let mut many: Vec<_> = (0..10_000).rev().map(f64::from).collect();
    let (sorted, code) = sort(&mut calculator, &many).await;
    assert_eq!((sorted.len(), code), (10_000, Code::Ok), "10,000 numbers");
    many.push(-1.0);
    let (_, code) = sort(&mut calculator, &many).await;
    assert_eq!(
        code,
        Code::ResourceExhausted,
        "10,001 numbers: a client may send without end"
    );
}

#[tokio::test]
#[ignore = "exercise 2: a guest that greets"]
async fn exercise_2_greets_everyone_who_joins() {
    let url = start().await.0;
    let tap = Tap::start(&url).await.unwrap();
    let (said, heard) = enter(&tap.url(), "Bot").await.unwrap();
    let bot = tokio::spawn(greet(said, heard));

    let mut ann = Guest::enter(&url, "Ann").await;
    let should = "answer `* Ann joins` with `Hello, Ann!`";
    bot_should(should, &mut ann, &["Bot: Hello, Ann!"]).await;
    let zoe = Guest::enter(&url, "Zoë Müller").await;
    let should = "answer `* Zoë Müller joins` with `Hello, Zoë Müller!`";
    let lines = ["* Zoë Müller joins", "Bot: Hello, Zoë Müller!"];
    bot_should(should, &mut ann, &lines).await;
    // Only the room says who joins.
    zoe.says("Cid joins").await;
    zoe.leave().await;
    let _bob = Guest::enter(&url, "Bob").await;
    let should = "answer nothing to `Zoë Müller: Cid joins`, nor to one who leaves";
    let lines = ["Zoë Müller: Cid joins", "* Zoë Müller leaves"];
    bot_should(should, &mut ann, &lines).await;
    let should = "answer `* Bob joins` with `Hello, Bob!`";
    bot_should(should, &mut ann, &["* Bob joins", "Bot: Hello, Bob!"]).await;

    assert!(!bot.is_finished(), "`greet` ended before its call did");
    tap.reset();
    let end = soon("the end of the bot's call", bot).await.unwrap();
    assert!(
        end.is_err(),
        "Bot's connection broke: `greet` should return the error; yours: Ok"
    );
}

/// Then Ann hears these lines next.
async fn bot_should(should: &str, ann: &mut Guest, lines: &[&str]) {
    for line in lines {
        let heard = timeout(Duration::from_secs(5), ann.heard.message()).await;
        let heard = heard.map(|line| line.unwrap().map(|line| line.show()));
        let heard = heard.ok().flatten().unwrap_or("nothing".into());
        assert!(
            heard == *line,
            "Bot, who runs `greet`, should {should}. Ann should hear `{line}`; yours: `{heard}`"
        );
    }
}

#[tokio::test]
#[ignore = "exercise 3: a line for one guest"]
async fn exercise_3_a_private_line_is_heard_by_one() {
    let url = start().await.0;
    let (ann, mut ann_hears) = enter_raw(&url, "Ann").await;
    let (bob, mut bob_hears) = enter_raw(&url, "Zoë Müller").await;
    let mut cid = Guest::enter(&url, "Cid").await;
    for (to, text) in [
        ("Zoë Müller", "A word with you."),
        ("Dan", "Hello?"),
        ("", "Hello, all."),
    ] {
        ann.send(RawLine::new("", text, to)).await.unwrap();
    }
    let for_all = RawLine::new("Ann", "Hello, all.", "");
    for expected in [
        RawLine::new("", "Cid joins", ""),
        RawLine::new("Ann", "A word with you.", "Zoë Müller"),
        for_all,
    ] {
        let got = soon("Zoë's next line", bob_hears.message()).await.unwrap();
        assert_eq!(got, Some(expected), "what Zoë Müller hears");
    }
    // Cid's program doesn't know the field.
    cid.hears(&["Ann: Hello, all."]).await;
    for expected in [
        RawLine::new("", "Zoë Müller joins", ""),
        RawLine::new("", "Cid joins", ""),
        RawLine::new("", "nobody here is called Dan", ""),
    ] {
        let got = soon("Ann's next line", ann_hears.message()).await.unwrap();
        assert_eq!(got, Some(expected), "what Ann hears");
    }
    bob.send(RawLine::new("", &"x".repeat(1_001), "Ann"))
        .await
        .unwrap();
    let status = soon("a refusal", bob_hears.message()).await.unwrap_err();
    assert_eq!(
        status.code(),
        Code::InvalidArgument,
        "a private line may be no longer either"
    );
}

/// As `Line`, with what exercise 3 adds.
#[derive(Clone, PartialEq, prost::Message)]
struct RawLine {
    #[prost(string, tag = "1")]
    speaker: String,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(string, tag = "3")]
    to: String,
}

impl RawLine {
    fn new(speaker: &str, text: &str, to: &str) -> Self {
        let [speaker, text, to] = [speaker, text, to].map(str::to_owned);
        Self { speaker, text, to }
    }
}

async fn enter_raw(url: &str, name: &str) -> (mpsc::Sender<RawLine>, Streaming<RawLine>) {
    let channel = Channel::from_shared(url.to_owned()).unwrap();
    let mut chat = Grpc::new(channel.connect().await.unwrap());
    let (said, lines) = mpsc::channel(1);
    said.send(RawLine::new(name, "", "")).await.unwrap();
    chat.ready().await.unwrap();
    let call = chat.streaming(
        Request::new(ReceiverStream::new(lines)),
        PathAndQuery::from_static("/chat.v1.Chat/Talk"),
        ProstCodec::<RawLine, RawLine>::default(),
    );
    let heard = soon("a seat", call).await.unwrap();
    (said, heard.into_inner())
}

/// Serves on a free port; returns where, and the log.
async fn start() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (log, lines) = mpsc::channel(1_024);
    tokio::spawn(serve(listener, log));
    (url, lines)
}

/// Someone in the room.
struct Guest {
    said: mpsc::Sender<Line>,
    heard: Streaming<Line>,
}

impl Guest {
    async fn enter(url: &str, name: &str) -> Self {
        let (said, heard) = soon("a seat", enter(url, name)).await.unwrap();
        Self { said, heard }
    }

    async fn says(&self, text: &str) {
        let said = self.said.send(Line::new("", text));
        soon("room for a line", said).await.unwrap();
    }

    async fn hears(&mut self, lines: &[&str]) {
        for line in lines {
            let heard = soon(line, self.heard.message()).await.unwrap();
            let heard = heard.map(|line| line.show());
            assert_eq!(heard.as_deref(), Some(*line), "what this guest hears next");
        }
    }

    async fn leave(self) {
        let Self { said, mut heard } = self;
        drop(said);
        while soon("the end", heard.message()).await.unwrap().is_some() {}
    }
}

fn numbers(values: &[f64]) -> impl tokio_stream::Stream<Item = Number> + Send + use<> {
    let values = values.to_vec();
    tokio_stream::iter(values).map(|value| Number { value })
}

async fn sort(calculator: &mut CalculatorClient<Channel>, values: &[f64]) -> (Vec<f64>, Code) {
    match soon("sorted numbers", calculator.sort(numbers(values))).await {
        Ok(sorted) => read(sorted.into_inner()).await,
        Err(status) => (Vec::new(), status.code()),
    }
}

/// Reads a call to its end.
async fn read(mut answers: Streaming<Number>) -> (Vec<f64>, Code) {
    let mut values = Vec::new();
    loop {
        match soon("the next answer", answers.message()).await {
            Ok(Some(answer)) => values.push(answer.value),
            Ok(None) => return (values, Code::Ok),
            Err(status) => return (values, status.code()),
        }
    }
}
