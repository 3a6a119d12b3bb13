//! The same call from code that is not async.

use std::error::Error;

use tokio::runtime::{self, Runtime};
use tonic::Status;
use tonic::transport::Endpoint;

use crate::calculator::Number;
use crate::calculator::calculator_client::CalculatorClient;

/// A stub whose calls block the thread until they are answered.
///
/// It has a runtime of its own, which runs only while a call does. In between nobody reads from the
/// connection: that the server has closed it comes to light at the next call.
#[derive(Debug)]
pub struct Calculator {
    runtime: Runtime,
    stub: CalculatorClient<tonic::transport::Channel>,
}

impl Calculator {
    /// Connects to `url`.
    ///
    /// # Errors
    ///
    /// If the URL is malformed or nobody listens there.
    ///
    /// # Panics
    ///
    /// In async code, such as a handler: this and all other methods. They would block a thread on which
    /// many calls take turns.
    pub fn connect(url: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let endpoint = Endpoint::from_shared(url.to_owned())?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let channel = runtime.block_on(endpoint.connect())?;
        let stub = CalculatorClient::new(channel);
        Ok(Self { runtime, stub })
    }

    /// The square root of `value`.
    ///
    /// # Errors
    ///
    /// As the server answers, or as the connection fails.
    pub fn square_root(&mut self, value: f64) -> Result<f64, Status> {
        let call = self.stub.square_root(Number { value });
        Ok(self.runtime.block_on(call)?.into_inner().value)
    }

    /// The square roots of all `values`, asked for at once, in the order of the values.
    ///
    /// # Errors
    ///
    /// As [`Self::square_root`], for the first value that fails.
    pub fn square_roots(&mut self, _values: &[f64]) -> Result<Vec<f64>, Status> {
        Err(Status::unimplemented("exercise 2"))
    }
}
