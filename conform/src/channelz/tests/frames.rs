//! What is seen in the frames of a connection.

use super::*;
use crate::channelz::frames::Role;
use crate::testing::framed;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const PADDED: u8 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A connection whose client has sent the preface.
struct Connection {
    channelz: Channelz,
    io: Box<dyn Io>,
    peer: DuplexStream,
    role: Role,
}

trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Io for T {}

impl Connection {
    async fn begin(role: Role) -> Self {
        let mut connection = Self::silent(role).await;
        connection.client(PREFACE).await;
        connection
    }

    async fn silent(role: Role) -> Self {
        let channelz = Channelz::new();
        let (io, peer): (Box<dyn Io>, _) = match role {
            Role::Client => {
                let (io, peer) = client_side(&channelz).await;
                (Box::new(io), peer)
            }
            Role::Server => {
                let (io, peer) = server_side(&channelz).await;
                (Box::new(io), peer)
            }
        };
        Self {
            channelz,
            io,
            peer,
            role,
        }
    }

    /// This side writes.
    async fn this(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
        let mut came = vec![0; bytes.len()];
        self.peer.read_exact(&mut came).await.unwrap();
        assert_eq!(came, bytes, "passed on as it is");
    }

    /// The peer writes, and this side reads.
    async fn peer(&mut self, bytes: &[u8]) {
        self.peer.write_all(bytes).await.unwrap();
        let mut came = vec![0; bytes.len()];
        self.io.read_exact(&mut came).await.unwrap();
        assert_eq!(came, bytes, "passed on as it is");
    }

    async fn client(&mut self, bytes: &[u8]) {
        match self.role {
            Role::Client => self.this(bytes).await,
            Role::Server => self.peer(bytes).await,
        }
    }

    async fn server(&mut self, bytes: &[u8]) {
        match self.role {
            Role::Client => self.peer(bytes).await,
            Role::Server => self.this(bytes).await,
        }
    }

    fn data(&self) -> pb::SocketData {
        newest_socket(&self.channelz)
    }

    /// Streams started, succeeded, failed.
    fn streams(&self) -> (i64, i64, i64) {
        let data = self.data();
        (
            data.streams_started,
            data.streams_succeeded,
            data.streams_failed,
        )
    }

    /// Messages sent and received.
    fn messages(&self) -> (i64, i64) {
        let data = self.data();
        (data.messages_sent, data.messages_received)
    }
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];

#[tokio::test]
async fn a_stream_begins_with_the_clients_headers_and_succeeds_with_the_servers_end_stream() {
    for role in ROLES {
        let mut connection = Connection::begin(role).await;
        assert_eq!(connection.streams(), (0, 0, 0));
        connection.client(&frame(HEADERS, 0, 1, b"request")).await;
        assert_eq!(connection.streams(), (1, 0, 0), "{role:?}");
        let end = frame(DATA, END_STREAM, 1, &framed(b"hello"));
        connection.client(&end).await;
        assert_eq!(connection.streams(), (1, 0, 0), "half closed");
        connection.server(&frame(HEADERS, 0, 1, b"response")).await;
        connection.server(&frame(DATA, 0, 1, &framed(b"hi"))).await;
        assert_eq!(connection.streams(), (1, 0, 0), "no trailers yet");
        let trailers = frame(HEADERS, END_STREAM, 1, b"trailers");
        connection.server(&trailers).await;
        assert_eq!(connection.streams(), (1, 1, 0), "{role:?}");
        connection.client(&frame(RST_STREAM, 0, 1, &[0; 4])).await;
        assert_eq!(connection.streams(), (1, 1, 0), "it was over");
    }
}

#[tokio::test]
async fn an_empty_data_frame_may_end_a_stream_too() {
    for role in ROLES {
        let mut connection = Connection::begin(role).await;
        connection.client(&frame(HEADERS, 0, 1, b"request")).await;
        connection.server(&frame(DATA, END_STREAM, 1, b"")).await;
        assert_eq!(connection.streams(), (1, 1, 0));
    }
}

