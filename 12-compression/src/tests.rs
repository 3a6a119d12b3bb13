//! What travels in each direction, and the exercises. More is in the modules.

use std::sync::mpsc::{Receiver, channel as log_channel};

use prost::Message;
use tonic::Code;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::http;
use tonic::transport::{Channel, Server};
use tower::util::MapRequestLayer;

use super::*;
use crate::message_sizes::{Measured, MessageSize, MessageSizes, Travelled};
use crate::proto::reports_client::ReportsClient;

mod bombs;
#[cfg(target_os = "linux")]
mod memory;
mod negotiation;
mod secret;
mod sizes;
mod streams;

#[tokio::test]
async fn a_report_shrinks_to_less_than_a_third_in_both_directions() {
    let (stub, sizes) = measured(start().await).await;
    let plain = u32::try_from(year::report("Bergen").encoded_len()).unwrap();
    for encoding in [Gzip, Deflate] {
        let mut stub = stub.clone().accept_compressed(encoding);
        let report = stub.fetch(bergen()).await.unwrap().into_inner();
        assert_eq!(report, year::report("Bergen"));
        let (_, reply) = only(sizes.take());
        assert_eq!(reply.encoding, named(encoding));
        assert!(reply.bytes < plain / 3, "{reply} of {plain}");
    }
    let mut stub = stub.send_compressed(Gzip);
    let receipt = stub.file(year::report("Bergen")).await.unwrap();
    assert_eq!(receipt.into_inner().days, 365);
    let (request, _) = only(sizes.take());
    assert_eq!(request.encoding, named(Gzip));
    assert!(request.bytes < plain / 3, "{request} of {plain}");
}

#[tokio::test]
#[ignore = "exercise 1: compress only what is worth it"]
async fn exercise_1_compresses_only_replies_of_a_kibibyte_or_more() {
    let (stub, sizes) = measured(start().await).await;
    let mut stub = stub.accept_compressed(Gzip);
    stub.file(year::report("Bergen")).await.unwrap();
    let (_, receipt) = only(sizes.take());
    assert_eq!(
        receipt.encoding, None,
        "the receipt has 3 bytes, so it must go plain; it came as {receipt}"
    );
    stub.fetch(bergen()).await.unwrap();
    let (_, report) = only(sizes.take());
    assert_eq!(
        report.encoding,
        named(Gzip),
        "a year has more than 1024 bytes, so it must be compressed; it came as {report}"
    );
    // The size decides, not the method.
    stub.fetch(Station::default()).await.unwrap();
    let (_, report) = only(sizes.take());
    assert_eq!(
        report.encoding, None,
        "the report of a station without a name is empty, so it must go plain; it came as {report}"
    );
}

#[tokio::test]
#[ignore = "exercise 2: file a report with any server"]
async fn exercise_2_files_in_an_encoding_that_the_server_reads() {
    let office = || ReportsServer::new(Office);
    for (reads, office, expected) in [
        ("gzip", office().accept_compressed(Gzip), &["gzip"][..]),
        (
            "deflate",
            office().accept_compressed(Deflate),
            &["gzip", "deflate"],
        ),
        ("nothing compressed", office(), &["gzip", "plain"]),
    ] {
        let (channel, encodings) = start_noting_encodings(office).await;
        let receipt = filing::file(&ReportsClient::new(channel), year::report("Bergen")).await;
        let sent: Vec<_> = encodings.try_iter().collect();
        assert_eq!(
            sent, expected,
            "to a server that reads {reads}: the encodings of your calls, in order"
        );
        let days = receipt.map(|receipt| receipt.days);
        assert_eq!(
            days.ok(),
            Some(365),
            "the receipt of a server that reads {reads}"
        );
    }
    // Errors that aren't about the encoding.
    for (what, office) in [
        (
            "UNIMPLEMENTED without a list of encodings",
            Refuses(Code::Unimplemented),
        ),
        ("PERMISSION_DENIED", Refuses(Code::PermissionDenied)),
    ] {
        let code = office.0;
        let office = ReportsServer::new(office).accept_compressed(Gzip);
        let (channel, encodings) = start_noting_encodings(office).await;
        let receipt = filing::file(&ReportsClient::new(channel), Report::default()).await;
        let sent: Vec<_> = encodings.try_iter().collect();
        assert_eq!(
            sent,
            ["gzip"],
            "after {what} the report must not be sent again"
        );
        let status = receipt.expect_err(&format!("a server answered {what}"));
        assert_eq!(
            status.code(),
            code,
            "the server's error must come back: {what}"
        );
    }
}

