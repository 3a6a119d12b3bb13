//! A backend: takes square roots, and says who it is.

use std::time::Duration;

use tokio::time::sleep;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use crate::proto::Number;
use crate::proto::calculator_server::Calculator;

/// A calculator that needs `delay` for each call.
pub struct Backend {
    pub name: &'static str,
    pub delay: Duration,
}

#[tonic::async_trait]
impl Calculator for Backend {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let number = request.into_inner().value;
        tracing::info!("{} takes the root of {number}", self.name);
        sleep(self.delay).await;
        let value = unary::square_root(number)?;
        let mut response = Response::new(Number { value });
        let name = MetadataValue::from_static(self.name);
        response.metadata_mut().insert("served-by", name);
        Ok(response)
    }
}