#[tokio::test]
async fn the_clients_trailers_begin_no_stream_and_neither_does_an_old_one() {
    for role in ROLES {
        let mut connection = Connection::begin(role).await;
        for _ in 0..2 {
            connection.client(&frame(HEADERS, 0, 3, b"headers")).await;
        }
        connection.client(&frame(HEADERS, 0, 1, b"too late")).await;
        connection.server(&frame(HEADERS, 0, 5, b"pushed")).await;
        assert_eq!(connection.streams(), (1, 0, 0));
        connection.client(&frame(HEADERS, 0, 5, b"another")).await;
        assert_eq!(connection.streams(), (2, 0, 0));
    }
}

#[tokio::test]
async fn a_stream_that_either_side_resets_has_failed() {
    for role in ROLES {
        let mut connection = Connection::begin(role).await;
        for stream in [1, 3] {
            connection.client(&frame(HEADERS, 0, stream, b"")).await;
        }
        connection.client(&frame(RST_STREAM, 0, 1, &[0; 4])).await;
        assert_eq!(connection.streams(), (2, 0, 1));
        connection.server(&frame(RST_STREAM, 0, 3, &[0; 4])).await;
        assert_eq!(connection.streams(), (2, 0, 2));
        connection.server(&frame(RST_STREAM, 0, 5, &[0; 4])).await;
        assert_eq!(connection.streams(), (2, 0, 2), "never begun");
    }
}

#[tokio::test]
async fn messages_count_when_all_of_them_has_passed() {
    for role in ROLES {
        let mut connection = Connection::begin(role).await;
        connection.client(&frame(HEADERS, 0, 1, b"request")).await;
        let message = framed(b"a message");
        connection.this(&frame(DATA, 0, 1, &message[..7])).await;
        assert_eq!(connection.messages(), (0, 0), "in part");
        connection.this(&frame(DATA, 0, 1, &message[7..])).await;
        assert_eq!(connection.messages(), (1, 0));
        let mut three = [&message[..], &[0; 5], &message, &[0; 3]].concat();
        connection.peer(&frame(DATA, 0, 1, &three)).await;
        assert_eq!(connection.messages(), (1, 3), "and begun a fourth");
        three = vec![0; 2];
        connection.peer(&frame(DATA, 0, 1, &three)).await;
        assert_eq!(connection.messages(), (1, 4), "empty, and complete");
    }
}

#[tokio::test]
async fn messages_of_different_streams_are_told_apart() {
    let mut connection = Connection::begin(Role::Server).await;
    for stream in [1, 3] {
        connection.client(&frame(HEADERS, 0, stream, b"")).await;
    }
    let message = framed(b"a message");
    for part in [&message[..3], &message[3..8], &message[8..]] {
        for stream in [1, 3, 5] {
            connection.client(&frame(DATA, 0, stream, part)).await;
        }
    }
    assert_eq!(connection.messages(), (0, 2), "5 was never begun");
}

#[tokio::test]
async fn padding_holds_no_message() {
    let mut connection = Connection::begin(Role::Server).await;
    connection.client(&frame(HEADERS, 0, 1, b"")).await;
    // The length of the padding, half a message, five bytes that look like an empty one.
    let message = framed(b"a message");
    let payload = [&[5][..], &message[..9], &[0; 5]].concat();
    connection.client(&frame(DATA, PADDED, 1, &payload)).await;
    assert_eq!(connection.messages(), (0, 0));
    let payload = [&[1][..], &message[9..], &[0]].concat();
    connection.client(&frame(DATA, PADDED, 1, &payload)).await;
    assert_eq!(connection.messages(), (0, 1));
    // Only padding, and more of it than there is.
    connection.client(&frame(DATA, PADDED, 1, &[0])).await;
    connection
        .client(&frame(DATA, PADDED, 1, &[9, 0, 0, 0, 0, 0]))
        .await;
    assert_eq!(connection.messages(), (0, 1));
    connection.client(&frame(DATA, 0, 1, &message)).await;
    assert_eq!(connection.messages(), (0, 2));
}

