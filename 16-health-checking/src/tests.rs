//! Who is called, and who isn't, and what a server says of itself. Probe and exercises are in the
//! modules.

use std::time::Duration;

use conform::health::pb::health_client::HealthClient;
use conform::health::pb::{HealthCheckRequest, HealthListRequest};
use conform::health::{Health, Pool};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};
use wire::Tap;
use wire::testing::{outline, soon};

use super::*;
use crate::client::{Calculator, calculator, check, connect, pool, served_by};
use crate::database::DEADLY;
use crate::proto::Number;
use crate::proto::calculator_client::CalculatorClient;

mod exercises;
mod probe;

use ServingStatus::{NotServing, Serving};

#[tokio::test]
async fn calls_go_where_they_can_be_answered() {
    let (alpha, beta) = (start("alpha").await, start("beta").await);
    let tap = Tap::start(&alpha.url).await.unwrap();
    let pool = watched(&[&tap.url(), &beta.url]).await;
    let mut calculator = calculator(pool.clone());
    becomes(&pool, &["SERVING", "SERVING"]).await;
    for expected in ["alpha: 4", "beta: 4", "alpha: 4"] {
        assert_eq!(call(&mut calculator, 16.0).await, expected);
    }
    assert_eq!(
        call(&mut calculator, DEADLY).await,
        "beta: Unavailable: the database is gone"
    );
    becomes(&pool, &["SERVING", "NOT_SERVING"]).await;
    for _ in 0..3 {
        assert_eq!(call(&mut calculator, 16.0).await, "alpha: 4");
    }
    assert_eq!(
        call(&mut calculator, DEADLY).await,
        "alpha: Unavailable: the database is gone"
    );
    becomes(&pool, &["NOT_SERVING", "NOT_SERVING"]).await;
    let (first, second) = (tap.url(), &beta.url);
    assert_eq!(
        call(&mut calculator, 16.0).await,
        format!(
            "nobody: Unavailable: no backend is healthy: \
             {first} (NOT_SERVING), {second} (NOT_SERVING)"
        )
    );
    becomes(&pool, &["SERVING", "SERVING"]).await;
    let both = [
        call(&mut calculator, 16.0).await,
        call(&mut calculator, 16.0).await,
    ];
    assert!(both.contains(&"alpha: 4".to_owned()), "{both:?}");

    // No call before the first answer to Watch, and none while alpha said that it's ill.
    let is_told =
        |line: &String| line.starts_with("server: { status") || line.starts_with("client: { value");
    let told: Vec<_> = outline(&tap).into_iter().filter(is_told).collect();
    let (sick, call) = ("server: { status: NOT_SERVING }", "client: { value: 16 }");
    let well = "server: { status: SERVING }";
    let deadly = "client: { value: 13 }";
    assert_eq!(
        told,
        [well, call, call, call, call, call, deadly, sick, well, call]
    );
}

#[tokio::test]
async fn a_server_does_no_better_than_its_database() {
    let mut alpha = start("alpha").await;
    let channel = connect(&alpha.url).await.unwrap();
    let mut calculator = CalculatorClient::new(channel.clone());
    assert_eq!(next(&mut alpha.lines).await, "alpha: SERVING");
    for service in ["", SERVICE_NAME, LIVENESS] {
        assert_eq!(
            check(&channel, service).await.unwrap(),
            Serving,
            "{service}"
        );
    }
    let deadly = calculator.square_root(Number { value: DEADLY }).await;
    assert_eq!(deadly.unwrap_err().code(), Code::Unavailable);
    assert_eq!(next(&mut alpha.lines).await, "alpha: the root of 13");
    assert_eq!(next(&mut alpha.lines).await, "alpha: NOT_SERVING");
    soon("a server that is ill", async {
        while check(&channel, "").await.unwrap() != NotServing {}
    })
    .await;
    assert_eq!(check(&channel, SERVICE_NAME).await.unwrap(), NotServing);
    // The process itself is well: who restarts it wins nothing.
    assert_eq!(check(&channel, LIVENESS).await.unwrap(), Serving);

    let mut health = HealthClient::new(channel.clone());
    let list = health
        .list(HealthListRequest {})
        .await
        .unwrap()
        .into_inner();
    let mut list: Vec<_> = list
        .statuses
        .into_iter()
        .map(|(name, it)| (name, it.status()))
        .collect();
    list.sort();
    let expected = [
        ("", NotServing),
        (SERVICE_NAME, NotServing),
        (LIVENESS, Serving),
    ];
    assert_eq!(
        list,
        expected.map(|(name, status)| (name.to_owned(), status))
    );

    assert_eq!(next(&mut alpha.lines).await, "alpha: SERVING");
    soon("a server that is well again", async {
        while check(&channel, "").await.unwrap() != Serving {}
    })
    .await;
    let root = calculator
        .square_root(Number { value: 16.0 })
        .await
        .unwrap();
    assert_eq!(served_by(root.metadata()), "alpha");
    assert_eq!(root.into_inner().value, 4.0);
}

