//! The exercises.

use conform::health::pb::health_server::{self, HealthServer};
use conform::health::pb::{HealthCheckResponse, HealthListResponse};
use tokio::time::{advance, pause};
use tonic::codegen::BoxStream;
use tonic::{Request, Response};
use wire::testing::{RawCall, framed};

use super::*;
use crate::ill::ill;

#[tokio::test]
#[ignore = "exercise 1: a database that comes and goes"]
async fn exercise_1_waits_for_a_second_before_it_says_serving_again() {
    let (reporter, service) = conform::health::server();
    let mut health = HealthClient::new(service);
    let database = watch::Sender::new(true);
    let (log, _lines) = mpsc::channel(16);
    pause();
    tokio::spawn(report("alpha", database.subscribe(), reporter, log));
    let mut is = async |expected: ServingStatus, when: &str| {
        // Lets the others run.
        advance(Duration::from_millis(1)).await;
        for service in ["", SERVICE_NAME] {
            let service = service.to_owned();
            let answer = health
                .check(HealthCheckRequest {
                    service: service.clone(),
                })
                .await;
            let got = answer.map(|answer| answer.into_inner().status());
            let got = got.map_err(|status| status.code());
            assert_eq!(
                got,
                Ok(expected),
                "{when}: the health of {service:?} (left: yours)"
            );
        }
    };
    is(Serving, "at the start, with a database that is there").await;
    database.send_replace(false);
    is(NotServing, "as soon as the database is gone").await;
    database.send_replace(true);
    is(NotServing, "when the database has just come back").await;
    advance(Duration::from_millis(900)).await;
    is(NotServing, "when it has been back for 0.9 s").await;
    database.send_replace(false);
    is(NotServing, "when it's gone again").await;
    database.send_replace(true);
    is(NotServing, "when it has just come back again").await;
    advance(Duration::from_millis(900)).await;
    is(NotServing, "0.9 s after the second time that it came back").await;
    advance(Duration::from_millis(200)).await;
    is(Serving, "when it has been back for 1.1 s").await;
    database.send_replace(false);
    is(NotServing, "as soon as the database is gone once more").await;
}

#[tokio::test]
#[ignore = "exercise 2: who is ill?"]
async fn exercise_2_names_the_services_that_are_ill() {
    let (reporter, service) = conform::health::server();
    let tap = Tap::start(&serve_health(service).await).await.unwrap();
    let channel = connect(&tap.url()).await.unwrap();
    let ill_now = async || soon("an answer of `ill`", ill(channel.clone())).await;
    let got = ill_now().await.map_err(|status| status.code());
    assert_eq!(got, Ok(vec![]), "all services are SERVING (left: yours)");
    for (service, status) in [
        ("stock", NotServing),
        ("orders", Serving),
        ("mail", ServingStatus::Unknown),
    ] {
        reporter.set(service, status);
    }
    let got = ill_now().await.map_err(|status| status.code());
    let expected = ["mail", "stock"].map(str::to_owned).to_vec();
    let what = "stock is NOT_SERVING, mail UNKNOWN, orders SERVING (left: yours)";
    assert_eq!(got, Ok(expected), "{what}");
    let requests: Vec<_> = tap
        .frames()
        .into_iter()
        .filter(wire::Frame::is_request)
        .collect();
    let timed = requests
        .iter()
        .all(|request| request.header("grpc-timeout").is_some());
    assert!(timed, "expected a deadline on each call, got none");

    for number in 0..100 {
        reporter.set(format!("service {number}"), NotServing);
    }
    let code = ill_now().await.map_err(|status| status.code());
    let what = "103 services are more than List shows (left: yours)";
    assert_eq!(code, Err(Code::ResourceExhausted), "{what}");

    for (status, expected) in [(Serving, vec![]), (NotServing, vec![String::new()])] {
        let url = serve_health(HealthServer::new(Old(status))).await;
        let channel = connect(&url).await.unwrap();
        let got = soon("an answer of `ill`", ill(channel)).await;
        let got = got.map_err(|status| status.code());
        let what = format!("a server without List that says {status:?} (left: yours)");
        assert_eq!(got, Ok(expected), "{what}");
    }
}

#[tokio::test]
#[ignore = "exercise 3: a rest"]
async fn exercise_3_lets_a_backend_rest() {
    let alpha = start("alpha").await;
    let channel = connect(&alpha.url).await.unwrap();
    let rest = async |seconds: f64| {
        let body = framed(&[&[0x09][..], &seconds.to_le_bytes()].concat());
        let call = RawCall::new("/calculator.v1.Calculator/Rest").body(body);
        let reply = call.send(&alpha.url).await;
        (
            reply.status(),
            reply.messages.first().map(|message| message.to_vec()),
        )
    };
    let health = async || {
        check(&channel, SERVICE_NAME)
            .await
            .map_err(|status| status.code())
    };
    for seconds in [-1.0, 61.0, f64::NAN] {
        let (status, _) = rest(seconds).await;
        let what = format!("the status of Rest for {seconds} seconds (left: yours)");
        assert_eq!(status, Some("INVALID_ARGUMENT"), "{what}");
        assert_eq!(
            health().await,
            Ok(Serving),
            "health after a rest that was refused"
        );
    }
    let (status, reply) = rest(1.0).await;
    assert_eq!(status, Some("OK"), "the status of Rest (left: yours)");
    let expected = [&[0x09][..], &1_f64.to_le_bytes()].concat();
    assert_eq!(
        reply,
        Some(expected),
        "the reply's bytes: the seconds as field 1 (left: yours)"
    );
    let turns = async |to: ServingStatus| {
        let turned = async { while health().await != Ok(to) {} };
        let turned = timeout(Duration::from_secs(10), turned).await;
        assert!(
            turned.is_ok(),
            "expected {to:?} within 10 seconds, got {:?}",
            health().await
        );
    };
    turns(NotServing).await;
    let liveness = check(&channel, LIVENESS).await.unwrap();
    assert_eq!(
        liveness, Serving,
        "`liveness` of a backend that rests (left: yours)"
    );
    let mut calculator = CalculatorClient::new(channel.clone());
    let root = calculator.square_root(Number { value: 16.0 }).await;
    assert!(
        root.is_ok(),
        "expected an answer to who calls all the same, got {root:?}"
    );
    turns(Serving).await;

    // The rest ends while the database is away.
    rest(0.5).await;
    let deadly = calculator.square_root(Number { value: DEADLY }).await;
    assert_eq!(deadly.unwrap_err().code(), Code::Unavailable);
    for _ in 0..15 {
        let what = "health while the database is away, rest or not (left: yours)";
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(health().await, Ok(NotServing), "{what}");
    }
    turns(Serving).await;
}

/// Serves a health service on a free port; returns the URL.
async fn serve_health<H: health_server::Health>(service: HealthServer<H>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = conform::server::builder()
        .add_service(service)
        .serve_with_incoming(conform::server::incoming(listener));
    tokio::spawn(server);
    url
}

/// A server of the time before List.
struct Old(ServingStatus);

#[tonic::async_trait]
impl health_server::Health for Old {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        assert_eq!(request.into_inner().service, "", "the server as a whole");
        let status = self.0.into();
        Ok(Response::new(HealthCheckResponse { status }))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented(""))
    }
}
