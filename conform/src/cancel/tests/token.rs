//! The token of a call.

use super::*;

type Tokens = UnboundedReceiver<CancellationToken>;

/// Below the layer: gives away its token, and answers with `answer`.
fn layered<F>(
    answer: impl FnMut() -> F + Clone,
) -> (
    impl Service<
        http::Request<Body>,
        Response = http::Response<Body>,
        Error = &'static str,
        Future: Unpin,
    >,
    Tokens,
)
where
    F: Future<Output = Result<http::Response<Body>, &'static str>> + Unpin,
{
    let (sender, tokens) = mpsc::unbounded_channel();
    let service = service_fn(move |request: http::Request<Body>| {
        let request = Request::from_http(request);
        sender.send(super::super::token(&request).unwrap()).unwrap();
        answer.clone()()
    });
    (CancellationLayer::new().layer(service), tokens)
}

fn frames(frames: Vec<Result<Frame<Bytes>, Status>>) -> http::Response<Body> {
    http::Response::new(Body::new(StreamBody::new(stream::iter(frames))))
}

fn data() -> Result<Frame<Bytes>, Status> {
    Ok(Frame::data(Bytes::from("a")))
}

#[tokio::test]
async fn a_token_is_cancelled_when_the_handler_is_dropped() {
    let (mut service, mut tokens) = layered(pending);
    let call = service.call(http::Request::default());
    let token = tokens.recv().await.unwrap();
    assert!(!token.is_cancelled());
    drop(call);
    assert!(token.is_cancelled());
}

#[tokio::test]
async fn a_token_is_cancelled_when_the_call_fails() {
    let (mut service, mut tokens) = layered(|| ready(Err("broken")));
    let mut call = service.call(http::Request::default());
    let token = tokens.recv().await.unwrap();
    assert!(!token.is_cancelled());
    assert_eq!((&mut call).await.unwrap_err(), "broken");
    assert!(token.is_cancelled());
}

#[tokio::test]
async fn a_token_is_cancelled_when_the_replies_have_ended() {
    let trailers = || Ok(Frame::trailers(HeaderMap::new()));
    let failed = || Err(Status::internal(""));
    for end in [Some(trailers()), Some(failed()), None] {
        let has_end = end.is_some();
        let all = std::sync::Arc::new(std::sync::Mutex::new(Some(end)));
        let (mut service, mut tokens) = layered(move || {
            let end = all.lock().unwrap().take().flatten();
            ready(Ok(frames(
                [Some(data()), end].into_iter().flatten().collect(),
            )))
        });
        let response = service.call(http::Request::default()).await.unwrap();
        let token = tokens.recv().await.unwrap();
        let mut body = response.into_body();
        assert!(body.frame().await.unwrap().unwrap().is_data());
        assert!(!token.is_cancelled() && !body.is_end_stream());
        assert_eq!(body.frame().await.is_some(), has_end);
        assert!(token.is_cancelled());
    }
}

#[tokio::test]
async fn a_token_is_cancelled_when_the_replies_are_dropped() {
    let (mut service, mut tokens) = layered(|| ready(Ok(frames(vec![data()]))));
    let response = service.call(http::Request::default()).await.unwrap();
    let token = tokens.recv().await.unwrap();
    assert!(!token.is_cancelled());
    drop(response);
    assert!(token.is_cancelled());
}

#[tokio::test]
async fn a_response_without_a_body_stays_as_it_is() {
    let (mut service, mut tokens) = layered(|| ready(Ok(Status::not_found("").into_http())));
    let response = service.call(http::Request::default()).await.unwrap();
    assert!(response.body().is_end_stream());
    assert!(tokens.recv().await.unwrap().is_cancelled());
}

#[tokio::test]
async fn the_end_of_a_body_is_said_when_the_body_says_it() {
    let all = || http::Response::new(Body::new(Full::new(Bytes::from("all"))));
    let (mut service, _tokens) = layered(move || ready(Ok(all())));
    let mut body = service
        .call(http::Request::default())
        .await
        .unwrap()
        .into_body();
    assert!(!body.is_end_stream());
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn without_the_layer_there_is_no_token() {
    assert!(super::super::token(&Request::new(())).is_none());
    // A token of somebody else's is not the call's.
    let mut request = Request::new(());
    request.extensions_mut().insert(CancellationToken::new());
    assert!(super::super::token(&request).is_none());
}

#[tokio::test]
async fn work_stops_when_its_call_is_cancelled() {
    let (address, mut lines) = start().await;
    let mut stub = GreeterClient::connect(format!("http://{address}"))
        .await
        .unwrap();
    let call = tokio::spawn(async move { stub.greet(Name::default()).await });
    assert_eq!(line(&mut lines).await, "called");
    call.abort();
    let mut logged = vec![
        line(&mut lines).await,
        line(&mut lines).await,
        line(&mut lines).await,
    ];
    logged.sort();
    assert_eq!(
        logged,
        [
            "the handler is gone",
            "the task has stopped",
            "the task is gone"
        ]
    );
}

#[tokio::test]
async fn work_for_a_stream_stops_when_the_stream_ends_or_is_dropped() {
    let (address, mut lines) = start().await;
    let mut stub = GreeterClient::connect(format!("http://{address}"))
        .await
        .unwrap();
    for name in ["one", "many"] {
        let request = Name { name: name.into() };
        let mut replies = stub.greet_often(request).await.unwrap().into_inner();
        assert!(replies.message().await.unwrap().is_some());
        if name == "one" {
            assert!(replies.message().await.unwrap().is_none());
        } else {
            assert!(lines.try_recv().is_err(), "the call goes on");
            drop(replies);
        }
        assert_eq!(line(&mut lines).await, "the task has stopped");
    }
}

#[tokio::test]
async fn tonic_alone_lets_a_task_go_on_when_its_call_is_cancelled() {
    let (address, mut lines) = start_alone().await;
    let mut stub = GreeterClient::connect(format!("http://{address}"))
        .await
        .unwrap();
    let call = tokio::spawn(async move { stub.greet(Name::default()).await });
    assert_eq!(line(&mut lines).await, "called");
    call.abort();
    assert_eq!(line(&mut lines).await, "the handler is gone");
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(lines.try_recv().is_err(), "the task is still there");
}