#[tokio::test]
async fn it_is_the_same_however_the_bytes_are_cut() {
    let bytes = [
        frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0, 0, 3, 0, 0, 1, 44]),
        frame(HEADERS, 0, 1, b"request"),
        frame(
            DATA,
            PADDED,
            1,
            &[&[2][..], &framed(b"one"), &[0; 2]].concat(),
        ),
        frame(WINDOW_UPDATE, 0, 0, &1000_u32.to_be_bytes()),
        frame(PING, 0, 0, &[7; 8]),
        frame(DATA, END_STREAM, 1, &framed(b"two")),
        frame(HEADERS, END_STREAM, 3, b"request"),
        frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]),
        frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]),
    ]
    .concat();
    for size in [1, 2, 3, 7, 8, 9, 10, 31, bytes.len()] {
        let mut connection = Connection::begin(Role::Server).await;
        for part in bytes.chunks(size) {
            connection.client(part).await;
        }
        let data = connection.data();
        assert_eq!(connection.streams(), (2, 0, 1), "in parts of {size}");
        assert_eq!(connection.messages(), (0, 2), "in parts of {size}");
        assert_eq!(data.peer_max_concurrent_streams, 300);
        assert_eq!(data.local_flow_control_window, Some(65_535 + 1000));
        let [padded, end] = [3 + framed(b"one").len(), framed(b"two").len()];
        let left = 65_535 - (padded + end) as i64;
        assert_eq!(data.remote_flow_control_window, Some(left));
        assert_eq!(data.received_goaway_error, Some(11));
        assert_eq!(data.keep_alives_sent, 0);
    }
}

#[tokio::test]
async fn windows_are_those_of_the_connection_in_both_directions() {
    for role in ROLES {
        let mut connection = Connection::begin(role).await;
        let windows = |connection: &Connection| {
            let data = connection.data();
            (
                data.local_flow_control_window.unwrap(),
                data.remote_flow_control_window.unwrap(),
            )
        };
        assert_eq!(windows(&connection), (65_535, 65_535));
        connection.this(&frame(DATA, 0, 1, &[0; 35])).await;
        assert_eq!(windows(&connection), (65_500, 65_535));
        connection.peer(&frame(DATA, 0, 1, &[0; 30])).await;
        assert_eq!(windows(&connection), (65_500, 65_505));
        let update = |stream| frame(WINDOW_UPDATE, 0, stream, &[0x80, 0, 0, 5]);
        connection.peer(&update(0)).await;
        assert_eq!(windows(&connection), (65_505, 65_505), "this may send more");
        connection.this(&update(0)).await;
        assert_eq!(windows(&connection), (65_505, 65_510), "the peer may");
        connection.this(&update(1)).await;
        assert_eq!(windows(&connection), (65_505, 65_510), "a stream may");
    }
}

#[tokio::test]
async fn keepalives_are_the_pings_that_this_side_sends_for_their_own_sake() {
    for role in ROLES {
        let mut connection = Connection::begin(role).await;
        connection.this(&frame(PING, ACK, 0, &[1; 8])).await;
        connection.peer(&frame(PING, 0, 0, &[1; 8])).await;
        let shutdown = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];
        connection.this(&frame(PING, 0, 0, &shutdown)).await;
        assert_eq!(connection.data().keep_alives_sent, 0);
        connection.this(&frame(PING, 0, 0, &[1; 8])).await;
        assert_eq!(connection.data().keep_alives_sent, 1);
    }
}

#[tokio::test]
async fn what_the_peer_says_of_the_connection_is_told_and_not_what_this_side_says() {
    for role in ROLES {
        let mut connection = Connection::begin(role).await;
        let setting = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
        let goaway = frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0, b'w', b'h', b'y']);
        connection.this(&setting).await;
        connection.this(&goaway).await;
        assert_eq!(connection.data().peer_max_concurrent_streams, 0);
        assert_eq!(connection.data().received_goaway_error, None);
        connection.peer(&setting).await;
        connection.peer(&goaway).await;
        assert_eq!(connection.data().peer_max_concurrent_streams, 100);
        assert_eq!(connection.data().received_goaway_error, Some(0), "NO_ERROR");
    }
}

