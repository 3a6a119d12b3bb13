//! Frames are put in between others, and nothing else changes.

use tokio::io::{AsyncRead, AsyncWrite};

use super::*;
use crate::keepalive::connection::OnClose;
use crate::keepalive::limits::{PingSettings, Settings};
use crate::testing::passes_on_io;

/// An enforced end, and the other one.
fn pair(size: usize, settings: Settings) -> (Enforced<DuplexStream>, Raw) {
    let (client, server) = duplex(size);
    (Enforced::new(server, settings, None), Raw(client))
}

fn idle() -> Settings {
    Settings {
        max_idle: seconds(60),
        ..Settings::NONE
    }
}

/// What `write` puts on the wire while the limit by idleness runs out, as frames.
async fn interrupted(size: usize, is_vectored: bool, bytes: &[u8], split: usize) -> Vec<Frame> {
    let (mut server, mut client) = pair(size, idle());
    let writing = async {
        client_speaks(&mut server).await;
        let (before, after) = bytes.split_at(split);
        write(&mut server, before, is_vectored).await;
        // Past the time, whatever is being written.
        server.flush().await.unwrap();
        let _ = timeout(seconds(61), server.read_u8()).await;
        write(&mut server, after, is_vectored).await;
        server.flush().await.unwrap();
        drop(server);
    };
    let reading = async {
        client.send(&opening()).await;
        let mut frames = Vec::new();
        while let Some(frame) = client.frame().await {
            frames.push(frame);
        }
        frames
    };
    tokio::join!(writing, reading).1
}

async fn client_speaks(server: &mut Enforced<DuplexStream>) {
    server.read_exact(&mut [0; 33]).await.unwrap();
}

