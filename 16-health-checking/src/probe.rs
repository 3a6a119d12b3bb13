//! A health check for Kubernetes and Docker: one question, one deadline, yes or no.

use std::time::Duration;

use conform::health::ServingStatus;
use conform::status::explain;
use tokio::time::timeout;
use tonic::Code;

use crate::client::{check, connect};

/// How long the answer may take, with connecting.
pub const DEADLINE: Duration = Duration::from_secs(1);

/// Asks the server at `url` whether `service`, `""` for all of it, is SERVING.
///
/// # Errors
///
/// One sentence if it isn't, or if that can't be known in time.
pub async fn probe(url: &str, service: &str) -> Result<(), String> {
    let answer = async {
        let channel = connect(url).await.map_err(|error| explain(&*error))?;
        match check(&channel, service).await {
            Ok(ServingStatus::Serving) => Ok(()),
            Ok(status) => Err(status.as_str_name().to_owned()),
            Err(status) => Err(match status.code() {
                Code::NotFound => "the server has no service of this name".to_owned(),
                Code::Unimplemented => "the server has no health service".to_owned(),
                _ => explain(&status),
            }),
        }
    };
    let too_late = || format!("no answer within {} s", DEADLINE.as_secs());
    timeout(DEADLINE, answer)
        .await
        .unwrap_or_else(|_| Err(too_late()))
}
