//! What the server says, what a client makes of it, and which backend of a pool is called.

use std::time::Duration;

use tonic::Code;
use tonic::transport::Channel;

use super::pb::HealthCheckRequest;
use super::pb::health_client::HealthClient;
use super::*;

mod client;
mod pool;
mod server;
mod tonic_alone;

use ServingStatus::{NotServing, ServiceUnknown, Serving, Unknown};

fn asked(service: &str) -> HealthCheckRequest {
    let service = service.to_owned();
    HealthCheckRequest { service }
}

const SECOND: Duration = Duration::from_secs(1);
