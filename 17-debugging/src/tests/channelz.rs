//! What the servers tell of themselves, and how the slow one is found.

use super::*;

const PAGE: &str = include_str!("../../README.md");

#[tokio::test]
async fn three_steps_lead_to_the_slow_backend() {
    let (mut calculator, mut client) = start().await;
    for number in 1..=6 {
        let id = format!("client-{number}");
        let answer = square_root(&mut calculator, Some(&id), 16.0).await;
        let backend = format!("backend-{}", (number - 1) % 3 + 1);
        match answer {
            Ok(response) => {
                assert_eq!(response.metadata().get("served-by").unwrap(), &*backend);
                assert_eq!(response.into_inner().value, 4.0);
            }
            Err(status) => {
                assert_eq!(backend, "backend-2");
                assert_eq!(status.code(), Code::DeadlineExceeded);
                assert_eq!(status.message(), "a backend failed", "and no name");
            }
        }
    }
    let slow = "server backend-2: 2 calls, 0 succeeded, 2 failed".to_owned();
    let told = soon("the slow backend to hear that its calls are over", async {
        loop {
            let told = tree::read(&mut client).await.unwrap();
            if told.0.contains(&slow) {
                break told;
            }
        }
    });
    let (mut told, steps) = told.await;
    told.extend(steps);
    let shown = PAGE.split_once("server front: 6 calls").unwrap().1;
    let shown = shown.split_once("\n```").unwrap().0;
    let shown = format!("server front: 6 calls{shown}");
    assert_eq!(told.join("\n"), shown);
}

#[tokio::test]
async fn without_a_failed_call_there_is_nothing_to_search() {
    let (mut calculator, mut client) = start().await;
    square_root(&mut calculator, None, 16.0).await.unwrap();
    let (tree, steps) = tree::read(&mut client).await.unwrap();
    assert_eq!((tree.len(), steps.len()), (9, 0), "{tree:#?}");
}

#[tokio::test]
async fn a_backend_that_refuses_is_told_from_a_slow_one() {
    let (mut calculator, mut client) = start().await;
    let status = square_root(&mut calculator, None, -1.0).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let (_, steps) = tree::read(&mut client).await.unwrap();
    assert_eq!(steps[1], "2. GetSubchannel: 1 of these went to backend-1");
    let expected = "3. GetSocket: 1 messages sent, 0 received, 0 streams cut off: it's refusing";
    assert_eq!(steps[2], expected);
}

#[tokio::test]
async fn a_backend_that_is_gone_is_told_from_a_slow_one() {
    let channelz = Channelz::new();
    let mut client = telling(&channelz).await;
    let top = channelz.channel("backends");
    let below = top.subchannel("backend-1");
    let channel = connect(&below, NOBODY.into()).unwrap();
    let layers = ServiceBuilder::new()
        .layer(top.layer())
        .layer(below.layer());
    let mut calculator = CalculatorClient::new(layers.service(channel));
    let call = calculator.square_root(Number { value: 16.0 });
    assert_eq!(
        soon("a refusal", call).await.unwrap_err().code(),
        Code::Unavailable
    );
    let (_, steps) = tree::read(&mut client).await.unwrap();
    assert_eq!(steps[1], "2. GetSubchannel: 1 of these went to backend-1");
    let gone = "3. It has no socket, and is TRANSIENT_FAILURE: it's gone";
    assert_eq!(steps[2], gone);
}

#[tokio::test]
async fn channelz_is_served_on_loopback_only() {
    let public = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = soon("a refusal", serve(bind().await, public))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("can be reached from elsewhere"),
        "{error}"
    );
}

#[tokio::test]
async fn what_another_server_says_is_escaped() {
    let channelz = Channelz::new();
    let _entries = (
        channelz.server("\x1b[2Jserver"),
        channelz.channel("\nchannel"),
    );
    let mut client = telling(&channelz).await;
    let told = tree::read(&mut client).await.unwrap().0.concat();
    assert!(!told.contains(char::is_control), "{told:?}");
}
