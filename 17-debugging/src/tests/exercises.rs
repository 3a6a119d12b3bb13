//! The exercises.

use std::time::Duration;

use super::*;

#[tokio::test]
#[ignore = "exercise 1: a call that comes without an id gets one"]
async fn exercise_1_a_call_without_an_id_gets_one() {
    let (_guard, mut lines) = log_with(log::DEFAULT);
    let (mut calculator, _) = start().await;
    let ids = [None, Some("mine"), None, None];
    for id in ids {
        let _ = square_root(&mut calculator, id, 16.0).await;
    }
    let id_of = |line: &str| {
        let after = line.split_once("call{id=").expect("a line with an id").1;
        after.split_once("}: ").expect("one id").0.to_owned()
    };
    let lines = read(&mut lines);
    let begun: Vec<_> = (lines.iter().filter(|line| line.contains("takes the root")))
        .map(|line| id_of(line))
        .collect();
    assert_eq!(begun.len(), 4, "each backend logs its call: {lines:#?}");
    assert_eq!(begun[1], "mine", "an id that came is kept");
    for id in [&begun[0], &begun[2], &begun[3]] {
        assert_ne!(id, "none", "a backend has got no id: {lines:#?}");
        assert!(!id.is_empty(), "an id that is empty: {lines:#?}");
        let count = begun.iter().filter(|other| *other == id).count();
        assert_eq!(count, 1, "two calls have the id {id}: {lines:#?}");
    }
    // The next one goes to the slow backend: the front server's own line has the id too.
    let (_guard, mut lines) = log_with(log::DEFAULT);
    for _ in 0..3 {
        let _ = square_root(&mut calculator, None, 16.0).await;
    }
    let lines = read(&mut lines);
    let slow: Vec<_> = (lines.iter().filter(|line| line.contains("backend-2")))
        .map(|line| id_of(line))
        .collect();
    assert_eq!(slow.len(), 2, "one line of each server: {lines:#?}");
    assert_eq!(slow[0], slow[1], "both servers log the same id: {lines:#?}");
}

#[tokio::test]
#[ignore = "exercise 2: reads all pages"]
async fn exercise_2_all_servers_are_read_however_many_there_are() {
    let channelz = Channelz::new();
    let mut client = telling(&channelz).await;
    for count in [0, 1, 100, 101, 250] {
        let names: Vec<_> = (0..count)
            .map(|number| format!("number {number}"))
            .collect();
        let entries: Vec<_> = names.iter().map(|name| channelz.server(name)).collect();
        let read = soon("the servers", tree::servers(&mut client))
            .await
            .unwrap();
        let read: Vec<_> = (read.into_iter())
            .map(|server| server.r#ref.unwrap().name)
            .collect();
        assert_eq!(
            read.len(),
            count,
            "of {count} servers you have read {}",
            read.len()
        );
        assert_eq!(read, names, "each once, in the order of their ids");
        drop(entries);
    }
}

#[tokio::test]
#[ignore = "exercise 3: tells which servers are busy"]
async fn exercise_3_tells_which_servers_have_open_calls() {
    let channelz = Channelz::new();
    let mut client = telling(&channelz).await;
    let [mut idle, mut one, mut many] = [0, 1, 3].map(|_| None);
    for (entry, name) in [(&mut idle, "idle"), (&mut one, "one"), (&mut many, "many")] {
        let listener = bind().await;
        let url = url(&listener);
        let delay = Duration::from_secs(60);
        let backend = Backend {
            name: "busy",
            delay,
        };
        tokio::spawn(serve_one(channelz.server(name), listener, backend));
        *entry = Some(Endpoint::from_shared(url).unwrap().connect_lazy());
    }
    let call = |channel: &Option<Channel>, value: f64| {
        let mut calculator = CalculatorClient::new(channel.clone().unwrap());
        tokio::spawn(async move { calculator.square_root(Number { value }).await })
    };
    let first = call(&one, 1.0);
    let calls = [call(&many, 1.0), call(&many, 1.0), call(&many, 1.0)];
    let expected = [("many".to_owned(), 3), ("one".to_owned(), 1)];
    let busy = soon("one server with 3 open calls, and one with 1", async {
        loop {
            let busy = tree::busy(&mut client).await.expect("busy answers");
            let is_there = busy.iter().any(|(_, calls)| *calls == 3) && busy.len() >= 2;
            if is_there || busy.len() > 2 {
                break busy;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(
        busy.await,
        expected,
        "most first, and no server that is idle"
    );
    first.abort();
    for call in calls {
        call.abort();
    }
    soon("no server to be busy", async {
        while !tree::busy(&mut client).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    drop(idle);
}
