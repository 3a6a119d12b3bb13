//! What stands between a server and its connections or its calls changes nothing, until it has to.

use std::future::poll_fn;

use futures::TryStreamExt;
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite;
use tonic::body::Body;
use tonic::codegen::{Bytes, Service, http};
use tonic::transport::server::Connected;
use tower::Layer;

use super::*;
use crate::testing::{Frames, Recorder, channel, passes_on_io, passes_on_readiness};

#[tokio::test]
async fn a_connection_passes_everything_on() {
    passes_on_io(|io| Connection::new(io, &Stages::default())).await;
    let shutdown = Shutdown::new();
    let connections = stream::iter([Ok(Recorder::new(true))]);
    let mut incoming = shutdown.incoming(connections);
    let connection = incoming.try_next().await.unwrap().unwrap();
    assert_eq!(connection.connect_info(), "who it is");
}

#[tokio::test]
async fn a_closed_connection_is_an_error_whatever_it_is_asked() {
    let stages = Stages::default();
    let recorder = Recorder::new(true);
    let mut connection = Connection::new(recorder.clone(), &stages);
    stages.close.cancel();
    let slices = [std::io::IoSlice::new(b"a")];
    let errors = [
        connection.read_u8().await.unwrap_err(),
        connection.write(b"a").await.unwrap_err(),
        connection.write_vectored(&slices).await.unwrap_err(),
        connection.flush().await.unwrap_err(),
        poll_fn(|cx| Pin::new(&mut connection).poll_shutdown(cx))
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), "the server has shut down");
    }
    assert!(recorder.asked().is_empty());
}

#[test]
fn the_layer_asks_whether_the_service_is_ready() {
    passes_on_readiness(Shutdown::new().layer());
}

#[tokio::test]
async fn a_body_tells_its_end_before_it_is_asked_for_more() {
    let service = channel(|_| {
        let data = Frame::data(Bytes::from_static(b"all there is"));
        Ok::<_, Status>(http::Response::new(Body::new(Frames::new([Ok(data)]))))
    });
    let mut service = Shutdown::new().layer().layer(service);
    let response = service.call(http::Request::new(Body::empty())).await;
    let mut body = response.unwrap().into_body();
    assert!(!body.is_end_stream());
    let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
    assert!(frame.unwrap().unwrap().is_data());
    assert!(body.is_end_stream());
}

#[test]
fn its_times_are_shown() {
    let shutdown = Shutdown::new().notice(millis(3)).limit(millis(7));
    let shown = format!("{shutdown:?}");
    assert_eq!(shown, "Shutdown { notice: 3ms, limit: 7ms, .. }");
}