#[tokio::test]
async fn the_last_times_are_those_of_streams_and_messages_by_direction() {
    for role in ROLES {
        let mut connection = Connection::begin(role).await;
        let times = |connection: &Connection| {
            let data = connection.data();
            [
                data.last_local_stream_created_timestamp,
                data.last_remote_stream_created_timestamp,
                data.last_message_sent_timestamp,
                data.last_message_received_timestamp,
            ]
        };
        assert_eq!(times(&connection), [None; 4]);
        connection.client(&frame(HEADERS, 0, 1, b"")).await;
        let is_some = |connection: &Connection| times(connection).map(|time| time.is_some());
        let is_client = role == Role::Client;
        let begun = [is_client, !is_client, false, false];
        assert_eq!(is_some(&connection), begun);
        // When a message has begun, it hasn't passed.
        let message = framed(b"");
        let (before, after) = message.split_at(3);
        connection.this(&frame(DATA, 0, 1, before)).await;
        assert_eq!(is_some(&connection), begun);
        connection.this(&frame(DATA, 0, 1, after)).await;
        assert_eq!(is_some(&connection), [is_client, !is_client, true, false]);
        connection.peer(&frame(DATA, 0, 1, &framed(b""))).await;
        assert_eq!(is_some(&connection), [is_client, !is_client, true, true]);

        let seconds = times(&connection)[2].unwrap().seconds;
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
        assert!((now - 60..=now).contains(&seconds), "{seconds} of {now}");
        let before = times(&connection);
        until(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64 > now).await;
        connection.this(&frame(DATA, 0, 1, &framed(b""))).await;
        let after = times(&connection);
        assert_eq!(after[3], before[3]);
        assert!(after[2].unwrap().seconds > before[2].unwrap().seconds);
    }
}

#[tokio::test]
async fn bytes_are_counted_in_both_directions_and_left_out_of_a_summary() {
    for role in ROLES {
        let mut connection = Connection::silent(role).await;
        connection.this(b"any bytes").await;
        connection.peer(b"at all").await;
        let options = connection.data().option.into_iter();
        let options: Vec<_> = options.map(|it| (it.name, it.value)).collect();
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [option("bytes_sent", "9"), option("bytes_received", "6")];
        assert_eq!(options, expected);
        let sockets = connection.channelz.registry.sockets.all();
        let summary = sockets.last().unwrap().to_pb(true).data.unwrap();
        assert_eq!(summary.option, []);
    }
}

#[tokio::test]
async fn inside_tls_nothing_is_seen_but_that_it_is_tls() {
    for role in ROLES {
        let mut connection = Connection::silent(role).await;
        connection.client(&[22, 3, 1, 2, 0, 1]).await;
        // What would be frames in plain text.
        connection
            .server(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]))
            .await;
        connection.client(&frame(HEADERS, 0, 1, b"")).await;
        let sockets = connection.channelz.registry.sockets.all();
        let socket = sockets.last().unwrap().to_pb(false);
        let tls = pb::security::Model::Tls(Default::default());
        assert_eq!(socket.security.unwrap().model, Some(tls));
        let data = socket.data.unwrap();
        assert_eq!(data.streams_started, 0);
        assert_eq!(data.peer_max_concurrent_streams, 0);
        assert_eq!(data.local_flow_control_window, None);
        assert_eq!(data.remote_flow_control_window, None);
    }
}

#[tokio::test]
async fn another_protocol_in_plain_text_is_not_taken_for_tls() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.1", b"P\x16"] {
        let mut connection = Connection::silent(Role::Server).await;
        connection.client(bytes).await;
        connection.client(PREFACE).await;
        connection.client(&frame(HEADERS, 0, 1, b"")).await;
        let sockets = connection.channelz.registry.sockets.all();
        assert_eq!(sockets.last().unwrap().to_pb(false).security, None);
        assert_eq!(connection.streams(), (0, 0, 0));
    }
}

#[tokio::test]
async fn no_more_than_so_many_open_streams_are_remembered() {
    let mut connection = Connection::begin(Role::Server).await;
    let more = MAX_STREAMS as u32 + 3;
    for number in 0..more {
        let stream = 2 * number + 1;
        connection.client(&frame(HEADERS, 0, stream, b"")).await;
    }
    assert_eq!(connection.streams(), (more.into(), 0, 0));
    for number in 0..more {
        let stream = 2 * number + 1;
        connection
            .server(&frame(HEADERS, END_STREAM, stream, b""))
            .await;
    }
    assert_eq!(connection.streams().1, MAX_STREAMS as i64);
    let stream = 2 * more + 1;
    connection.client(&frame(HEADERS, 0, stream, b"")).await;
    connection
        .server(&frame(HEADERS, END_STREAM, stream, b""))
        .await;
    assert_eq!(
        connection.streams().1,
        MAX_STREAMS as i64 + 1,
        "there's room again"
    );
}
