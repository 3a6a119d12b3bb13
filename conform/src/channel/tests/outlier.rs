//! gRFC A50, on true connections.

use super::*;

fn config(timeout: &str) -> String {
    format!(
        r#"{{
            "methodConfig": [{{ "name": [{{}}], "timeout": "{timeout}" }}],
            "loadBalancingConfig": [{{ "outlier_detection_experimental": {{
                "interval": "0.1s",
                "baseEjectionTime": "300s",
                "maxEjectionPercent": 50,
                "failurePercentageEjection":
                    {{ "threshold": 90, "minimumHosts": 1, "requestVolume": 1 }},
                "childPolicy": [{{ "round_robin": {{}} }}]
            }} }}]
        }}"#
    )
}

/// First calls fail, and then none of four: in turn, two of them would go to the bad one.
async fn until_calls_work(channel: &Channel) {
    soon(async {
        while answer(channel).await.is_ok() {}
        loop {
            let calls = (0..4).map(|_| answer(channel));
            let answers = futures::future::join_all(calls).await;
            if answers == vec![Ok("good".to_owned()); 4] {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_backend_that_answers_with_errors_gets_no_more_calls() {
    let good = named("good").await;
    let bad = unary(|_| async { Err(Status::internal("always")) });
    let bad = serve(Identity::new(), bad).await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&bad, &good]));
    until_calls_work(&channel(&fleet, &config("20s"))).await;
}

/// One that never answers shows by its calls' deadlines.
#[tokio::test]
async fn a_backend_that_hangs_gets_no_more_calls() {
    let good = named("good").await;
    let (hangs, _go_on, _) = held().await;
    let fleet = Manual::new("fleet");
    fleet.set(backends([&hangs, &good]));
    until_calls_work(&channel(&fleet, &config("1s"))).await;
}
