//! How a report travels with its call.

use prost::Message;
use tonic::codegen::http::{HeaderMap, HeaderValue};
use tonic::metadata::{BinaryMetadataValue, MetadataMap};

use super::pb::OrcaLoadReport;

/// Where the report of a call stands in its trailers.
pub const REPORT_TRAILER: &str = "endpoint-load-metrics-bin";

/// How large a report may be that a client reads, as it was sent: 16 KiB. A larger one is ignored.
pub const MAX_REPORT: usize = 16 * 1024;

/// Reads the report of a call from its trailers: from the map of a `Status`, too, if the call failed.
///
/// `None` if there is none, or more than one, or if it can't be read. What stands in it, nobody has
/// checked: it is what the peer says.
///
/// ```
/// use conform::orca::report_from;
/// use tonic::Status;
///
/// # let status = Status::not_found("no such book");
/// // Of a stream: `trailers().await?`, and then `trailers.as_ref()` in the same way.
/// let report = report_from(status.metadata().as_ref());
/// assert_eq!(report, None);
/// ```
pub fn report_from(trailers: &HeaderMap) -> Option<OrcaLoadReport> {
    let mut values = trailers.get_all(REPORT_TRAILER).iter();
    let (value, second) = (values.next()?, values.next());
    if second.is_some() || value.len() > MAX_REPORT {
        return None;
    }
    // tonic decodes only what it finds in a map.
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(REPORT_TRAILER, value.clone());
    let headers = MetadataMap::from_headers(headers);
    let report = headers.get_bin(REPORT_TRAILER)?.to_bytes().ok()?;
    OrcaLoadReport::decode(report).ok()
}

/// Puts `report` into `trailers`, in place of any other.
pub(super) fn add_report(report: &OrcaLoadReport, trailers: &mut HeaderMap) {
    let value = BinaryMetadataValue::from_bytes(&report.encode_to_vec());
    // Base64: always a valid header.
    if let Ok(value) = HeaderValue::from_bytes(value.as_encoded_bytes()) {
        trailers.insert(REPORT_TRAILER, value);
    }
}
