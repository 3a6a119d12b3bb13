//! Where the numbers are collected, and where they go.

use std::error::Error;

use opentelemetry_otlp::{MetricExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;

/// Makes what layers record with, and what Prometheus's text is made from. Sends the numbers to
/// `collector` too, if there is one: by OTLP, once a minute.
///
/// # Errors
///
/// If `collector` is no URL.
pub fn telemetry(
    collector: Option<String>,
) -> Result<(SdkMeterProvider, Registry), Box<dyn Error + Send + Sync>> {
    let registry = Registry::new();
    let prometheus = opentelemetry_prometheus::exporter().with_registry(registry.clone());
    let resource = Resource::builder().with_service_name("calculator").build();
    let mut provider = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(prometheus.build()?);
    if let Some(url) = collector {
        let otlp = MetricExporter::builder().with_tonic().with_endpoint(url);
        provider = provider.with_periodic_exporter(otlp.build()?);
    }
    Ok((provider.build(), registry))
}
