//! Values: binary and ASCII ones, several for one name, and their order.

use tonic::codegen::http::HeaderMap;
use tonic::metadata::{AsciiMetadataValue, BinaryMetadataValue};

use super::*;

/// Asks with `metadata` and returns the headers of the answer, where the server repeats it.
async fn echo(metadata: MetadataMap) -> MetadataMap {
    let (channel, _lines) = start().await;
    let mut request = Request::new(Number { value: 9.0 });
    *request.metadata_mut() = metadata;
    request
        .metadata_mut()
        .insert("caller", "Ann".parse().unwrap());
    let response = stub(channel).square_root(request).await.unwrap();
    let apart = response.extensions().get::<Apart>().unwrap();
    apart.headers().clone()
}

#[tokio::test]
async fn every_byte_survives_in_a_binary_value() {
    let bytes: Vec<u8> = (0..=255).collect();
    for length in [0, 1, 2, 3, 256] {
        let sent = BinaryMetadataValue::from_bytes(&bytes[..length]);
        let mut metadata = MetadataMap::new();
        metadata.insert_bin("trace-bin", sent);
        let heard = echo(metadata).await;
        let value = heard.get_bin("trace-bin").unwrap();
        assert_eq!(value.to_bytes().unwrap(), &bytes[..length]);
        assert_eq!(
            binary::values(&heard, "trace-bin").unwrap(),
            [&bytes[..length]]
        );
    }
}

#[tokio::test]
async fn the_values_of_one_name_keep_their_order() {
    let mut metadata = MetadataMap::new();
    for tag in ["z", "a", "m", "a"] {
        metadata.append("tag", tag.parse().unwrap());
    }
    for trace in [[3], [1], [2]] {
        metadata.append_bin("trace-bin", BinaryMetadataValue::from_bytes(&trace));
    }
    let heard = echo(metadata).await;
    let tags: Vec<_> = heard.get_all("tag").iter().collect();
    assert_eq!(tags, ["z", "a", "m", "a"]);
    let traces = binary::values(&heard, "trace-bin").unwrap();
    assert_eq!(traces, [&[3][..], &[1], &[2]]);
}

#[test]
fn insert_replaces_where_append_adds() {
    let mut metadata = MetadataMap::new();
    metadata.append("tag", "one".parse().unwrap());
    metadata.append("tag", "two".parse().unwrap());
    metadata.insert("tag", "three".parse().unwrap());
    let tags: Vec<_> = metadata.get_all("tag").iter().collect();
    assert_eq!(tags, ["three"]);
}

#[test]
fn tonic_cannot_decode_joined_binary_values() {
    let mut headers = HeaderMap::new();
    headers.insert("trace-bin", "AP8,BwgJ".parse().unwrap());
    let metadata = MetadataMap::from_headers(headers);
    assert_eq!(metadata.get_all_bin("trace-bin").iter().count(), 1);
    let value = metadata.get_bin("trace-bin").unwrap();
    assert!(value.to_bytes().is_err());
    let values = binary::values(&metadata, "trace-bin").unwrap();
    assert_eq!(values, [&[0, 255][..], &[7, 8, 9]]);
}

#[test]
fn values_joined_by_commas_stay_one_ascii_value() {
    let mut headers = HeaderMap::new();
    headers.insert("tag", "one,two".parse().unwrap());
    let metadata = MetadataMap::from_headers(headers);
    assert_eq!(metadata.get("tag").unwrap(), "one,two");
}

#[test]
fn tonic_takes_ascii_values_that_grpc_does_not_allow() {
    for value in [&b"a\tb"[..], b"\xff", "Zo\u{eb}".as_bytes()] {
        let mut request = Request::new(());
        let value = AsciiMetadataValue::try_from(value).unwrap();
        request.metadata_mut().insert("caller", value);
        let status = guard::checked(request).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("caller"), "{status}");
    }
    for value in [&b"\0"[..], b"a\nb", b"a\rb", b"\x1f", b"\x7f"] {
        assert!(AsciiMetadataValue::try_from(value).is_err());
    }
}

#[test]
fn the_guard_lets_all_of_printable_ascii_pass() {
    let printable: Vec<u8> = (b' '..=b'~').collect();
    let value = AsciiMetadataValue::try_from(&printable[..]).unwrap();
    let mut request = from_ann(());
    request.metadata_mut().insert("caller", value);
    assert!(guard::checked(request).is_ok());
}
