//! What `probe` says of servers that serve, are ill, don't answer, or have no health service.

use tokio::time::Instant;

use super::*;
use crate::probe::{DEADLINE, probe};

#[tokio::test]
async fn it_says_yes_to_a_server_that_is_serving_and_why_not_to_others() {
    let alpha = start("alpha").await;
    for service in ["", SERVICE_NAME, LIVENESS] {
        assert_eq!(probe(&alpha.url, service).await, Ok(()), "{service}");
    }
    let unknown = Err("the server has no service of this name".to_owned());
    assert_eq!(probe(&alpha.url, "calculator.Calculator").await, unknown);

    let mut calculator = CalculatorClient::new(connect(&alpha.url).await.unwrap());
    let deadly = calculator.square_root(Number { value: DEADLY }).await;
    assert_eq!(deadly.unwrap_err().code(), Code::Unavailable);
    soon("a server that is ill", async {
        while probe(&alpha.url, "").await != Err("NOT_SERVING".to_owned()) {}
    })
    .await;
    let ill = Err("NOT_SERVING".to_owned());
    assert_eq!(probe(&alpha.url, SERVICE_NAME).await, ill);
    assert_eq!(probe(&alpha.url, LIVENESS).await, Ok(()));
}

#[tokio::test]
async fn a_server_without_the_service_is_told_from_one_that_is_ill() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Lesson 01's server.
    tokio::spawn(unary::serve(listener));
    let expected = Err("the server has no health service".to_owned());
    assert_eq!(probe(&url, "").await, expected);
}

#[tokio::test]
async fn no_answer_in_time_is_a_no() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let begin = Instant::now();
    let answer = soon("the end of a probe", probe(&url, "")).await;
    assert_eq!(answer, Err("no answer within 1 s".to_owned()));
    assert!(begin.elapsed() >= DEADLINE);
    assert!(begin.elapsed() < DEADLINE * 4, "{:?}", begin.elapsed());

    drop(listener);
    let refused = probe(&url, "").await.unwrap_err();
    assert!(refused.to_lowercase().contains("refused"), "{refused}");
    let wrong = probe("https://127.0.0.1:1", "").await.unwrap_err();
    assert_eq!(wrong, "the URL must begin with http://");
}
