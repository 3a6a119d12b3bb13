//! gRFC A51, "Out of Band Metrics Reporting", "The Server API".

use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Status, Streaming};

use super::*;
use crate::orca::pb::OrcaLoadReportRequest;
use crate::orca::pb::open_rca_service_client::OpenRcaServiceClient;
use crate::orca::pb::open_rca_service_server::OpenRcaServiceServer;
use crate::testing::soon;

type Stub = OpenRcaServiceClient<OpenRcaServiceServer<OutOfBand>>;
type Reports = Streaming<OrcaLoadReport>;

/// The service without a network between: what it sends is there at once.
fn stub(service: OutOfBand) -> Stub {
    OpenRcaServiceClient::new(service.service())
}

fn every(seconds: i64, nanos: i32) -> OrcaLoadReportRequest {
    OrcaLoadReportRequest {
        report_interval: Some(prost_types::Duration { seconds, nanos }),
        request_cost_names: vec!["rows".to_owned()],
    }
}

async fn ask(stub: &mut Stub, request: OrcaLoadReportRequest) -> Result<Reports, Status> {
    Ok(stub.stream_core_metrics(request).await?.into_inner())
}

/// The next report, and how long it took to come.
async fn next(reports: &mut Reports) -> Result<(OrcaLoadReport, Duration), Status> {
    let begin = Instant::now();
    let report = reports.message().await?;
    Ok((report.expect("a report or an error"), begin.elapsed()))
}

fn is_about(wait: Duration, expected: Duration) -> bool {
    (expected..expected + Duration::from_millis(5)).contains(&wait)
}

#[tokio::test(start_paused = true)]
async fn a_report_comes_at_once_and_then_each_interval_whether_it_is_news_or_not() {
    let metrics = ServerMetrics::new();
    metrics.cpu_utilization(0.5).utilization("disk", 0.25);
    let mut stub = stub(OutOfBand::new(&metrics));
    let mut reports = ask(&mut stub, every(40, 0)).await.unwrap();
    let (report, wait) = next(&mut reports).await.unwrap();
    assert!(is_about(wait, Duration::ZERO), "{wait:?}");
    assert_eq!(
        (report.cpu_utilization, report.utilization["disk"]),
        (0.5, 0.25)
    );
    for _ in 0..3 {
        let (same, wait) = next(&mut reports).await.unwrap();
        assert!(is_about(wait, SECOND * 40), "{wait:?}");
        assert_eq!(same, report);
    }
    metrics.cpu_utilization(0.75).utilization("disk", None);
    let (changed, _) = next(&mut reports).await.unwrap();
    assert_eq!(changed.cpu_utilization, 0.75);
    assert!(changed.utilization.is_empty());
    // Nothing written is a report too.
    metrics.cpu_utilization(None);
    let (empty, _) = next(&mut reports).await.unwrap();
    assert_eq!(empty, OrcaLoadReport::default());
}

