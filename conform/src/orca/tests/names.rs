//! What is written down, and what isn't: gRFC A51, "Recorder APIs".

use prost::Message;

use super::*;
use crate::orca::metrics::Metrics;

fn of_call(metrics: &CallMetrics) -> OrcaLoadReport {
    metrics.metrics().into()
}

fn of_server(metrics: &ServerMetrics) -> OrcaLoadReport {
    metrics.metrics().into()
}

const NEVER: [f64; 4] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1];

#[test]
fn each_value_of_a_call_has_its_field() {
    let metrics = CallMetrics::default();
    metrics
        .cpu_utilization(1.1)
        .memory_utilization(0.2)
        .application_utilization(1.3)
        .qps(4.0)
        .eps(5.0)
        .utilization("disk", 0.6)
        .request_cost("rows", 7.0)
        .named_metric("depth", -8.0);
    let expected = OrcaLoadReport {
        cpu_utilization: 1.1,
        mem_utilization: 0.2,
        rps: 0,
        request_cost: [("rows".to_owned(), 7.0)].into(),
        utilization: [("disk".to_owned(), 0.6)].into(),
        rps_fractional: 4.0,
        eps: 5.0,
        named_metrics: [("depth".to_owned(), -8.0)].into(),
        application_utilization: 1.3,
    };
    assert_eq!(of_call(&metrics), expected);
    // What can't be right changes nothing.
    for value in NEVER {
        metrics
            .cpu_utilization(value)
            .memory_utilization(value)
            .application_utilization(value)
            .qps(value)
            .eps(value)
            .utilization("disk", value);
    }
    for value in &NEVER[..3] {
        metrics.request_cost("rows", *value);
        metrics.named_metric("depth", *value);
    }
    metrics.memory_utilization(1.1).utilization("disk", 1.1);
    metrics.utilization("other", 1.1);
    assert_eq!(of_call(&metrics), expected);
    // The last value is the one that counts; the bounds themselves are valid.
    metrics.memory_utilization(1.0).utilization("disk", 1.0);
    metrics.cpu_utilization(0.0).request_cost("rows", -1.0);
    let report = of_call(&metrics);
    assert_eq!((report.mem_utilization, report.cpu_utilization), (1.0, 0.0));
    assert_eq!(
        (report.utilization["disk"], report.request_cost["rows"]),
        (1.0, -1.0)
    );
}

#[test]
fn each_value_of_a_server_has_its_field_and_can_be_taken_back() {
    let metrics = ServerMetrics::new();
    metrics
        .cpu_utilization(1.1)
        .memory_utilization(0.2)
        .application_utilization(1.3)
        .qps(4.0)
        .eps(5.0)
        .utilization("disk", 0.6);
    let expected = OrcaLoadReport {
        cpu_utilization: 1.1,
        mem_utilization: 0.2,
        utilization: [("disk".to_owned(), 0.6)].into(),
        rps_fractional: 4.0,
        eps: 5.0,
        application_utilization: 1.3,
        ..Default::default()
    };
    assert_eq!(of_server(&metrics), expected);
    for value in NEVER {
        metrics
            .cpu_utilization(value)
            .memory_utilization(value)
            .application_utilization(value)
            .qps(value)
            .eps(value)
            .utilization("disk", value);
    }
    metrics.memory_utilization(1.1).utilization("disk", 1.1);
    assert_eq!(of_server(&metrics.clone()), expected);

    metrics.utilizations([("net", 0.5), ("disk", f64::NAN), ("gpu", 1.0)]);
    let all = of_server(&metrics).utilization;
    assert_eq!(
        all,
        [("net".to_owned(), 0.5), ("gpu".to_owned(), 1.0)].into()
    );
    metrics.utilization("gpu", None);
    assert_eq!(of_server(&metrics).utilization.len(), 1);
    metrics.utilization("net", None);
    assert!(metrics.metrics().report().is_some());
    metrics
        .cpu_utilization(None)
        .memory_utilization(None)
        .application_utilization(None)
        .qps(None)
        .eps(None);
    assert_eq!(metrics.metrics().report(), None);
}

#[test]
fn names_are_bounded_in_number_and_length() {
    let long = "n".repeat(MAX_NAME);
    let metrics = CallMetrics::default();
    metrics.request_cost(&format!("{long}n"), 1.0);
    metrics.named_metric(&format!("{long}n"), 1.0);
    metrics.utilization(&format!("{long}n"), 1.0);
    assert_eq!(of_call(&metrics), OrcaLoadReport::default());
    metrics.request_cost(&long, 1.0);
    for number in 0..100 {
        metrics.request_cost(&format!("{number:063}c"), 1.0);
    }
    metrics.named_metric("one", 1.0).utilization("more", 1.0);
    let report = of_call(&metrics);
    assert_eq!(report.request_cost.len(), MAX_NAMES);
    assert!(report.named_metrics.is_empty() && report.utilization.is_empty());
    // As Base64 it stays below what the documentation says.
    assert!(
        report.encoded_len() * 4 / 3 < 4096,
        "{}",
        report.encoded_len()
    );
    // A name that is there can be written again.
    metrics.request_cost(&long, 2.0);
    assert_eq!(of_call(&metrics).request_cost[&long], 2.0);

    let server = ServerMetrics::new();
    for number in 0..100 {
        server.utilization(&number.to_string(), 1.0);
    }
    assert_eq!(of_server(&server).utilization.len(), MAX_NAMES);
    let numbers: Vec<_> = (0..100).map(|number: u32| number.to_string()).collect();
    server.utilizations(numbers.iter().map(|number| (&**number, 0.5)));
    assert_eq!(of_server(&server).utilization.len(), MAX_NAMES);
}

#[test]
fn each_kind_of_name_counts_towards_the_limit() {
    let metrics = CallMetrics::default();
    for number in 0..11 {
        let name = number.to_string();
        metrics.request_cost(&name, 1.0).named_metric(&name, 1.0);
        metrics.utilization(&name, 1.0);
    }
    let report = of_call(&metrics);
    let names = report.request_cost.len() + report.named_metrics.len() + report.utilization.len();
    assert_eq!((names, report.utilization.len()), (MAX_NAMES, 10));
}

#[test]
fn names_of_the_server_find_room_after_those_of_the_call() {
    let call = CallMetrics::default();
    call.utilization("00", 0.25);
    for number in 1..MAX_NAMES - 1 {
        call.request_cost(&number.to_string(), 1.0);
    }
    let server = ServerMetrics::new();
    for name in ["00", "01", "02"] {
        server.utilization(name, 0.75);
    }
    let both: Metrics = call.metrics().over(server.metrics());
    let report = OrcaLoadReport::from(both);
    assert_eq!(report.request_cost.len(), MAX_NAMES - 2);
    let expected = [("00".to_owned(), 0.25), ("01".to_owned(), 0.75)];
    assert_eq!(report.utilization, expected.into());
}

#[test]
fn without_the_layer_what_is_written_is_lost() {
    let request = tonic::Request::new(());
    CallMetrics::of(&request).cpu_utilization(0.5);
    assert_eq!(
        of_call(&CallMetrics::of(&request)),
        OrcaLoadReport::default()
    );
}
