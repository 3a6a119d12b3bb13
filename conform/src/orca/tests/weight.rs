//! gRFC A58, "Subchannel Weights".

use tokio::time::advance;

use super::*;

fn report(qps: f64, utilization: f64, eps: f64) -> OrcaLoadReport {
    OrcaLoadReport {
        rps_fractional: qps,
        cpu_utilization: utilization,
        eps,
        ..Default::default()
    }
}

#[test]
fn the_defaults_are_those_of_a58() {
    let rules = WeightRules::default();
    assert_eq!(rules.blackout_period, SECOND * 10);
    assert_eq!(rules.weight_expiration_period, SECOND * 180);
    assert_eq!(rules.error_utilization_penalty, 1.0);
}

#[test]
fn a_weight_is_qps_by_utilization_and_errors_count_as_utilization() {
    let with = |error_utilization_penalty| WeightRules {
        error_utilization_penalty,
        ..Default::default()
    };
    for (qps, utilization, eps, penalty, weight) in [
        (100.0, 0.5, 0.0, 1.0, 200.0),
        (100.0, 2.0, 0.0, 1.0, 50.0),
        (100.0, 0.5, 50.0, 1.0, 100.0),
        (100.0, 0.5, 50.0, 3.0, 50.0),
        (100.0, 0.5, 100.0, 0.5, 100.0),
        // Without a penalty it doesn't matter what the errors are.
        (100.0, 0.5, 50.0, 0.0, 200.0),
        (100.0, 0.5, f64::NAN, 0.0, 200.0),
    ] {
        let found = with(penalty).weight(&report(qps, utilization, eps));
        assert_eq!(found, Some(weight), "{qps} {utilization} {eps} {penalty}");
    }
}

#[test]
fn application_utilization_is_preferred_to_cpu_utilization() {
    let mut report = report(100.0, 0.5, 0.0);
    let rules = WeightRules::default();
    assert_eq!(rules.weight(&report), Some(200.0));
    report.application_utilization = 1.0;
    assert_eq!(rules.weight(&report), Some(100.0));
    report.cpu_utilization = f64::NAN;
    assert_eq!(rules.weight(&report), Some(100.0));
    // Other utilization is not looked at.
    report.application_utilization = 0.0;
    report.cpu_utilization = 0.0;
    report.mem_utilization = 1.0;
    report.utilization = [("disk".to_owned(), 1.0)].into();
    assert_eq!(rules.weight(&report), None);
}

#[test]
fn what_cannot_be_gives_no_weight() {
    let rules = WeightRules::default();
    let (nan, infinite) = (f64::NAN, f64::INFINITY);
    for (qps, utilization, eps) in [
        (0.0, 0.5, 0.0),
        (100.0, 0.0, 0.0),
        (100.0, 0.0, 50.0),
        (-100.0, 0.5, 0.0),
        (-100.0, -0.5, 0.0),
        (100.0, -0.5, 0.0),
        // Less than no errors, for less than no utilization.
        (100.0, 0.5, -49.0),
        (100.0, 0.5, -50.0),
        (nan, 0.5, 0.0),
        (100.0, nan, 0.0),
        (100.0, 0.5, nan),
        (infinite, 0.5, 0.0),
        (100.0, infinite, 0.0),
        (100.0, 0.5, infinite),
        (f64::MAX, 0.5, 0.0),
        (1e300, 1e-300, 0.0),
        (1e9, 0.99, 0.0),
        (100.0, f64::MIN_POSITIVE, 0.0),
        (f64::MIN_POSITIVE, f64::MAX, 0.0),
        (f64::MIN_POSITIVE, 0.5, f64::MAX),
    ] {
        let report = report(qps, utilization, eps);
        assert_eq!(rules.weight(&report), None, "{report:?}");
    }
    assert_eq!(rules.weight(&report(1e9, 1.0, 0.0)), Some(MAX_WEIGHT));
    let mut report = report(100.0, 0.5, 0.0);
    for application in [-1.0, nan, infinite] {
        report.application_utilization = application;
        assert_eq!(rules.weight(&report), None, "{application}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_weight_counts_after_the_blackout() {
    let (weight, rules) = (BackendWeight::new(), WeightRules::default());
    advance(SECOND * 60).await;
    assert_eq!(weight.get(&rules), None);
    weight.update(&report(100.0, 0.5, 0.0), &rules);
    assert_eq!(weight.get(&rules), None);
    advance(SECOND * 9).await;
    weight.update(&report(100.0, 1.0, 0.0), &rules);
    assert_eq!(weight.get(&rules), None);
    advance(SECOND - Duration::from_millis(1)).await;
    assert_eq!(weight.get(&rules), None);
    advance(Duration::from_millis(1)).await;
    assert_eq!(weight.get(&rules), Some(100.0));
    weight.update(&report(100.0, 0.25, 0.0), &rules);
    assert_eq!(weight.get(&rules), Some(400.0));
}

#[tokio::test(start_paused = true)]
async fn without_a_blackout_a_weight_counts_at_once_and_after_each_connection() {
    let rules = WeightRules {
        blackout_period: Duration::ZERO,
        ..Default::default()
    };
    let weight = BackendWeight::new();
    assert_eq!(weight.get(&rules), None);
    weight.update(&report(100.0, 0.5, 0.0), &rules);
    assert_eq!(weight.get(&rules), Some(200.0));
    weight.connected();
    assert_eq!(weight.get(&rules), Some(200.0));
}

#[tokio::test(start_paused = true)]
async fn a_weight_expires_and_then_the_blackout_begins_anew() {
    let (weight, rules) = (BackendWeight::new(), WeightRules::default());
    weight.update(&report(100.0, 0.5, 0.0), &rules);
    advance(SECOND * 180 - Duration::from_millis(1)).await;
    assert_eq!(weight.get(&rules), Some(200.0));
    // A report without a weight doesn't keep it alive.
    weight.update(&report(100.0, 0.0, 0.0), &rules);
    weight.update(&report(f64::NAN, 0.5, 0.0), &rules);
    assert_eq!(weight.get(&rules), Some(200.0));
    advance(Duration::from_millis(1)).await;
    assert_eq!(weight.get(&rules), None);
    weight.update(&report(100.0, 1.0, 0.0), &rules);
    assert_eq!(weight.get(&rules), None);
    advance(SECOND * 10).await;
    assert_eq!(weight.get(&rules), Some(100.0));
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_begins_the_blackout_anew() {
    let (weight, rules) = (BackendWeight::new(), WeightRules::default());
    weight.update(&report(100.0, 0.5, 0.0), &rules);
    advance(SECOND * 10).await;
    assert_eq!(weight.get(&rules), Some(200.0));
    weight.connected();
    assert_eq!(weight.get(&rules), None);
    // It begins with the first report, not with the connection.
    advance(SECOND * 10).await;
    assert_eq!(weight.get(&rules), None);
    weight.update(&report(100.0, 1.0, 0.0), &rules);
    advance(SECOND * 9).await;
    assert_eq!(weight.get(&rules), None);
    advance(SECOND).await;
    assert_eq!(weight.get(&rules), Some(100.0));
}
