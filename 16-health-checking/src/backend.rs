//! One of the backends: says in a header who has served a call.

use tokio::sync::mpsc::Sender;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use crate::database::Database;
use crate::proto::Number;
use crate::proto::calculator_server::Calculator;

/// A calculator that looks its roots up.
pub struct Backend {
    pub name: &'static str,
    pub database: Database,
    pub log: Sender<String>,
}

#[tonic::async_trait]
impl Calculator for Backend {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        let Number { value } = request.into_inner();
        let _ = self
            .log
            .try_send(format!("{}: the root of {value}", self.name));
        let name = MetadataValue::from_static(self.name);
        match self.database.square_root(value) {
            Ok(value) => {
                let mut response = Response::new(Number { value });
                response.metadata_mut().insert("served-by", name);
                Ok(response)
            }
            Err(mut status) => {
                status.metadata_mut().insert("served-by", name);
                Err(status)
            }
        }
    }
}
