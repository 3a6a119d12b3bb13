//! What tonic does by itself with headers and trailers, shown with a service that makes it visible.

use std::sync::Arc;

use futures::{StreamExt, stream};
use tokio::sync::Notify;
use tonic::metadata::MetadataMap;

use super::*;
use crate::calculator::Operands;
use crate::trailers::Trailers;

/// Answers in ways in which the lesson's own server does not.
#[derive(Clone, Default)]
pub struct Odd {
    pub entered: Arc<Notify>,
    pub gate: Arc<Notify>,
}

#[tonic::async_trait]
impl Calculator for Odd {
    /// Says `cost` in the headers and in the trailers.
    async fn square_root(&self, request: Request<Number>) -> Result<Response<Number>, Status> {
        Trailers::of(&request).lock().insert("cost", 1.into());
        let mut headers = MetadataMap::new();
        headers.insert("cost", "about 2".parse().unwrap());
        Ok(answer(headers, request.into_inner()))
    }

    /// Ends with a status that is OK and has metadata.
    async fn factorize(&self, _: Request<Integer>) -> Result<Response<BoxStream<Integer>>, Status> {
        let mut metadata = MetadataMap::new();
        metadata.insert("cost", 7.into());
        let end = Status::with_metadata(Code::Ok, "", metadata);
        let replies = stream::iter([Ok(Integer { value: 2 }), Err(end)]);
        Ok(Response::new(replies.boxed()))
    }

    /// Fails with metadata in the status, and tries to write over the status with trailers.
    async fn summarize(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<Summary>, Status> {
        let trailers = Trailers::of(&request);
        trailers.lock().insert("cost", 5.into());
        for tag in ["one", "two"] {
            trailers.lock().append("tag", tag.parse().unwrap());
        }
        trailers.lock().insert("grpc-status", 0.into());
        trailers
            .lock()
            .insert("content-type", "text/plain".parse().unwrap());
        let mut metadata = MetadataMap::new();
        metadata.insert("served-by", "nobody".parse().unwrap());
        Err(Status::with_metadata(Code::Aborted, "no", metadata))
    }

    /// Says that it has been called, and answers when it is told to.
    async fn divide(&self, _: Request<Operands>) -> Result<Response<Number>, Status> {
        self.entered.notify_one();
        self.gate.notified().await;
        Ok(Response::new(Number { value: 1.0 }))
    }
}

pub async fn start_odd(odd: Odd) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(
        Server::builder()
            .layer(layer_fn(WithTrailers))
            .add_service(CalculatorServer::new(odd))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn tonic_merges_the_trailers_of_a_single_reply_into_its_headers() {
    let (channel, _lines) = start().await;
    let mut stub = CalculatorClient::new(channel);
    let ann = || from_ann(Number { value: 9.0 });
    let one = stub.square_root(ann()).await.unwrap();
    let many = stub
        .summarize(ann().map(|number| stream::iter([number])))
        .await
        .unwrap();
    for metadata in [one.metadata(), many.metadata()] {
        assert!(said(metadata).starts_with("served-by abacus"));
        assert_eq!(metadata.get("cost").unwrap(), "1");
        assert_eq!(metadata.get("grpc-status").unwrap(), "0");
    }
}

#[tokio::test]
async fn tonic_loses_a_header_that_has_the_name_of_a_trailer_and_keep_does_not() {
    let mut stub = stub(start_odd(Odd::default()).await);
    let response = stub.square_root(Number { value: 9.0 }).await.unwrap();
    assert_eq!(said(response.metadata()), "cost 1");
    let apart = response.extensions().get::<Apart>().unwrap();
    assert_eq!(said(apart.headers()), "cost about 2");
    assert_eq!(said(&apart.trailers()), "cost 1");
}

#[tokio::test]
async fn tonic_keeps_the_trailers_of_a_stream_apart() {
    let (channel, _lines) = start().await;
    let mut stub = CalculatorClient::new(channel);
    let response = stub
        .factorize(from_ann(Integer { value: 60 }))
        .await
        .unwrap();
    assert!(response.metadata().get("cost").is_none());
    let trailers = response.into_inner().trailers().await.unwrap().unwrap();
    assert_eq!(said(&trailers), "cost 4");
}

#[tokio::test]
async fn a_stream_may_end_with_a_status_that_is_ok_and_has_metadata() {
    let mut stub = CalculatorClient::new(start_odd(Odd::default()).await);
    let factors = stub.factorize(Integer { value: 2 }).await.unwrap();
    let mut factors = factors.into_inner();
    assert_eq!(factors.message().await.unwrap(), Some(Integer { value: 2 }));
    assert_eq!(factors.message().await.unwrap(), None);
    assert_eq!(said(&factors.trailers().await.unwrap().unwrap()), "cost 7");
}

#[tokio::test]
async fn trailers_join_the_metadata_of_a_status_and_cannot_change_its_code() {
    let mut stub = CalculatorClient::new(start_odd(Odd::default()).await);
    let nothing = stream::iter(numbers(&[]));
    let status = stub.summarize(nothing).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(status.message(), "no");
    assert_eq!(
        said(status.metadata()),
        "served-by nobody, tag one, tag two, cost 5"
    );
    let types: Vec<_> = status.metadata().get_all("content-type").iter().collect();
    assert_eq!(types, ["application/grpc"]);
}