// "if the `report_interval` from the client [...] is less than the service configured minimum interval
// then it is treated as the service minimum interval. If [it] is not specified (equals to 0), it is
// also treated as service minimum. There is no upper bound."
#[tokio::test(start_paused = true)]
async fn the_server_bounds_the_interval_from_below() {
    let metrics = ServerMetrics::new();
    let service = || OutOfBand::new(&metrics);
    let (default, own) = (service(), service().min_interval(SECOND * 5));
    let least = service().min_interval(Duration::ZERO);
    let nothing = OrcaLoadReportRequest::default();
    const MILLISECOND: Duration = Duration::from_millis(1);
    for (service, request, expected) in [
        (&default, nothing.clone(), SECOND * 30),
        (&default, every(0, 0), SECOND * 30),
        (&default, every(29, 999_999_999), SECOND * 30),
        (
            &default,
            every(30, 500_000_000),
            SECOND * 30 + MILLISECOND * 500,
        ),
        (&default, every(86_400, 0), SECOND * 86_400),
        (&default, every(-60, 0), SECOND * 30),
        (&default, every(i64::MIN, i32::MIN), SECOND * 30),
        (&own, nothing.clone(), SECOND * 5),
        (&own, every(6, 0), SECOND * 6),
        (&least, nothing.clone(), LEAST_REPORT_INTERVAL),
    ] {
        let mut reports = ask(&mut stub(service.clone()), request.clone())
            .await
            .unwrap();
        next(&mut reports).await.unwrap();
        let (_, wait) = next(&mut reports).await.unwrap();
        assert!(is_about(wait, expected), "{request:?}: {wait:?}");
    }
    // The longest that can be said does no harm.
    let mut stub = stub(default);
    let mut reports = ask(&mut stub, every(i64::MAX, i32::MAX)).await.unwrap();
    next(&mut reports).await.unwrap();
    assert!(timeout(SECOND * 86_400, reports.message()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_no_backlog() {
    let metrics = ServerMetrics::new();
    let mut stub = stub(OutOfBand::new(&metrics));
    let mut reports = ask(&mut stub, every(0, 0)).await.unwrap();
    next(&mut reports).await.unwrap();
    tokio::time::sleep(SECOND * 300).await;
    metrics.qps(7.0);
    let (report, wait) = next(&mut reports).await.unwrap();
    assert_eq!(report.rps_fractional, 7.0);
    assert!(wait <= SECOND * 30 + SECOND / 100, "{wait:?}");
    let (_, wait) = next(&mut reports).await.unwrap();
    assert!(is_about(wait, SECOND * 30), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_each_stream_ends_with_unavailable_and_new_ones_are_refused() {
    let metrics = ServerMetrics::new();
    let mut stub = stub(OutOfBand::new(&metrics));
    let mut waiting = ask(&mut stub, every(0, 0)).await.unwrap();
    let mut fresh = ask(&mut stub, every(0, 0)).await.unwrap();
    next(&mut waiting).await.unwrap();
    let end = waiting.message();
    let mut end = std::pin::pin!(end);
    assert!(end.as_mut().now_or_never().is_none());
    let begin = Instant::now();
    metrics.close();
    assert_eq!(end.await.unwrap_err().code(), Code::Unavailable);
    // One that has told nothing yet tells it first.
    next(&mut fresh).await.unwrap();
    let status = next(&mut fresh).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the server is shutting down");
    assert!(is_about(begin.elapsed(), Duration::ZERO));
    assert!(fresh.message().await.unwrap().is_none());
    let refused = ask(&mut stub, every(0, 0)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_server_with_an_open_stream_comes_to_an_end() {
    let metrics = ServerMetrics::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (drain, begin) = oneshot::channel();
    let server = Server::builder()
        .add_service(OutOfBand::new(&metrics).service())
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), begin.map(drop));
    let server = tokio::spawn(server);
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    let mut stub = OpenRcaServiceClient::new(channel);
    let reports = stub.stream_core_metrics(every(0, 0)).await.unwrap();
    let mut reports = reports.into_inner();
    assert!(reports.message().await.unwrap().is_some());
    drain.send(()).unwrap();
    metrics.close();
    let status = reports.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    soon(server).await.unwrap().unwrap();
}

#[tokio::test]
async fn streams_are_bounded_in_number_and_give_their_place_back() {
    let metrics = ServerMetrics::new();
    let mut stub = stub(OutOfBand::new(&metrics).max_streams(2));
    let first = ask(&mut stub, every(0, 0)).await.unwrap();
    let _second = ask(&mut stub, every(0, 0)).await.unwrap();
    let status = ask(&mut stub, every(0, 0)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "too many streams of reports");
    // "it should terminate the stream and cancel the timer immediately"
    drop(first);
    assert!(ask(&mut stub, every(0, 0)).await.is_ok());
    // More than anybody can count is no limit.
    let service = OutOfBand::new(&metrics).max_streams(usize::MAX);
    assert!(
        ask(&mut super::out_of_band::stub(service), every(0, 0))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_request_has_sixty_four_kilobytes_at_most() {
    let mut stub = stub(OutOfBand::new(&ServerMetrics::new()));
    let mut large = every(0, 0);
    large.request_cost_names = vec!["n".repeat(1024); 60];
    assert!(ask(&mut stub, large.clone()).await.is_ok());
    large.request_cost_names = vec!["n".repeat(1024); 64];
    let status = ask(&mut stub, large).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
}
