//! Uploads that break off.

use super::*;

const UPLOADS: usize = 20;

/// An upload of one name that is left open, over HTTP/2 by hand.
async fn begin(connection: &mut SendRequest<Bytes>) -> h2::SendStream<Bytes> {
    let request = http::Request::post("http://localhost/greeter.v1.Greeter/GreetAll")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(());
    let mut ready = connection.clone().ready().await.unwrap();
    let (_reply, mut upload) = ready.send_request(request.unwrap(), false).unwrap();
    let name = Bytes::from_static(&[0, 0, 0, 0, 3, 0x0a, 1, b'a']);
    upload.send_data(name, false).unwrap();
    upload
}

async fn connect(address: &str) -> (SendRequest<Bytes>, h2::PingPong) {
    let socket = TcpStream::connect(address).await.unwrap();
    let (requests, mut connection) = h2::client::handshake(socket).await.unwrap();
    let ping = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    (requests, ping)
}

/// Waits until the server has read all that was sent.
async fn read_by_server(ping: &mut h2::PingPong) {
    soon(ping.ping(h2::Ping::opaque())).await.unwrap();
}

/// Resets uploads half-way, one after the other; returns what the server logs of each.
async fn reset(
    address: &str,
    lines: &mut UnboundedReceiver<String>,
    reasons: impl IntoIterator<Item = u32>,
) -> Vec<String> {
    let mut logged = Vec::new();
    for reason in reasons {
        // A connection each: a server closes one that resets too much.
        let (mut requests, mut ping) = connect(address).await;
        let mut upload = begin(&mut requests).await;
        read_by_server(&mut ping).await;
        upload.send_reset(Reason::from(reason));
        logged.push(line(lines).await);
    }
    logged
}

/// From NO_ERROR to HTTP_1_1_REQUIRED, and one that nobody knows. RFC 9113, section 7.
fn reasons() -> impl Iterator<Item = u32> {
    (0..=13).chain([77])
}

#[tokio::test]
async fn an_upload_that_is_reset_is_not_finished_whatever_the_reason() {
    let (address, mut lines) = start().await;
    let logged = reset(&address, &mut lines, reasons()).await;
    assert!(!logged.contains(&"finished".into()), "{logged:?}");
    for reason in [Reason::NO_ERROR, Reason::CANCEL] {
        let reasons = [u32::from(reason); UPLOADS];
        let logged = reset(&address, &mut lines, reasons).await;
        // The handler may be dropped instead.
        let expected = |line: &String| line == "Aborted" || line == "dropped";
        assert!(logged.iter().all(expected), "{reason:?}: {logged:?}");
        assert!(logged.contains(&"Aborted".into()), "{reason:?}: {logged:?}");
    }
}

/// On two threads the reset can also come between two steps of hyper.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_reset_is_not_finished_on_two_threads() {
    let (address, mut lines) = start().await;
    for reason in [Reason::NO_ERROR, Reason::CANCEL] {
        let reasons = [u32::from(reason); UPLOADS];
        let logged = reset(&address, &mut lines, reasons).await;
        assert!(
            !logged.contains(&"finished".into()),
            "{reason:?}: {logged:?}"
        );
    }
}

#[tokio::test]
async fn an_upload_whose_connection_is_lost_is_not_finished() {
    let (address, mut lines) = start().await;
    let socket = TcpStream::connect(&address).await.unwrap();
    let (mut requests, mut connection) = h2::client::handshake(socket).await.unwrap();
    let mut ping = connection.ping_pong().unwrap();
    let connection = tokio::spawn(connection);
    let _upload = begin(&mut requests).await;
    read_by_server(&mut ping).await;
    connection.abort();
    assert_ne!(line(&mut lines).await, "finished");
}

#[tokio::test]
async fn an_upload_that_ends_is_finished() {
    let (address, mut lines) = start().await;
    let (mut requests, _ping) = connect(&address).await;
    for data in [&b""[..], &[0, 0, 0, 0, 0]] {
        let mut upload = begin(&mut requests).await;
        upload.send_data(Bytes::from_static(data), true).unwrap();
        assert_eq!(line(&mut lines).await, "finished");
    }
    let mut upload = begin(&mut requests).await;
    upload.send_trailers(HeaderMap::new()).unwrap();
    assert_eq!(line(&mut lines).await, "finished");

    let mut stub = GreeterClient::connect(format!("http://{address}"))
        .await
        .unwrap();
    for count in 0..3 {
        let names = vec![Name::default(); count];
        stub.greet_all(stream::iter(names)).await.unwrap();
        assert_eq!(line(&mut lines).await, "finished");
    }
}

#[tokio::test]
async fn tonic_alone_takes_an_upload_that_is_reset_for_a_finished_one() {
    let (address, mut lines) = start_alone().await;
    for reason in [Reason::NO_ERROR, Reason::CANCEL] {
        let reasons = [u32::from(reason); UPLOADS];
        let logged = reset(&address, &mut lines, reasons).await;
        assert!(
            logged.contains(&"finished".into()),
            "{reason:?}: {logged:?}"
        );
    }
}

/// A body with these frames; it says that it is at its end, or doesn't.
struct Upload {
    frames: Vec<Result<Frame<Bytes>, Status>>,
    is_marked: bool,
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Status>>> {
        std::task::Poll::Ready(self.frames.pop())
    }

    fn is_end_stream(&self) -> bool {
        self.is_marked && self.frames.is_empty()
    }
}

/// What the service below the layer is given.
async fn below(version: Version, upload: Upload) -> Body {
    let service = service_fn(|request: http::Request<Body>| ready(Ok::<_, Infallible>(request)));
    let mut request = http::Request::new(Body::new(upload));
    *request.version_mut() = version;
    let mut layered = DetectAbortedUploadLayer::new().layer(service);
    layered.ready().await.unwrap();
    layered.call(request).await.unwrap().into_body()
}

fn data() -> Result<Frame<Bytes>, Status> {
    Ok(Frame::data(Bytes::from("a")))
}

#[tokio::test]
async fn an_end_without_its_mark_is_an_abortion() {
    let frames = vec![data()];
    let mut body = below(
        Version::HTTP_2,
        Upload {
            frames,
            is_marked: false,
        },
    )
    .await;
    assert!(!body.is_end_stream());
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(!body.is_end_stream(), "an error is pending");
    assert_eq!(
        body.frame().await.unwrap().unwrap_err().code(),
        Code::Aborted
    );
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn an_end_with_its_mark_is_an_end() {
    let frames = vec![Ok(Frame::trailers(HeaderMap::new())), data()];
    let mut body = below(
        Version::HTTP_2,
        Upload {
            frames,
            is_marked: true,
        },
    )
    .await;
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(!body.is_end_stream());
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn errors_other_than_cancelled_stay_as_they_are() {
    for (code, expected) in [
        (Code::Cancelled, Code::Aborted),
        (Code::Unknown, Code::Unknown),
        (Code::OutOfRange, Code::OutOfRange),
    ] {
        let frames = vec![data(), Err(Status::new(code, ""))];
        let mut body = below(
            Version::HTTP_2,
            Upload {
                frames,
                is_marked: true,
            },
        )
        .await;
        assert_eq!(body.frame().await.unwrap().unwrap_err().code(), expected);
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none(), "nothing comes after an error");
    }
}

#[tokio::test]
async fn a_request_that_is_not_of_http2_is_left_alone() {
    let frames = vec![data()];
    let mut body = below(
        Version::HTTP_11,
        Upload {
            frames,
            is_marked: false,
        },
    )
    .await;
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(body.frame().await.is_none());
}
