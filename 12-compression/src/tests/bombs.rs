//! A small message that becomes a huge one: refused at the limit, before it is unpacked.

use flate2::{Compress, Compression, FlushCompress};

use super::negotiation::{fetch_from, gzip, post};
use super::*;

pub(super) const MIB: usize = 1024 * 1024;

const FILE: &str = "/reports.v1.Reports/File";

/// Zeros, `mebibytes` of them, as gzip writes them: about a kibibyte for each mebibyte.
///
/// The checksum at its end is wrong; only one who has decompressed it all can know.
pub(super) fn bomb(mebibytes: usize) -> Vec<u8> {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let end = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    [&header[..], &deflated(mebibytes), &end].concat()
}

/// The same in either encoding.
pub(super) fn bomb_in(encoding: CompressionEncoding, mebibytes: usize) -> Vec<u8> {
    match encoding {
        Gzip => bomb(mebibytes),
        Deflate => [&[0x78, 0x9c][..], &deflated(mebibytes), &[3, 0, 0, 0, 0, 0]].concat(),
        _ => panic!("{encoding} has no bomb yet"),
    }
}

/// Made from one mebibyte that is repeated, so that making it takes no time.
fn deflated(mebibytes: usize) -> Vec<u8> {
    let zeros = vec![0; MIB];
    let mut chunk = Vec::with_capacity(MIB);
    // The chunk ends on a whole byte and refers to nothing before it.
    Compress::new(Compression::new(6), false)
        .compress_vec(&zeros, &mut chunk, FlushCompress::Full)
        .unwrap();
    chunk.repeat(mebibytes)
}

pub(super) async fn send(
    channel: Channel,
    encoding: CompressionEncoding,
    message: Vec<u8>,
) -> Status {
    let encoding = encoding.to_string();
    let headers = [("grpc-encoding", encoding.as_str())];
    post(channel, FILE, &headers, framed(1, &message))
        .await
        .status
}

#[tokio::test]
async fn a_small_message_that_becomes_a_thousand_times_as_large_is_refused_and_the_next_call_works()
{
    let channel = channel(start().await).await;
    let message = bomb(60);
    assert!(message.len() < MESSAGE_LIMIT);
    let status = send(channel.clone(), Gzip, message).await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("65536"), "{status}");
    let report = gzip(&year::report("Bergen").encode_to_vec());
    assert_eq!(send(channel, Gzip, report).await.code(), Code::Ok);
}

#[tokio::test]
async fn such_a_message_is_refused_in_both_encodings() {
    let channel = channel(start_alone(polyglot()).await).await;
    for &encoding in &BOTH {
        let status = send(channel.clone(), encoding, bomb_in(encoding, 1024)).await;
        assert_eq!(status.code(), Code::ResourceExhausted, "{encoding}");
        // It is well made: below the limit, all that is wrong is its checksum, or what it says.
        let status = send(channel.clone(), encoding, bomb_in(encoding, 1)).await;
        assert_eq!(status.code(), Code::Internal, "{encoding}");
    }
}

#[tokio::test]
async fn a_client_refuses_such_a_reply_too() {
    let headers = [("grpc-encoding", "gzip")];
    let status = fetch_from(&headers, framed(1, &bomb(1024))).await;
    assert_eq!(status.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_message_may_decompress_to_the_limit_and_to_no_byte_more() {
    let office = polyglot().max_decoding_message_size(1000);
    let channel = channel(start_alone(office).await).await;
    // A field: one byte of tag, two of length, and its text.
    for (length, code) in [(997, Code::Ok), (998, Code::ResourceExhausted)] {
        let station = "x".repeat(length);
        let days = Vec::new();
        let report = Report { station, days };
        assert_eq!(report.encoded_len(), length + 3);
        let status = send(channel.clone(), Gzip, gzip(&report.encode_to_vec())).await;
        assert_eq!(status.code(), code, "{length}");
    }
}

/// gRPC's other libraries say RESOURCE_EXHAUSTED to all three.
#[tokio::test]
async fn tonic_says_out_of_range_to_a_message_that_is_too_large_before_it_is_decompressed() {
    let office = polyglot().max_decoding_message_size(1000);
    let channel = channel(start_alone(office).await).await;
    let zeros = gzip(&[0; 2000]);
    assert_eq!(
        send(channel.clone(), Gzip, zeros).await.code(),
        Code::ResourceExhausted
    );
    let too_large_already = vec![0; 2000];
    let status = send(channel.clone(), Gzip, too_large_already).await;
    assert_eq!(status.code(), Code::OutOfRange);
    let status = post(channel, FILE, &[], framed(0, &[0; 2000])).await.status;
    assert_eq!(status.code(), Code::OutOfRange);
}
