//! What a server does about clients that ping, idle or stay.

use super::*;

/// Opens a call that never ends, and pings so often.
async fn ping_often(server: &Running, times: u32, every: Duration, with_call: bool) -> Raw {
    let mut raw = server.raw().await;
    if with_call {
        raw.call(1, "GreetAll", "").await;
    }
    for _ in 0..times {
        raw.ping().await;
        sleep(every).await;
    }
    raw
}

#[test]
fn its_numbers_are_shown() {
    let enforce = enforce(stream::empty::<io::Result<DuplexStream>>());
    let shown = format!("{:?}", enforce.max_connection_idle(seconds(7)));
    assert!(shown.starts_with("Enforce { incoming: Empty"), "{shown}");
    assert!(shown.contains("max_idle: 7s"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn the_third_ping_too_early_ends_the_connection_and_its_calls() {
    let server = start(|enforce| enforce);
    let mut raw = ping_often(&server, 3, seconds(299), true).await;
    assert!(server.closed().is_empty());
    raw.ping().await;
    let rest = raw.rest().await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!(goaway(&rest[0]), (1, ENHANCE_YOUR_CALM, "too_many_pings"));
    drop(raw);
    sleep(seconds(1)).await;
    assert_eq!(server.closed(), [Closed::TooManyPings]);
}

#[tokio::test(start_paused = true)]
async fn tonic_alone_takes_any_number_of_pings() {
    let server = start_alone(Server::builder());
    let mut raw = ping_often(&server, 1000, Duration::from_millis(20), true).await;
    assert!(raw.stays_open(HOUR).await);
}

#[tokio::test(start_paused = true)]
async fn pings_as_often_as_permitted_are_answered() {
    let server = start(|enforce| enforce.min_ping_time(seconds(60)));
    let mut raw = ping_often(&server, 100, seconds(60), true).await;
    assert!(raw.stays_open(HOUR).await);
    let server = start(|enforce| enforce.min_ping_time(Duration::ZERO));
    let mut raw = ping_often(&server, 1000, Duration::ZERO, true).await;
    assert!(raw.stays_open(HOUR).await);
}

#[tokio::test(start_paused = true)]
async fn without_calls_pings_are_for_every_two_hours() {
    let server = start(|enforce| enforce);
    let mut raw = ping_often(&server, 4, seconds(7199), false).await;
    assert_eq!(goaway(&raw.rest().await[0]).2, "too_many_pings");
    let mut raw = ping_often(&server, 10, seconds(7200), false).await;
    assert!(raw.stays_open(HOUR).await);
}

#[tokio::test(start_paused = true)]
async fn without_calls_pings_can_be_permitted() {
    let permit = |enforce: Enforce<_>| enforce.permit_without_calls(true);
    let server = start(permit);
    let mut raw = ping_often(&server, 10, seconds(300), false).await;
    assert!(raw.stays_open(HOUR).await);
    let mut raw = ping_often(&server, 4, seconds(299), false).await;
    assert_eq!(goaway(&raw.rest().await[0]).2, "too_many_pings");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_over_no_longer_permits_pings() {
    let server = start(|enforce| enforce);
    let mut raw = server.raw().await;
    raw.call(1, "GreetAll", "").await;
    raw.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    for _ in 0..4 {
        raw.ping().await;
        sleep(seconds(300)).await;
    }
    assert_eq!(goaway(&raw.rest().await[0]).2, "too_many_pings");
}

#[tokio::test(start_paused = true)]
async fn what_the_server_sends_sets_the_count_back() {
    let server = start(|enforce| enforce);
    let mut raw = server.raw().await;
    raw.open_window().await;
    raw.call(1, "GreetOften", "1").await;
    // Two early pings between messages, which come every second: as many as one may.
    for _ in 0..40 {
        for _ in 0..3 {
            raw.ping().await;
        }
        while raw.next().await.is_some_and(|frame| frame.kind != DATA) {}
    }
    assert!(server.closed().is_empty());
    // A fourth is too many.
    for _ in 0..4 {
        raw.ping().await;
    }
    assert!(raw.rest().await.iter().any(|frame| frame.kind == GOAWAY));
}

#[tokio::test(start_paused = true)]
async fn answers_to_pings_are_no_pings() {
    let server = start(|enforce| enforce);
    let mut raw = server.raw().await;
    for _ in 0..100 {
        raw.send(&frame(PING, ACK, 0, b"are you?")).await;
    }
    assert!(raw.stays_open(HOUR).await);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_that_nobody_reads_ends_too() {
    let server = start(|enforce| enforce);
    let mut raw = server.raw().await;
    let pings = frame(PING, 0, 0, b"are you?").repeat(1000);
    let flood = async { while raw.0.write_all(&pings).await.is_ok() {} };
    timeout(seconds(60), flood).await.unwrap();
    assert_eq!(server.closed(), [Closed::TooManyPings]);
}

/// So many frames that have to be answered may come at once.
const ANSWERS: usize = 2000;

#[tokio::test(start_paused = true)]
async fn more_settings_and_pings_than_anybody_needs_end_the_connection() {
    let any = |enforce: Enforce<_>| {
        let enforce = enforce.min_ping_time(Duration::ZERO);
        enforce.permit_without_calls(true)
    };
    let (settings, ping) = (frame(SETTINGS, 0, 0, &[]), frame(PING, 0, 0, b"are you?"));
    let both = [settings.clone(), ping.clone()].concat();
    // The opening has one.
    for (what, flood) in [
        ("settings", settings.repeat(ANSWERS - 1)),
        ("pings", ping.repeat(ANSWERS - 1)),
        ("both", [both.repeat(ANSWERS / 2 - 1), ping].concat()),
    ] {
        let server = start(any);
        let mut raw = server.raw().await;
        raw.call(1, "GreetAll", "").await;
        // That the server's own are taken note of is answered by nobody.
        raw.send(&frame(SETTINGS, ACK, 0, &[])).await;
        raw.send(&flood).await;
        assert!(raw.stays_open(HOUR).await, "{what}");
        assert!(server.closed().is_empty(), "{what}");
        let mut raw = server.raw().await;
        raw.call(1, "GreetAll", "").await;
        raw.send(&flood).await;
        raw.send(&settings).await;
        let rest = timeout(HOUR, raw.rest()).await.unwrap();
        assert_eq!(rest.len(), 1, "{what}: {rest:?}");
        let expected = (1, ENHANCE_YOUR_CALM, "too_many_answers");
        assert_eq!(goaway(&rest[0]), expected, "{what}");
        drop(raw);
        sleep(seconds(1)).await;
        assert_eq!(server.closed(), [Closed::TooManyAnswers], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_settings_a_second_are_answered() {
    for (pause, stays) in [(10, true), (9, false)] {
        let server = start(|enforce| enforce);
        let mut raw = server.raw().await;
        // At nine milliseconds it takes ten times as many.
        for _ in 0..11 * ANSWERS {
            raw.send(&frame(SETTINGS, 0, 0, &[])).await;
            sleep(Duration::from_millis(pause)).await;
            let mut answers = [0; 64];
            let _ = timeout(Duration::ZERO, raw.0.read(&mut answers)).await;
        }
        assert_eq!(raw.stays_open(HOUR).await, stays, "{pause}");
    }
}

/// As clients do that measure how much the line holds.
#[tokio::test(start_paused = true)]
async fn a_ping_for_each_piece_that_the_server_sends_is_answered() {
    let server = start(|enforce| enforce.min_ping_time(Duration::ZERO));
    let mut raw = server.raw().await;
    raw.open_window().await;
    raw.call(1, "GreetOften", "0").await;
    let begin = Instant::now();
    for _ in 0..2 * ANSWERS {
        while raw.next().await.unwrap().kind != DATA {}
        raw.ping().await;
    }
    assert!(begin.elapsed() < seconds(1));
    assert!(server.closed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn tonic_alone_answers_any_number_of_settings() {
    let server = start_alone(Server::builder());
    let mut raw = server.raw().await;
    for _ in 0..50 {
        raw.send(&frame(SETTINGS, 0, 0, &[]).repeat(ANSWERS)).await;
        for _ in 0..ANSWERS {
            while raw.frame().await.unwrap().kind != SETTINGS {}
        }
    }
    assert!(raw.stays_open(HOUR).await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_calls_is_sent_away_and_closed() {
    let server = start(|enforce| enforce.max_connection_idle(seconds(60)));
    let begin = Instant::now();
    let mut raw = server.raw().await;
    let (first, ping) = raw.farewell().await;
    assert_eq!(goaway(&first), (LAST_STREAM, NO_ERROR, "max_idle"));
    assert_eq!(begin.elapsed().as_secs(), 60);
    raw.answer(&ping).await;
    let rest = raw.rest().await;
    assert_eq!(goaway(&rest[0]), (0, NO_ERROR, "max_idle"));
    assert_eq!(rest.len(), 1);
    // A second later: calls that crossed the first farewell could have come until then.
    assert_eq!(begin.elapsed().as_secs(), 61);
    drop(raw);
    sleep(seconds(1)).await;
    assert_eq!(server.closed(), [Closed::MaxIdle]);
}

#[tokio::test(start_paused = true)]
async fn tonic_alone_keeps_a_connection_without_calls() {
    let server = start_alone(Server::builder());
    let mut raw = server.raw().await;
    assert!(raw.stays_open(1000 * HOUR).await);
}

#[tokio::test(start_paused = true)]
async fn idleness_counts_from_the_end_of_the_last_call() {
    let server = start(|enforce| enforce.max_connection_idle(seconds(60)));
    let begin = Instant::now();
    let mut raw = server.raw().await;
    raw.call(1, "Greet", "100").await;
    raw.call(3, "Greet", "50").await;
    let (first, _) = raw.farewell().await;
    assert_eq!(goaway(&first).2, "max_idle");
    assert_eq!(begin.elapsed().as_secs(), 160);
    // From the client's own end of a call, too.
    let begin = Instant::now();
    let mut raw = server.raw().await;
    raw.call(1, "GreetAll", "").await;
    sleep(seconds(1000)).await;
    raw.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    raw.farewell().await;
    assert_eq!(begin.elapsed().as_secs(), 1060);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_crosses_the_farewell_is_served() {
    let server = start(|enforce| enforce.max_connection_idle(seconds(60)));
    let mut raw = server.raw().await;
    let (_, ping) = raw.farewell().await;
    raw.call(1, "Greet", "30").await;
    raw.answer(&ping).await;
    let begin = Instant::now();
    let rest = raw.rest().await;
    assert_eq!(begin.elapsed().as_secs(), 30);
    let kinds: Vec<_> = rest.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [HEADERS, DATA, HEADERS, GOAWAY]);
    assert_eq!(goaway(&rest[3]), (1, NO_ERROR, "max_idle"));
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_queued_behind_the_answer_are_served() {
    let server = start(|enforce| enforce.max_connection_idle(seconds(60)));
    let mut raw = server.raw().await;
    raw.call(1, "Greet", "").await;
    let (_, ping) = raw.farewell().await;
    // h2 answers pings first, whatever waits to be sent.
    let begin = Instant::now();
    raw.send(&[answer(&ping), call(3, "Greet", "0")].concat())
        .await;
    sleep(Duration::from_millis(900)).await;
    raw.call(5, "Greet", "30").await;
    let rest = raw.rest().await;
    assert_eq!(begin.elapsed().as_millis(), 30_900);
    let frames: Vec<_> = rest
        .iter()
        .map(|frame| (frame.kind, frame.stream))
        .collect();
    let (third, fifth) = ([HEADERS, DATA, HEADERS], [HEADERS, DATA, HEADERS]);
    let third = third.map(|kind| (kind, 3));
    let fifth = fifth.map(|kind| (kind, 5));
    assert_eq!(frames, [&third[..], &fifth, &[(GOAWAY, 0)]].concat());
    assert_eq!(goaway(&rest[6]), (5, NO_ERROR, "max_idle"));
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_past_the_answer_end_within_their_grace() {
    let server = start(|enforce| {
        let enforce = enforce.max_connection_age(seconds(100));
        enforce.max_connection_age_grace(Duration::from_millis(300))
    });
    let mut raw = server.raw().await;
    let (_, ping) = raw.farewell().await;
    let begin = Instant::now();
    raw.send(&[answer(&ping), call(1, "GreetAll", "")].concat())
        .await;
    let rest = raw.rest().await;
    assert_eq!(begin.elapsed().as_millis(), 300);
    assert_eq!(goaway(&rest[0]), (1, NO_ERROR, "max_age"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_has_five_seconds() {
    let server = start(|enforce| enforce.max_connection_idle(seconds(60)));
    let mut raw = server.raw().await;
    raw.farewell().await;
    let begin = Instant::now();
    // The answer to another ping isn't the one.
    raw.send(&frame(PING, ACK, 0, b"are you?")).await;
    assert_eq!(goaway(&raw.next().await.unwrap()).0, 0);
    assert_eq!(begin.elapsed().as_secs(), 5);
    // It is still there, but the server doesn't wait for it for ever.
    sleep(seconds(1)).await;
    assert!(server.closed().is_empty());
    sleep(seconds(2)).await;
    assert_eq!(server.closed(), [Closed::MaxIdle]);
}

#[tokio::test(start_paused = true)]
async fn a_client_too_old_is_sent_away_and_its_calls_go_on() {
    let server = start(|enforce| enforce.max_connection_age(seconds(100)));
    let begin = Instant::now();
    let mut raw = server.raw().await;
    raw.call(1, "Greet", "1000").await;
    let (first, ping) = raw.farewell().await;
    assert_eq!(goaway(&first), (LAST_STREAM, NO_ERROR, "max_age"));
    let age = begin.elapsed();
    assert!((seconds(90)..=seconds(110)).contains(&age), "{age:?}");
    raw.answer(&ping).await;
    let rest = raw.rest().await;
    assert_eq!(begin.elapsed().as_secs(), 1000);
    let kinds: Vec<_> = rest.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [HEADERS, DATA, HEADERS, GOAWAY]);
    assert_eq!(goaway(&rest[3]), (1, NO_ERROR, "max_age"));
    drop(raw);
    sleep(seconds(1)).await;
    assert_eq!(server.closed(), [Closed::MaxAge]);
}

#[tokio::test(start_paused = true)]
async fn past_the_grace_what_is_open_is_cut() {
    let server = start(|enforce| {
        let enforce = enforce.max_connection_age(seconds(100));
        enforce.max_connection_age_grace(seconds(30))
    });
    let mut raw = server.raw().await;
    raw.call(1, "GreetAll", "").await;
    let (_, ping) = raw.farewell().await;
    let begin = Instant::now();
    sleep(seconds(2)).await;
    raw.answer(&ping).await;
    let rest = raw.rest().await;
    assert_eq!(begin.elapsed().as_secs(), 32);
    assert_eq!(goaway(&rest[0]), (1, NO_ERROR, "max_age"));
}

#[tokio::test(start_paused = true)]
async fn a_call_begun_against_the_farewell_holds_nothing_up() {
    let server = start(|enforce| enforce.max_connection_age(seconds(100)));
    let mut raw = server.raw().await;
    raw.call(1, "Greet", "200").await;
    let (_, ping) = raw.farewell().await;
    raw.answer(&ping).await;
    sleep(seconds(2)).await;
    raw.call(3, "Greet", "").await;
    raw.call(5, "GreetAll", "").await;
    let rest = timeout(HOUR, raw.rest()).await.unwrap();
    assert!(rest.iter().any(|frame| frame.stream == 3), "it was served");
    // Nobody may believe of a call that runs, or ran, that it can be made again.
    assert_eq!(goaway(rest.last().unwrap()).0, 5);
}

#[tokio::test(start_paused = true)]
async fn ages_differ_by_a_tenth_at_most() {
    let server = start(|enforce| enforce.max_connection_age(seconds(1000)));
    let begin = Instant::now();
    let mut ages = stream::iter(0..200)
        .map(|_| async {
            server.raw().await.farewell().await;
            begin.elapsed().as_secs()
        })
        .buffer_unordered(200)
        .collect::<Vec<_>>()
        .await;
    ages.sort_unstable();
    assert!(ages[0] >= 900 && ages[199] <= 1100, "{ages:?}");
    assert!(ages[0] < 930 && ages[199] > 1070, "{ages:?}");
}

#[tokio::test(start_paused = true)]
async fn tonic_alone_sends_nobody_away_where_there_is_a_grace() {
    let server = Server::builder().max_connection_age(seconds(100));
    let server = start_alone(server.max_connection_age_grace(seconds(30)));
    let mut raw = server.raw().await;
    raw.call(1, "GreetAll", "").await;
    let rest = raw.rest().await;
    let told = rest
        .iter()
        .any(|frame| frame.kind == GOAWAY && goaway(frame).0 == LAST_STREAM);
    assert!(!told, "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn no_farewell_allows_more_than_the_servers_own() {
    // tonic's age comes first, with a call that's open; then ours.
    let server = crate::server::builder().max_connection_age(seconds(50));
    let server = start_as(server, |enforce| enforce.max_connection_age(seconds(100)));
    let mut raw = server.raw().await;
    raw.call(1, "Greet", "300").await;
    let mut last = LAST_STREAM;
    while let Some(frame) = raw.next().await {
        match frame.kind {
            GOAWAY => {
                let allowed = goaway(&frame).0;
                assert!(allowed <= last, "{allowed} after {last}");
                last = allowed;
            }
            PING => raw.answer(&frame).await,
            _ => {}
        }
    }
    assert_eq!(last, 1);
}

/// A client that reads nothing any more, while replies come.
async fn stuck(server: &Running) -> Raw {
    let mut raw = server.raw().await;
    raw.open_window().await;
    raw.call(1, "GreetOften", "").await;
    raw
}

fn with_keepalive(server: Server) -> Server {
    server
        .http2_keepalive_interval(Some(seconds(10)))
        .http2_keepalive_timeout(Some(seconds(10)))
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up() {
    for (timeout, after) in [(None, 20), (Some(15), 15)] {
        let server = start(|enforce| match timeout {
            Some(timeout) => enforce.write_timeout(seconds(timeout)),
            None => enforce,
        });
        let raw = stuck(&server).await;
        sleep(seconds(after - 1)).await;
        assert!(server.closed().is_empty());
        sleep(seconds(2)).await;
        assert_eq!(server.closed(), [Closed::WriteTimeout]);
        drop(raw);
    }
}

#[tokio::test(start_paused = true)]
async fn tonic_alone_keeps_a_dead_peer_that_it_has_something_to_send_to() {
    let server = start_as(with_keepalive(Server::builder()), |enforce| {
        enforce.write_timeout(Duration::MAX)
    });
    let raw = stuck(&server).await;
    sleep(10 * HOUR).await;
    assert!(server.closed().is_empty());
    drop(raw);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_given_up() {
    let server = start_as(with_keepalive(Server::builder()), |enforce| enforce);
    for with_call in [false, true] {
        let raw = ping_often(&server, 0, seconds(0), with_call).await;
        sleep(seconds(19)).await;
        assert!(server.closed().is_empty());
        sleep(seconds(2)).await;
        assert_eq!(server.closed.lock().unwrap().pop(), Some(Closed::NoAnswer));
        drop(raw);
    }
}

#[tokio::test(start_paused = true)]
async fn without_keepalive_a_dead_client_is_kept() {
    let server = start_alone(Server::builder());
    let mut raw = ping_often(&server, 0, seconds(0), true).await;
    assert!(raw.stays_open(1000 * HOUR).await);
}

#[tokio::test(start_paused = true)]
async fn a_server_pings_every_two_hours_as_it_is() {
    let server = start_as(crate::server::builder(), |enforce| enforce);
    let raw = server.raw().await;
    sleep(2 * HOUR + seconds(19)).await;
    assert!(server.closed().is_empty());
    sleep(seconds(2)).await;
    assert_eq!(server.closed(), [Closed::NoAnswer]);
    drop(raw);
}

#[tokio::test(start_paused = true)]
async fn who_closed_is_told() {
    let server = start(|enforce| enforce);
    let mut raw = server.raw().await;
    raw.frame().await.unwrap();
    raw.frame().await.unwrap();
    drop(raw);
    sleep(seconds(1)).await;
    let mut raw = server.raw().await;
    // A frame that belongs to a stream, without one.
    raw.send(&frame(DATA, 0, 0, b"what?")).await;
    raw.rest().await;
    assert_eq!(server.closed(), [Closed::ByPeer, Closed::ByServer]);
    let texts = [
        (Closed::NoAnswer, "no answer to a ping"),
        (Closed::WriteTimeout, "the client takes nothing"),
        (Closed::TooManyPings, "too_many_pings"),
        (Closed::MaxIdle, "max_idle"),
        (Closed::MaxAge, "max_age"),
        (Closed::Broken, "broken"),
        (Closed::ByPeer, "closed by the client"),
        (Closed::ByServer, "closed by the server"),
    ];
    for (closed, text) in texts {
        assert_eq!(closed.to_string(), text);
    }
}

#[tokio::test]
async fn places_come_free_of_connections_that_made_one_call() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let incoming = crate::server::incoming(listener)
        .max_connections(2)
        .max_connection_idle(Duration::from_millis(300));
    let server = crate::server::builder().add_service(GreeterServer::new(Obedient));
    tokio::spawn(server.serve_with_incoming(incoming));
    let mut stubs = Vec::new();
    for _ in 0..6 {
        let mut stub = GreeterClient::connect(url.clone()).await.unwrap();
        let greeted = timeout(seconds(20), stub.greet(Name::default())).await;
        greeted.unwrap().unwrap();
        stubs.push(stub);
    }
    // The first one's connection has gone; it makes another.
    let mut first = stubs.remove(0);
    let greeted = timeout(seconds(20), first.greet(Name::default())).await;
    greeted.unwrap().unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn tcp_is_told_the_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    assert!(set_tcp_user_timeout(&stream, seconds(7)).unwrap());
    let socket = socket2::SockRef::from(&stream);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(seconds(7)));
}
