use tonic::transport::Channel;

use crate::testing::{call, unary};

#[tokio::test]
async fn tonic_alone_chooses_at_random_and_calls_the_dead() {
    let answer = |who: &'static str| {
        let answer = async move |_: tonic::Request<bytes::Bytes>| {
            Ok(tonic::Response::new(bytes::Bytes::from_static(
                who.as_bytes(),
            )))
        };
        unary(answer)
    };
    let identity = tower::layer::util::Identity::new;
    let one = crate::testing::serve(identity(), answer("one")).await;
    let other = crate::testing::serve(identity(), answer("other")).await;
    let both = [one.endpoint(), other.endpoint()];
    let channel = Channel::balance_list(both.into_iter());
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.push(call(channel.clone(), "x").await.unwrap().into_inner());
    }
    let is_in_turn = answers.windows(2).all(|two| two[0] != two[1]);
    assert!(!is_in_turn, "it takes them in turn: {answers:?}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = crate::testing::endpoint(listener.local_addr().unwrap());
    drop(listener);
    let channel = Channel::balance_list([dead, one.endpoint()].into_iter());
    let mut failed = 0;
    for _ in 0..50 {
        failed += usize::from(call(channel.clone(), "x").await.is_err());
    }
    assert!(failed > 0, "no call went to a dead backend");
}
