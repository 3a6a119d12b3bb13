//! Lesson 04's client against a server of the other kind: no headers before its first answer.

use bidi_streaming::proto::calculator::Number;
use bidi_streaming::proto::calculator::calculator_server::{Calculator, CalculatorServer};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::new::course;
use super::*;
use crate::processes::silent;

struct Reluctant;

#[tonic::async_trait]
impl Calculator for Reluctant {
    async fn maximum(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        let mut numbers = request.into_inner();
        // The headers leave when the response is returned.
        let Some(first) = numbers.message().await? else {
            return Err(Status::invalid_argument("no number"));
        };
        let maxima = tokio_stream::iter([Ok(first)]).chain(numbers);
        Ok(Response::new(Box::pin(maxima)))
    }
}

#[test]
fn the_client_of_a_bidirectional_call_sends_before_it_waits_for_headers() {
    let course = course();
    let built = cargo::some_programs(&course, "bidi-streaming", &["client"]).unwrap();
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let _inside = runtime.enter();
    runtime.spawn(
        conform::server::builder()
            .add_service(CalculatorServer::new(Reluctant))
            .serve_with_incoming(conform::server::incoming(listener)),
    );
    let mut client = silent(&built.programs["client"]);
    let limit = Duration::from_secs(20);
    let finished = course.children.run(client.arg(url), limit).unwrap();
    assert_eq!(
        finished.stdout,
        [3, 1, 4]
            .map(|number| format!("the largest so far is {number}"))
            .into_iter()
            .chain(["after the half-close: None".to_owned()])
            .collect::<Vec<_>>(),
        "{:?}",
        finished.stderr
    );
}
