//! The numbers, sent to a collector.

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use tonic::body::Body;
use tonic::{Response, Status};
use tower::{Layer, Service};

use super::*;

struct Collector(mpsc::Sender<ExportMetricsServiceRequest>);

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.send(request.into_inner()).await.unwrap();
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_the_same_numbers_by_otlp() {
    let (listener, address) = bind().await;
    let (sender, mut exports) = mpsc::channel(1);
    let collector = conform::server::builder()
        .add_service(MetricsServiceServer::new(Collector(sender)))
        .serve_with_incoming(conform::server::incoming(listener));
    tokio::spawn(collector);

    let collector = Some(format!("http://{address}"));
    let (provider, registry) = telemetry::telemetry(collector).unwrap();
    let meter = conform::metrics::meter(&provider);
    let layer = ServerMetricsLayer::new(&meter).methods(methods_in(DESCRIPTORS).unwrap());
    let answer = |_| async { Ok::<_, Status>(Status::ok("").into_http::<Body>()) };
    let mut service = layer.layer(tower::service_fn(answer));
    for _ in 0..3 {
        let request = tonic::codegen::http::Request::post("/calculator.v1.Calculator/SquareRoot");
        let request = request.body(Body::empty()).unwrap();
        service.call(request).await.unwrap();
    }
    // Else it comes once a minute.
    let flushing = provider.clone();
    tokio::task::spawn_blocking(move || flushing.force_flush());
    let export = soon("an export", exports.recv()).await.unwrap();
    let resource = &export.resource_metrics[0];
    let attributes = format!("{:?}", resource.resource.as_ref().unwrap().attributes);
    assert!(attributes.contains("calculator"), "{attributes}");
    let mut metrics = resource.scope_metrics[0].metrics.iter();
    let duration = metrics.find(|metric| metric.name == "grpc.server.call.duration");
    let duration = duration.unwrap();
    assert_eq!(duration.unit, "s");
    let Some(Data::Histogram(histogram)) = &duration.data else {
        panic!("{duration:?}");
    };
    assert_eq!(histogram.data_points[0].count, 3);
    assert_eq!(histogram.data_points[0].explicit_bounds.len(), 41);
    // And Prometheus gets them all the same.
    let text = TextEncoder::new().encode_to_string(&registry.gather());
    assert!(text.unwrap().contains("grpc_server_call_started_total"));
}

#[tokio::test]
async fn a_collector_that_is_no_url_is_an_error_at_once() {
    assert!(telemetry::telemetry(Some("nowhere at all".into())).is_err());
}
