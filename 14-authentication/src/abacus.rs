//! The handlers. They find who is calling in the request's extensions.

use conform::credentials::Claims;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};
use unary::square_root;

use crate::proto::Number;
use crate::proto::calculator_server::Calculator;

/// The calculator. Says on `log` who uses it.
pub struct Abacus {
    /// Where the lines go; they are lost if nobody reads them.
    pub log: mpsc::Sender<String>,
}

impl Abacus {
    fn write<T>(&self, request: &Request<T>, what: &str) -> Result<(), Status> {
        let caller = request.extensions().get::<Claims>();
        let caller = caller.ok_or_else(|| Status::internal("nobody has asked who calls"))?;
        let _ = self.log.try_send(format!("{} {what}", caller.subject()));
        Ok(())
    }
}

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        self.write(&request, "takes a root")?;
        let value = square_root(request.into_inner().value)?;
        Ok(Response::new(Number { value }))
    }

    async fn maximum(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        self.write(&request, "asks for maxima")?;
        let mut largest = f64::NEG_INFINITY;
        let maxima = request.into_inner().map(move |number| {
            let Number { value } = number?;
            if value.is_nan() {
                return Err(Status::invalid_argument("NaN cannot be compared"));
            }
            largest = largest.max(value);
            Ok(Number { value: largest })
        });
        Ok(Response::new(Box::pin(maxima)))
    }
}