async fn write(server: &mut Enforced<DuplexStream>, bytes: &[u8], is_vectored: bool) {
    if is_vectored {
        let mut left = bytes;
        while !left.is_empty() {
            let (one, other) = left.split_at(left.len() / 2);
            let slices = [
                io::IoSlice::new(&[]),
                io::IoSlice::new(one),
                io::IoSlice::new(other),
            ];
            let written = server.write_vectored(&slices).await.unwrap();
            left = &left[written..];
        }
    } else {
        server.write_all(bytes).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_a_write_is_cut_frames_stay_whole() {
    let written = [
        frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 200]),
        frame(HEADERS, 0, 1, b"a block"),
        frame(CONTINUATION, 0, 1, b"that goes on"),
        frame(CONTINUATION, END_HEADERS, 1, b"to its end"),
        frame(DATA, 0, 1, &[7; 40]),
        frame(DATA, END_STREAM, 1, b""),
    ];
    let mut boundaries = vec![0];
    for frame in &written {
        boundaries.push(boundaries[boundaries.len() - 1] + frame.len());
    }
    let bytes = written.concat();
    for split in 0..=bytes.len() {
        for (size, is_vectored) in [(64, false), (64, true), (1024, false), (1024, true)] {
            let frames = interrupted(size, is_vectored, &bytes, split).await;
            let kinds: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
            let at = kinds
                .iter()
                .position(|kind| *kind == GOAWAY)
                .expect("it is sent");
            let others = [&kinds[..at], &kinds[at + 2..]].concat();
            assert_eq!(kinds[at + 1], PING, "{split}: {kinds:?}");
            let all = [SETTINGS, HEADERS, CONTINUATION, CONTINUATION, DATA, DATA];
            assert_eq!(others, all, "{split}: {kinds:?}");
            // In the first place after the cut; not before SETTINGS, nor inside of headers.
            let first = boundaries.iter().position(|boundary| *boundary >= split);
            let expected = match first.unwrap() {
                0 => 1,
                2 | 3 => 4,
                other => other,
            };
            assert_eq!(at, expected, "{split}: {kinds:?}");
            assert_eq!(
                frames.last().unwrap().kind,
                if at == 6 { PING } else { DATA }
            );
            assert!(frames.iter().any(|frame| frame.payload == [7; 40]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_http2_passes_as_it_is() {
    let settings = Settings {
        max_age: seconds(10),
        ..idle()
    };
    for begin in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[22, 3, 1, 2, 0, 1],
        b"PRI * HTTP/2.0\r\n\r\nSN",
    ] {
        let (mut server, mut client) = pair(1024, settings);
        client.send(begin).await;
        let mut read = vec![0; begin.len()];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(read, begin);
        for _ in 0..10 {
            let waited = timeout(HOUR, server.read_u8()).await;
            assert!(waited.is_err(), "nothing is read");
            server.write_all(b"any answer").await.unwrap();
            let mut read = [0; 10];
            client.0.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"any answer");
        }
    }
}

#[tokio::test]
async fn it_reads_writes_and_ends_as_what_is_inside() {
    let (server, mut client) = pair(1024, Settings::NONE);
    let mut server = server;
    assert!(format!("{server:?}").starts_with("Enforced { io: "));
    assert!(server.is_write_vectored() == server.get_ref().is_write_vectored());
    server.write_all(b"one").await.unwrap();
    server.shutdown().await.unwrap();
    let mut read = String::new();
    client.0.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "one");
    client.send(b"two").await;
    drop(client);
    let mut read = String::new();
    server.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "two");
    let error = server.write_all(b"three").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_farewell_nothing_of_the_server_is_sent() {
    let (mut server, mut client) = pair(1024, idle());
    client.send(&opening()).await;
    client_speaks(&mut server).await;
    server.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    // Not answered, so the end comes after 65 seconds; and what the client says then is dropped.
    let ended = async {
        client.send(&frame(PING, 0, 0, b"are you?")).await;
        sleep(seconds(66)).await;
        client.send(&frame(PING, 0, 0, b"are you?")).await;
        client
    };
    let reading = async {
        let mut read = vec![0; 17];
        server.read_exact(&mut read).await.unwrap();
        let _ = timeout(seconds(66), server.read_u8()).await;
        server.write_all(&frame(DATA, 0, 1, b"late")).await.unwrap();
        let late = [io::IoSlice::new(b"late"), io::IoSlice::new(b"too")];
        assert!(server.write_vectored(&late).await.unwrap() > 0);
        server.flush().await.unwrap();
        server.shutdown().await.unwrap();
    };
    let (mut client, ()) = tokio::join!(ended, reading);
    let frames = client.rest().await;
    let kinds: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [GOAWAY, PING, GOAWAY]);
    // The client doesn't close: an error ends it.
    let error = timeout(seconds(3), server.read_u8())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn without_limits_everything_is_passed_on() {
    passes_on_io(|io| Enforced::new(io, Settings::NONE, None)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_frame_is_written_at_once() {
    let (mut server, mut client) = pair(1024, idle());
    client.send(&opening()).await;
    client_speaks(&mut server).await;
    let settings = frame(SETTINGS, 0, 0, &[]);
    let (before, after) = settings.split_at(4);
    assert_eq!(server.write(before).await.unwrap(), 4);
    // The first farewell waits for its place from here on.
    let _ = timeout(seconds(61), server.read_u8()).await;
    let more = [after, &settings].concat();
    assert_eq!(server.write(&more).await.unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn who_is_written_to_by_the_library_alone_is_given_up_after_20_seconds() {
    let (mut server, _client) = pair(64, Settings::idle(Duration::MAX));
    let begin = Instant::now();
    let written = timeout(HOUR, server.write_all(&[0; 100])).await;
    assert_eq!(
        written.unwrap().unwrap_err().kind(),
        io::ErrorKind::TimedOut
    );
    assert_eq!(begin.elapsed().as_secs(), 20);
}

/// Lets a client and a server send, in this order, and tells when the first farewell comes.
async fn told_after(steps: &[(&str, Vec<u8>)]) -> u64 {
    let (mut server, mut client) = pair(1024, idle());
    let begin = Instant::now();
    client.send(&opening()).await;
    client_speaks(&mut server).await;
    server.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    for (who, bytes) in steps {
        sleep(seconds(10)).await;
        if *who == "server" {
            server.write_all(bytes).await.unwrap();
        } else {
            client.send(bytes).await;
            server.read_exact(&mut vec![0; bytes.len()]).await.unwrap();
        }
    }
    let reading = async {
        let _ = timeout(HOUR, server.read_u8()).await;
    };
    let telling = async {
        while client.frame().await.unwrap().kind != GOAWAY {}
        begin.elapsed().as_secs()
    };
    tokio::select! {
        () = reading => u64::MAX,
        told = telling => told,
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_no_call_changes_no_idleness() {
    let begun = ("client", frame(HEADERS, END_HEADERS, 1, b"a call"));
    let ended = ("server", frame(HEADERS, END_HEADERS | END_STREAM, 1, b"ok"));
    let reset = [0, 0, 0, 8];
    let server_reset = ("server", frame(RST_STREAM, 0, 1, &reset));
    let client_reset = ("client", frame(RST_STREAM, 0, 1, &reset));
    let trailers = (
        "client",
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"done"),
    );
    // Each step is 10 seconds after the one before, and 60 seconds without a call are the limit.
    for (steps, expected) in [
        (vec![], 60),
        (vec![begun.clone(), ended.clone()], 80),
        (vec![begun.clone(), server_reset.clone()], 80),
        // Trailers of a call that the server has ended begin none.
        (vec![begun.clone(), ended.clone(), trailers], 80),
        // Neither does the reset of a call that is over, or never was, end one.
        (vec![begun, ended, client_reset.clone()], 80),
        (vec![client_reset], 60),
        (vec![server_reset], 60),
    ] {
        assert_eq!(told_after(&steps).await, expected, "{steps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_says_whether_its_ping_was_answered() {
    let ping = frame(PING, 0, 0, b"are you?");
    let ack = frame(PING, ACK, 0, b"are you?");
    for (sent, received, expected) in [
        (&ping, &[][..], Closed::NoAnswer),
        (&ping, &ack[..], Closed::ByServer),
        // The answer to the client's own.
        (&ack, &[], Closed::ByServer),
    ] {
        let closed = tell(|on_close| async move {
            let (client, server) = duplex(1024);
            let mut client = Raw(client);
            let mut server = Enforced::new(server, Settings::NONE, Some(on_close));
            client.send(&opening()).await;
            client_speaks(&mut server).await;
            server.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
            server.write_all(sent).await.unwrap();
            client.send(received).await;
            server
                .read_exact(&mut vec![0; received.len()])
                .await
                .unwrap();
            // There is something to read, and no place to read it to.
            client.send(b"more").await;
            assert_eq!(server.read(&mut []).await.unwrap(), 0);
        });
        assert_eq!(closed.await, [expected]);
    }
}

/// What is told of how the connections of `test` have ended.
async fn tell<F: Future<Output = ()>>(test: impl FnOnce(OnClose) -> F) -> Vec<Closed> {
    let closed: Arc<Mutex<Vec<_>>> = Arc::default();
    let log = closed.clone();
    test(Arc::new(move |why| log.lock().unwrap().push(why))).await;
    closed.lock().unwrap().clone()
}

/// A connection on which everything fails.
struct Failing(io::ErrorKind);

impl AsyncRead for Failing {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Err(self.0.into()))
    }
}

impl AsyncWrite for Failing {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::task::Poll::Ready(Err(self.0.into()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn an_error_tells_who_has_closed() {
    for (error, expected) in [
        (io::ErrorKind::BrokenPipe, Closed::ByPeer),
        (io::ErrorKind::ConnectionAborted, Closed::ByPeer),
        (io::ErrorKind::ConnectionReset, Closed::ByPeer),
        // As TCP_USER_TIMEOUT has it.
        (io::ErrorKind::TimedOut, Closed::Broken),
    ] {
        let closed = tell(|on_close| async move {
            let failing = || Enforced::new(Failing(error), Settings::NONE, Some(on_close.clone()));
            failing().read_u8().await.unwrap_err();
            failing().write_u8(0).await.unwrap_err();
        });
        assert_eq!(closed.await, [expected; 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_pinged_too_often_has_time_to_read_why() {
    let pings = PingSettings {
        min_time: HOUR,
        without_calls: false,
    };
    let settings = Settings {
        pings: Some(pings),
        ..Settings::NONE
    };
    let (mut server, mut client) = pair(1024, settings);
    client.send(&opening()).await;
    client_speaks(&mut server).await;
    server.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    for _ in 0..4 {
        client.ping().await;
    }
    server.read_exact(&mut [0; 4 * 17]).await.unwrap();
    // It stays while the client does, for two seconds at most.
    assert!(timeout(seconds(1), server.read_u8()).await.is_err());
    assert_eq!(goaway(&client.next().await.unwrap()).2, "too_many_pings");
    drop(client);
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_mebibyte_is_read_of_a_client_that_does_not_stop() {
    let (mut server, mut client) = pair(1024, idle());
    client.send(&opening()).await;
    client_speaks(&mut server).await;
    server.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    // The first farewell, and the last one.
    let _ = timeout(seconds(66), server.read_u8()).await;
    let mut taken = 0;
    let flood = async {
        while client.0.write_all(&[0; 512]).await.is_ok() {
            taken += 512;
        }
    };
    let mut end = [0];
    tokio::select! {
        () = flood => panic!("it has closed at once"),
        read = server.read(&mut end) => assert_eq!(read.unwrap(), 0),
    }
    let mebibyte = 1024 * 1024;
    assert!((mebibyte..mebibyte + 4096).contains(&taken), "{taken}");
}

/// A connection that takes so many bytes at a time.
struct Slow(DuplexStream, usize);

impl AsyncRead for Slow {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(self.1)];
        std::pin::Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_a_byte_at_a_time_gets_whole_frames() {
    let (client, server) = duplex(1024);
    let mut server = Enforced::new(Slow(server, 1), idle(), None);
    let mut client = Raw(client);
    client.send(&opening()).await;
    server.read_exact(&mut [0; 33]).await.unwrap();
    server.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    let _ = timeout(seconds(61), server.read_u8()).await;
    drop(server);
    let frames = client.rest().await;
    let kinds: Vec<_> = frames.iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds, [GOAWAY, PING]);
}
