//! A client of several backends: asks how one does, and calls those that do well.

use std::error::Error;
use std::time::Duration;

use conform::deadline::{ClientDeadline, ClientDeadlineLayer};
use conform::error_details::SanitizeDetails;
use conform::health::pb::HealthCheckRequest;
use conform::health::pb::health_client::HealthClient;
use conform::health::{Pool, ServingStatus};
use conform::status::escape;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tower::Layer;

use crate::proto::calculator_client::CalculatorClient;
use crate::proto::calculator_server::SERVICE_NAME;

/// A stub whose calls go to healthy backends, and take five seconds at most.
pub type Calculator = CalculatorClient<ClientDeadline<SanitizeDetails<Pool<Channel>>>>;

/// Connects to one backend.
///
/// # Errors
///
/// If `url` doesn't begin with `http://`, is invalid, or nobody listens there.
pub async fn connect(url: &str) -> Result<Channel, Box<dyn Error>> {
    if !url.starts_with("http://") {
        return Err("the URL must begin with http://".into());
    }
    let endpoint = Endpoint::new(url.to_owned())?;
    Ok(endpoint.connect_timeout(TIMEOUT).connect().await?)
}

/// Asks once how `service` does: `""` is the server as a whole.
///
/// # Errors
///
/// NOT_FOUND if the server doesn't know the service, UNIMPLEMENTED if it tells nobody's health.
pub async fn check(channel: &Channel, service: &str) -> Result<ServingStatus, Status> {
    let deadline = ClientDeadlineLayer::new().default_timeout(TIMEOUT);
    let mut health = HealthClient::new(deadline.layer(SanitizeDetails::new(channel.clone())));
    let service = service.to_owned();
    let response = health.check(HealthCheckRequest { service }).await?;
    Ok(response.into_inner().status())
}

/// One channel over several backends, each with its name. From now on, all are watched.
pub fn pool(backends: Vec<(String, Channel)>) -> Pool<Channel> {
    Pool::new(backends, SERVICE_NAME)
}

/// A stub that calls the healthy backends in turn.
pub fn calculator(pool: Pool<Channel>) -> Calculator {
    // Outside of the pool: the deadline covers the wait for a healthy backend, but no Watch.
    let deadline = ClientDeadlineLayer::new().default_timeout(TIMEOUT);
    CalculatorClient::new(deadline.layer(SanitizeDetails::new(pool)))
}

/// Who has answered a call: `nobody` if it was sent to none.
pub fn served_by(metadata: &MetadataMap) -> String {
    let name = metadata.get("served-by").map(|name| name.to_str());
    name.map_or("nobody".into(), |name| escape(name.unwrap_or("?")))
}

const TIMEOUT: Duration = Duration::from_secs(5);