#[tokio::test]
#[ignore = "exercise 3: say it in fewer bytes"]
async fn exercise_3_a_compact_report_needs_no_compression() {
    let url = start().await;
    for name in ["Bergen", "Oslo"] {
        let request = Station {
            name: name.to_owned(),
        }
        .encode_to_vec();
        let path = "/reports.v1.Reports/FetchCompact";
        let reply = wire::testing::post(&url, path, wire::testing::framed(&request)).await;
        let status = (reply.status(), reply.message());
        assert_eq!(status.0, Some("OK"), "FetchCompact ended with {status:?}");
        let [message] = &reply.messages[..] else {
            panic!("expected one reply, got {}", reply.messages.len());
        };
        let bytes = message.len();
        assert!(
            (3000..4500).contains(&bytes),
            "a compact report should have 3000 to 4500 bytes, uncompressed; it has {bytes}"
        );
        let report = CompactReport::decode(&message[..])
            .expect("the reply of FetchCompact isn't the message that the page describes");
        assert_eq!(report.station, name, "field 1, the station");
        let expected: Vec<_> = year::report(name)
            .days
            .iter()
            .map(CompactDay::from)
            .collect();
        assert_eq!(report.days.len(), expected.len(), "field 2, the days");
        for (day, expected) in report.days.iter().zip(&expected) {
            assert_eq!(
                day, expected,
                "a day of the compact report: yours, and the expected one"
            );
        }
    }
}

/// What exercise 3 asks for, written by hand, so that the test compiles before the proto has it.
#[derive(Clone, PartialEq, prost::Message)]
struct CompactReport {
    #[prost(string, tag = "1")]
    station: String,
    #[prost(message, repeated, tag = "2")]
    days: Vec<CompactDay>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CompactDay {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(sint32, tag = "2")]
    temperature: i32,
    #[prost(int32, tag = "3")]
    sky: i32,
}

impl From<&Day> for CompactDay {
    fn from(day: &Day) -> Self {
        let skies = [
            "",
            "cloudy with rain",
            "cloudy",
            "cloudy with snow",
            "clear",
        ];
        let sky = skies.iter().position(|sky| *sky == day.sky).unwrap();
        Self {
            number: day.number,
            temperature: day.temperature,
            sky: i32::try_from(sky).unwrap(),
        }
    }
}

/// An office that takes no report in.
struct Refuses(Code);

#[tonic::async_trait]
impl Reports for Refuses {
    async fn file(&self, _: Request<Report>) -> Result<Response<Receipt>, Status> {
        Err(Status::new(self.0, "not today"))
    }
}

type Stub = ReportsClient<Measured<Channel>>;

/// Serves the lesson on a free port and returns its URL.
async fn start() -> String {
    let (listener, url) = bind().await;
    tokio::spawn(serve(listener));
    url
}

/// Serves `office` with tonic alone, set up as the test needs it.
async fn start_alone<T: Reports>(office: ReportsServer<T>) -> String {
    let (listener, url) = bind().await;
    let server = Server::builder().add_service(office);
    tokio::spawn(server.serve_with_incoming(conform::server::incoming(listener)));
    url
}

/// Serves `office`, and notes for each call in which encoding its messages come.
async fn start_noting_encodings<T: Reports>(
    office: ReportsServer<T>,
) -> (Channel, Receiver<String>) {
    let (note, encodings) = log_channel();
    let layer = MapRequestLayer::new(move |request: http::Request<Body>| {
        let encoding = request.headers().get("grpc-encoding");
        let encoding = encoding.map_or("plain", |encoding| encoding.to_str().unwrap());
        let _ = note.send(encoding.to_owned());
        request
    });
    let (listener, url) = bind().await;
    let server = Server::builder().layer(layer).add_service(office);
    tokio::spawn(server.serve_with_incoming(conform::server::incoming(listener)));
    (channel(url).await, encodings)
}

async fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// An office that reads and writes both encodings.
fn polyglot() -> ReportsServer<Office> {
    BOTH.iter()
        .fold(ReportsServer::new(Office), |office, &encoding| {
            office.accept_compressed(encoding).send_compressed(encoding)
        })
}

const BOTH: [CompressionEncoding; 2] = [Gzip, Deflate];

async fn channel(url: String) -> Channel {
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

/// A stub that neither sends nor accepts anything compressed, and the sizes of what travels.
async fn measured(url: String) -> (Stub, MessageSizes) {
    let sizes = MessageSizes::default();
    let channel = sizes.measure(channel(url).await);
    (ReportsClient::new(channel), sizes)
}

fn bergen() -> Station {
    let name = "Bergen".to_owned();
    Station { name }
}

fn words(text: impl Into<String>) -> Words {
    let text = text.into();
    let private = false;
    Words { text, private }
}

/// The only message of each direction.
fn only(travelled: Travelled) -> (MessageSize, MessageSize) {
    let ([request], [reply]) = (&travelled.requests[..], &travelled.replies[..]) else {
        panic!("expected one message each way, got {travelled:?}");
    };
    (request.clone(), reply.clone())
}

fn named(encoding: CompressionEncoding) -> Option<String> {
    Some(encoding.to_string())
}

/// A message as gRPC frames it: whether it is compressed, four bytes of length, the message.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], message].concat()
}