/// As with gRPC's own `pick_first`: there is nobody else to call.
#[tokio::test]
async fn a_channel_to_one_backend_calls_it_however_it_does() {
    let alpha = start("alpha").await;
    let mut calculator = CalculatorClient::new(connect(&alpha.url).await.unwrap());
    for value in [DEADLY, 16.0] {
        let status = calculator.square_root(Number { value }).await.unwrap_err();
        assert_eq!(served_by(status.metadata()), "alpha");
        assert_eq!(status.message(), "the database is gone");
    }
}

#[tokio::test]
async fn a_service_that_nobody_knows_is_not_found_or_watched_until_it_is_known() {
    let alpha = start("alpha").await;
    let channel = connect(&alpha.url).await.unwrap();
    let status = check(&channel, "calculator.Calculator").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let backends = [(alpha.url.clone(), channel.clone())];
    let pool = Pool::new(backends, "calculator.Calculator");
    becomes(&pool, &["SERVICE_UNKNOWN"]).await;
}

#[tokio::test]
async fn numbers_without_a_root_and_a_log_that_nobody_reads_harm_nobody() {
    let alpha = start("alpha").await;
    let mut calculator = calculator(watched(&[&alpha.url]).await);
    for _ in 0..100 {
        let status = calculator
            .square_root(Number { value: -4.0 })
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(served_by(status.metadata()), "alpha");
    }
}

#[tokio::test]
async fn only_http_is_spoken() {
    for url in ["https://127.0.0.1:1", "127.0.0.1:50051", ""] {
        let error = connect(url).await.unwrap_err().to_string();
        assert_eq!(error, "the URL must begin with http://", "{url}");
    }
    assert!(connect("http://").await.is_err());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let channel = connect(&url).await.unwrap();
    let mut calculator = calculator(pool(vec![("silent".into(), channel.clone())]));
    let both = async { tokio::join!(check(&channel, ""), call(&mut calculator, 16.0)) };
    let (checked, called) = soon("both deadlines", both).await;
    assert_eq!(checked.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(called, "nobody: DeadlineExceeded: the deadline has passed");
}

/// Who answers, and what; or why nobody does.
async fn call(calculator: &mut Calculator, value: f64) -> String {
    match calculator.square_root(Number { value }).await {
        Ok(reply) => format!("{}: {}", served_by(reply.metadata()), reply.get_ref().value),
        Err(status) => {
            let (code, message) = (status.code(), status.message());
            format!("{}: {code:?}: {message}", served_by(status.metadata()))
        }
    }
}

async fn watched(urls: &[&str]) -> Pool<Channel> {
    let mut backends = Vec::new();
    for url in urls {
        backends.push((url.to_string(), connect(url).await.unwrap()));
    }
    pool(backends)
}

async fn becomes(pool: &Pool<Channel>, expected: &[&str]) {
    let mut health = pool.health();
    let is_so = |all: &Vec<Health>| {
        let all: Vec<_> = all.iter().map(Health::to_string).collect();
        all == expected
    };
    let what = format!("backends that are {expected:?}");
    soon(&what, health.wait_for(is_so)).await.unwrap();
}

/// A backend, which ends with this.
struct Started {
    url: String,
    lines: Receiver<String>,
    server: JoinHandle<Result<(), transport::Error>>,
}

impl Drop for Started {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn start(name: &'static str) -> Started {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (log, lines) = mpsc::channel(16);
    let server = tokio::spawn(serve(name, listener, log));
    Started { url, lines, server }
}

async fn next(lines: &mut Receiver<String>) -> String {
    soon("a line of the log", lines.recv()).await.unwrap()
}
