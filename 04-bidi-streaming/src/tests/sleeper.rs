//! One reader stops reading. The others do not wait for it, and it is told what it missed.

use std::fs;
use std::time::Instant;

use super::*;
use crate::chat::chat_client::ChatClient;

/// Reads on until `last` is heard. Returns how many lines were heard, and how many missed.
async fn wake(heard: &mut Streaming<Line>, last: &str) -> (u64, u64) {
    let (mut lines, mut missed) = (0, 0);
    loop {
        let line = in_time(heard.message()).await.unwrap().unwrap().to_string();
        match line.strip_prefix("* you missed ") {
            Some(rest) => missed += rest.split_once(' ').unwrap().0.parse::<u64>().unwrap(),
            None => lines += 1,
        }
        if line == last {
            return (lines, missed);
        }
    }
}

/// Ann and Cid talk, each waiting for the other's line before saying the next: a frame for every line.
async fn converse(url: &str, lines: usize) {
    let mut ann = Guest::enter(url, "Ann").await;
    let mut cid = Guest::enter(url, "Cid").await;
    for _ in 0..lines / 2 {
        ann.says("?").await;
        until(&mut cid, "Ann: ?").await;
        cid.says("!").await;
        until(&mut ann, "Cid: !").await;
    }
    drop(cid.sender);
    until(&mut ann, "* Cid leaves").await;
}

async fn until(guest: &mut Guest, last: &str) {
    while guest.hears().await.unwrap() != last {}
}

#[tokio::test]
async fn a_sleeper_stops_nobody_and_is_told_how_many_lines_it_missed() {
    let url = start().await.0;
    let mut bob = Guest::enter(&url, "Bob").await;
    converse(&url, 12_000).await;
    let (heard, missed) = wake(&mut bob.heard, "* Ann leaves").await;
    assert!(missed > 0);
    // Two lines more for those who come, and two for those who go.
    assert_eq!(heard + missed, 12_004);

    // Awake, and as good as new.
    let ann = Guest::enter(&url, "Ann").await;
    ann.says("Good morning.").await;
    bob.assert_hears(&["* Ann joins", "Ann: Good morning."])
        .await;
}

#[tokio::test]
async fn with_the_default_window_a_sleeper_loses_its_connection() {
    let (url, mut journal) = start().await;
    let channel = Channel::from_shared(url.clone()).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut bob = Guest::enter_by(&channel, "Bob").await.unwrap();
    converse(&url, 12_000).await;
    for line in ["Bob joins", "Ann joins", "Cid joins", "Bob leaves"] {
        assert_eq!(in_time(journal.recv()).await.unwrap(), line);
    }
    let status = loop {
        match in_time(bob.heard.message()).await {
            Ok(line) => assert!(line.is_some(), "ended with OK"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
}

/// How a million lines went through the room.
struct Passage {
    lines_per_second: f64,
    /// How much more memory than before was in use at the worst moment, in MiB.
    growth: Option<f64>,
}

/// Bob says a million lines at once, Cid reads all that she can, and Zoe, where she is there, sleeps.
async fn pass_a_million_lines(with_sleeper: bool) -> Passage {
    const LINES: u64 = 1_000_000;
    let url = start().await.0;
    let zoe = match with_sleeper {
        true => Some(Guest::enter(&url, "Zoe").await),
        false => None,
    };
    let mut cid = Guest::enter(&url, "Cid").await;
    let said = (0..=LINES).map(|number| Line::new("Bob", &format!("this is line {number}")));
    let mut chat = ChatClient::new(connect(&url).await.unwrap());

    let before = memory("VmRSS:");
    // Sets the peak back to what is in use now.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let start = Instant::now();
    let bob = in_time(chat.talk(stream::iter(said))).await.unwrap();
    let (heard, missed) = wake(&mut cid.heard, "* Bob leaves").await;
    let seconds = start.elapsed().as_secs_f64();
    let after = memory("VmHWM:");
    assert_eq!(heard + missed, LINES + 2);
    drop(bob);

    if let Some(mut zoe) = zoe {
        let (heard, missed) = wake(&mut zoe.heard, "* Bob leaves").await;
        println!("the sleeper heard {heard} lines and was told that it missed {missed}");
        assert_eq!(heard + missed, LINES + 3);
    }
    Passage {
        lines_per_second: LINES as f64 / seconds,
        growth: before.zip(after).map(|(before, after)| after - before),
    }
}

/// A line of this process's status on Linux, in MiB.
fn memory(name: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "benchmark: a million lines, with and without a sleeper"]
async fn a_million_lines_with_and_without_a_sleeper() {
    // The sleeper comes first, so that no memory is there already, left over from another time.
    let asleep = pass_a_million_lines(true).await;
    let awake = pass_a_million_lines(false).await;
    for (what, passage) in [("with", &asleep), ("without", &awake)] {
        let speed = passage.lines_per_second;
        let growth = match passage.growth {
            Some(mib) => format!("{mib:.1} MiB more memory at the most"),
            None => "memory unknown".to_owned(),
        };
        println!("{what} a sleeper: {speed:.0} lines a second, {growth}");
    }
    assert!(asleep.growth.is_none_or(|mib| mib < 32.0));
}
