//! gRFC A58. What the policy does with connections is `round_robin`'s, and tested there.

use prost::Message;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tonic::codegen::http::{HeaderMap, HeaderValue};
use tonic::metadata::BinaryMetadataValue;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};

use super::*;
use crate::balance::testing::FakeChannel;
use crate::balance::{CallEnd, Control, Registry, SubchannelState};
use crate::connectivity::State;
use crate::orca::pb::OrcaLoadReportRequest;
use crate::orca::pb::open_rca_service_client::OpenRcaServiceClient;
use crate::orca::{OrcaLoadReport, OutOfBand, REPORT_TRAILER, ServerMetrics};
use crate::resolver::{self, Address};
use crate::testing::{Served, soon};

const SECOND: Duration = Duration::from_secs(1);

fn parse(config: Value) -> Result<Config, String> {
    Config::parse(&config)
}

// "LB Policy Config and Parameters"
#[test]
fn the_config_has_the_defaults_of_a58() {
    let default = Config {
        out_of_band: None,
        rules: WeightRules::default(),
        update_period: SECOND,
    };
    for config in [
        json!({}),
        json!(null),
        json!({"blackoutPeriod": null, "other": 1}),
    ] {
        assert_eq!(parse(config), Ok(default.clone()));
    }
    let with = parse(json!({"enableOobLoadReport": true})).unwrap();
    assert_eq!(with.out_of_band, Some(SECOND * 10));
    // Without reports out of band their interval doesn't matter.
    let without = json!({"enableOobLoadReport": false, "oobReportingPeriod": "7s"});
    assert_eq!(parse(without), Ok(default));
}

// "LB Policy Config and Parameters"
#[test]
fn each_field_of_the_config_is_read() {
    let config = parse(json!({
        "enableOobLoadReport": true,
        "oobReportingPeriod": "0.5s",
        "blackoutPeriod": "0s",
        "weightExpirationPeriod": "60.000000001s",
        "weightUpdatePeriod": "2s",
        "errorUtilizationPenalty": 0.5,
    }));
    let config = config.unwrap();
    assert_eq!(config.out_of_band, Some(SECOND / 2));
    assert_eq!(config.rules.blackout_period, Duration::ZERO);
    let expiration = config.rules.weight_expiration_period;
    assert_eq!(expiration, Duration::new(60, 1));
    assert_eq!(config.update_period, SECOND * 2);
    assert_eq!(config.rules.error_utilization_penalty, 0.5);
    // proto3 JSON may write a number as text.
    for (penalty, expected) in [(json!(0), 0.0), (json!("1.5"), 1.5)] {
        let config = parse(json!({ "errorUtilizationPenalty": penalty })).unwrap();
        assert_eq!(config.rules.error_utilization_penalty, expected);
    }
}

// "Values less than 100ms are capped at 100ms"
#[test]
fn weights_are_looked_at_every_hundred_milliseconds_at_most() {
    for (period, expected) in [("0s", 100), ("0.099s", 100), ("0.101s", 101)] {
        let config = parse(json!({"weightUpdatePeriod": period})).unwrap();
        assert_eq!(config.update_period.as_millis(), expected, "{period}");
    }
}

// "Configuration is rejected if this value is negative"
#[test]
fn what_is_wrong_with_a_config_is_said() {
    let time = "must be a time of at least 0, as \"1.5s\"";
    for (config, why) in [
        (json!([]), "its config must be an object".to_owned()),
        (
            json!({"enableOobLoadReport": "yes"}),
            "enableOobLoadReport must be true or false".into(),
        ),
        (
            json!({"oobReportingPeriod": 10}),
            format!("oobReportingPeriod {time}"),
        ),
        (
            json!({"blackoutPeriod": "-1s"}),
            format!("blackoutPeriod {time}"),
        ),
        (
            json!({"weightExpirationPeriod": "3m"}),
            format!("weightExpirationPeriod {time}"),
        ),
        (
            json!({"weightUpdatePeriod": "1"}),
            format!("weightUpdatePeriod {time}"),
        ),
        (
            json!({"errorUtilizationPenalty": -0.5}),
            "errorUtilizationPenalty must be a number, at least 0".into(),
        ),
        (
            json!({"blackoutPeriod": "1.0000000001s"}),
            format!("blackoutPeriod {time}"),
        ),
        (
            json!({"blackoutPeriod": "315576000001s"}),
            format!("blackoutPeriod {time}"),
        ),
        (
            json!({"errorUtilizationPenalty": "Infinity"}),
            "errorUtilizationPenalty must be a number, at least 0".into(),
        ),
        (
            json!({"errorUtilizationPenalty": "NaN"}),
            "errorUtilizationPenalty must be a number, at least 0".into(),
        ),
    ] {
        assert_eq!(parse(config.clone()), Err(why), "{config}");
    }
}

#[test]
fn the_policy_is_known_by_its_name() {
    let list = json!([{"weighted_round_robin": {"blackoutPeriod": "1s"}}]);
    let chosen = Registry::new().choose(&list).unwrap();
    assert_eq!(chosen.name(), "weighted_round_robin");
    assert!(chosen.config().health_checks());
}

fn address(number: usize) -> Address {
    Address::Tcp(([10, 0, 0, 1], 1000 + number as u16).into())
}

/// A channel with this config and so many backends, all READY.
fn ready(config: Value, backends: usize) -> FakeChannel {
    let policy = policy(parse(config).unwrap(), &mut Rng::with_seed(7));
    let mut channel = FakeChannel::new(Box::new(policy));
    let addresses = (0..backends).map(address);
    let list: Vec<_> = addresses.map(resolver::Backend::new).collect();
    channel.resolved(&list).unwrap();
    for number in 0..backends {
        assert!(channel.set(&address(number), SubchannelState::Connecting));
        assert!(channel.set(&address(number), SubchannelState::Ready));
    }
    channel
}

fn report(qps: f64, utilization: f64) -> OrcaLoadReport {
    OrcaLoadReport {
        rps_fractional: qps,
        application_utilization: utilization,
        ..Default::default()
    }
}

fn trailers(report: &OrcaLoadReport) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let value = BinaryMetadataValue::from_bytes(&report.encode_to_vec());
    let value = HeaderValue::from_bytes(value.as_encoded_bytes()).unwrap();
    trailers.insert(REPORT_TRAILER, value);
    trailers
}

/// One call, which ends with the report of the backend that it went to, if it has one. Says which
/// one that was.
fn call(channel: &mut FakeChannel, reports: &[Option<OrcaLoadReport>]) -> usize {
    let headers = HeaderMap::new();
    let pick = channel.pick(&Call::new("/a/B", &headers));
    let Pick::Use(picked) = pick else {
        panic!("{pick:?}")
    };
    let (subchannel, on_end) = picked.into_parts();
    let is_here = |number: &usize| address(*number) == *subchannel.address();
    let number = (0..reports.len()).find(is_here).unwrap();
    let trailers = reports[number].as_ref().map(trailers);
    if let Some(on_end) = on_end {
        on_end(&CallEnd::new(Some(Code::Ok), trailers.as_ref()));
    }
    number
}

/// How often each backend is called in so many calls.
fn calls(
    channel: &mut FakeChannel,
    reports: &[Option<OrcaLoadReport>],
    calls: usize,
) -> Vec<usize> {
    let mut counts = vec![0; reports.len()];
    for _ in 0..calls {
        counts[call(channel, reports)] += 1;
    }
    counts
}

/// Has the policy look at the weights for so many seconds, once a second.
async fn pass(channel: &mut FakeChannel, seconds: usize) {
    for _ in 0..seconds {
        let begin = Instant::now();
        assert!(channel.wake().await);
        assert_eq!(begin.elapsed().as_secs_f64().round(), 1.0);
    }
}

/// Weights of 100, 200 and 300.
fn one_two_three() -> Vec<Option<OrcaLoadReport>> {
    vec![
        Some(report(100.0, 1.0)),
        Some(report(100.0, 0.5)),
        Some(report(150.0, 0.5)),
    ]
}

// "Earliest Deadline First (EDF) Scheduler", "Per-Call Load Reporting"
#[tokio::test(start_paused = true)]
async fn calls_are_in_turn_until_there_are_weights_and_then_in_proportion_to_them() {
    let mut channel = ready(json!({}), 3);
    let reports = one_two_three();
    for _ in 0..10 {
        assert_eq!(calls(&mut channel, &reports, 3), [1, 1, 1]);
    }
    pass(&mut channel, 9).await;
    assert_eq!(calls(&mut channel, &reports, 30), [10, 10, 10]);
    // The blackout is over.
    pass(&mut channel, 2).await;
    for _ in 0..20 {
        let counts = calls(&mut channel, &reports, 600);
        for (count, expected) in counts.iter().zip([100_usize, 200, 300]) {
            assert!(count.abs_diff(expected) <= 1, "{counts:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn shares_are_kept_where_one_picker_follows_another() {
    let mut channel = ready(json!({"blackoutPeriod": "0s"}), 3);
    let reports = one_two_three();
    calls(&mut channel, &reports, 3);
    pass(&mut channel, 1).await;
    let mut sum = [0; 3];
    for _ in 0..100 {
        for (sum, count) in sum.iter_mut().zip(calls(&mut channel, &reports, 7)) {
            *sum += count;
        }
        pass(&mut channel, 1).await;
    }
    for (sum, expected) in sum.iter().zip([117_usize, 233, 350]) {
        assert!(sum.abs_diff(expected) <= 2, "{sum}, not {expected}");
    }
}

// "Subchannels that are included with a zero weight are still picked but with the average weight"
#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_report_gets_the_mean() {
    let mut channel = ready(json!({"blackoutPeriod": "0s"}), 3);
    let reports = [Some(report(300.0, 1.0)), None, Some(report(100.0, 1.0))];
    calls(&mut channel, &reports, 3);
    pass(&mut channel, 1).await;
    assert_eq!(calls(&mut channel, &reports, 6000), [3000, 2000, 1000]);
}

// "When less than two subchannels have load info, [...] behave the same as `round_robin`"
#[tokio::test(start_paused = true)]
async fn with_one_that_reports_calls_are_in_turn() {
    let mut channel = ready(json!({"blackoutPeriod": "0s"}), 3);
    let reports = [Some(report(300.0, 0.1)), None, None];
    calls(&mut channel, &reports, 3);
    pass(&mut channel, 1).await;
    assert_eq!(calls(&mut channel, &reports, 300), [100, 100, 100]);
}

#[tokio::test(start_paused = true)]
async fn reports_that_cannot_be_true_give_no_advantage() {
    for (qps, utilization) in [
        (f64::MAX, 0.5),
        (f64::INFINITY, 0.5),
        (f64::NAN, 0.5),
        (100.0, f64::NAN),
        (100.0, f64::MIN_POSITIVE),
        (-100.0, -0.001),
        (100.0, -0.5),
    ] {
        let mut channel = ready(json!({"blackoutPeriod": "0s"}), 3);
        let honest = report(100.0, 0.5);
        let reports = [
            Some(honest.clone()),
            Some(report(qps, utilization)),
            Some(honest),
        ];
        calls(&mut channel, &reports, 3);
        pass(&mut channel, 1).await;
        assert_eq!(
            calls(&mut channel, &reports, 300),
            [100, 100, 100],
            "{qps} {utilization}"
        );
    }
}

// "Subchannel Weights"
#[tokio::test(start_paused = true)]
async fn errors_count_as_the_config_says() {
    let failing = OrcaLoadReport {
        eps: 100.0,
        ..report(100.0, 0.5)
    };
    let reports = [Some(report(100.0, 0.5)), Some(failing)];
    for (penalty, expected) in [(0.0, [200, 200]), (0.5, [267, 133]), (1.0, [300, 100])] {
        let config = json!({"blackoutPeriod": "0s", "errorUtilizationPenalty": penalty});
        let mut channel = ready(config, 2);
        calls(&mut channel, &reports, 2);
        pass(&mut channel, 1).await;
        let counts = calls(&mut channel, &reports, 400);
        for (count, expected) in counts.iter().zip(expected) {
            assert!(count.abs_diff(expected) <= 1, "{penalty}: {counts:?}");
        }
    }
}

// "Subchannel Weights": "non_empty_since [...] is reset when a subchannel comes back to `READY`"
#[tokio::test(start_paused = true)]
async fn a_backend_that_has_reconnected_gets_the_mean_until_its_blackout_is_over() {
    let mut channel = ready(json!({}), 3);
    let reports = [
        Some(report(300.0, 1.0)),
        Some(report(200.0, 1.0)),
        Some(report(100.0, 1.0)),
    ];
    calls(&mut channel, &reports, 3);
    pass(&mut channel, 11).await;
    assert_eq!(calls(&mut channel, &reports, 6000), [3000, 2000, 1000]);
    channel.set(&address(0), SubchannelState::Idle);
    let without = calls(&mut channel, &reports, 3000);
    assert!(
        without[0] == 0 && without[1].abs_diff(2000) <= 1,
        "{without:?}"
    );
    channel.set(&address(0), SubchannelState::Connecting);
    channel.set(&address(0), SubchannelState::Ready);
    // (150, 200, 100): of the other two it has the mean.
    let counts = calls(&mut channel, &reports, 4500);
    assert!(counts[0].abs_diff(1500) <= 1, "{counts:?}");
    pass(&mut channel, 11).await;
    let counts = calls(&mut channel, &reports, 6000);
    assert!(counts[0].abs_diff(3000) <= 1, "{counts:?}");
}

// "Subchannel Weights": "weight_expiration_period"
#[tokio::test(start_paused = true)]
async fn weights_expire() {
    let mut channel = ready(json!({"weightExpirationPeriod": "20s"}), 2);
    let reports = [Some(report(300.0, 1.0)), Some(report(100.0, 1.0))];
    calls(&mut channel, &reports, 2);
    pass(&mut channel, 19).await;
    let silent = [None, None];
    assert_eq!(calls(&mut channel, &silent, 400), [300, 100]);
    pass(&mut channel, 2).await;
    assert_eq!(calls(&mut channel, &silent, 400), [200, 200]);
}

#[tokio::test(start_paused = true)]
async fn calls_that_broke_off_or_that_say_nothing_change_nothing() {
    let mut channel = ready(json!({"blackoutPeriod": "0s"}), 2);
    let headers = HeaderMap::new();
    for code in [None, Some(Code::Unavailable)] {
        for _ in 0..2 {
            let Pick::Use(picked) = channel.pick(&Call::new("/a/B", &headers)) else {
                panic!("no pick");
            };
            let (_, on_end) = picked.into_parts();
            on_end.unwrap()(&CallEnd::new(code, None));
        }
    }
    pass(&mut channel, 1).await;
    assert_eq!(calls(&mut channel, &[None, None], 10), [5, 5]);
}

// "Handling Subchannel Connectivity State Notifications": "The behavior remains the same as in
// `round_robin`"
#[tokio::test(start_paused = true)]
async fn without_a_connection_calls_wait_or_fail() {
    let mut channel = ready(json!({}), 2);
    let headers = HeaderMap::new();
    let call = Call::new("/a/B", &headers);
    for number in 0..2 {
        channel.set(&address(number), SubchannelState::Idle);
    }
    assert_eq!(channel.state(), Some(State::Connecting));
    assert!(matches!(channel.pick(&call), Pick::Wait));
    for number in 0..2 {
        channel.set(&address(number), SubchannelState::Connecting);
        let refused = SubchannelState::TransientFailure(Status::unavailable("refused"));
        channel.set(&address(number), refused);
    }
    assert_eq!(channel.state(), Some(State::TransientFailure));
    assert!(matches!(channel.pick(&call), Pick::Fail(_)));
}

/// A channel whose subchannels have connections to servers, as soon as they are made.
#[derive(Default)]
struct Connected {
    servers: Vec<Served>,
    subchannels: Vec<Subchannel>,
    picker: Option<Arc<dyn Picker>>,
}

impl Control for Connected {
    fn subchannel(&mut self, _: &resolver::Backend, address: &Address) -> Subchannel {
        let mut servers = self.servers.iter();
        let server = servers.find(|it| Address::Tcp(it.address) == *address);
        let channel = server.unwrap().channel();
        let id = self.subchannels.len() as u64;
        let subchannel = Subchannel::new(id, address.clone(), |shared| {
            shared.connected(Connection::open(1, channel));
        });
        self.subchannels.push(subchannel.clone());
        subchannel
    }

    fn publish(&mut self, _: State, picker: Arc<dyn Picker>) {
        self.picker = Some(picker);
    }

    fn re_resolve(&mut self) {}

    fn wake_at(&mut self, _: Instant) {}
}

/// A server that reports this load out of band, to one client.
async fn reporting(load: &ServerMetrics) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = OutOfBand::new(load).max_streams(1).service();
    let server = Server::builder()
        .add_service(service)
        .serve_with_incoming(TcpIncoming::from(listener));
    Served::new(address, server)
}

/// Whether the server reports to nobody yet.
async fn is_free(server: &Served) -> bool {
    let mut stub = OpenRcaServiceClient::new(server.channel());
    let reports = stub.stream_core_metrics(OrcaLoadReportRequest::default());
    reports.await.is_ok()
}

#[tokio::test]
async fn there_is_one_stream_of_reports_for_each_connection() {
    let server = reporting(&ServerMetrics::new()).await;
    let (known, rules) = (Known::default(), WeightRules::default());
    let listen = |number| {
        let channel = server.channel();
        known.listen(Connection::open(number, channel), SECOND, rules);
        known.reports().as_ref().unwrap()._watch.subscribe()
    };
    let first = listen(1);
    assert!(first.same_channel(&listen(1)));
    assert!(!first.same_channel(&listen(2)));
}

// "OOB Load Reporting"; "While `enable_oob_load_report` is set, per-call load reports are never parsed"
#[tokio::test]
async fn reports_come_out_of_band_for_as_long_as_there_is_a_connection() {
    let mut control = Connected::default();
    for utilization in [0.25, 0.75] {
        let load = ServerMetrics::new();
        load.application_utilization(utilization).qps(75.0);
        control.servers.push(reporting(&load).await);
    }
    let backends: Vec<_> = (control.servers.iter())
        .map(|server| resolver::Backend::new(server.address))
        .collect();
    let config = json!({
        "enableOobLoadReport": true, "blackoutPeriod": "0s", "weightUpdatePeriod": "0.1s"
    });
    let mut policy = policy(parse(config).unwrap(), &mut Rng::with_seed(7));
    policy.resolved(&backends, &mut control).unwrap();
    for subchannel in control.subchannels.clone() {
        policy.changed(&subchannel, &SubchannelState::Connecting, &mut control);
        policy.changed(&subchannel, &SubchannelState::Ready, &mut control);
    }

    let headers = HeaderMap::new();
    let shares = async {
        loop {
            let mut first = 0;
            for _ in 0..400 {
                let picker = control.picker.as_ref().unwrap();
                let Pick::Use(picked) = picker.pick(&Call::new("/a/B", &headers)) else {
                    panic!("no pick");
                };
                let (subchannel, on_end) = picked.into_parts();
                assert!(on_end.is_none(), "reports of calls are read");
                first += usize::from(subchannel == control.subchannels[0]);
            }
            if first == 300 {
                return;
            }
            assert_eq!(first, 200);
            sleep(Duration::from_millis(110)).await;
            policy.woken(&mut control);
        }
    };
    soon(shares).await;

    assert!(!is_free(&control.servers[0]).await);
    let lost = control.subchannels[0].clone();
    policy.changed(&lost, &SubchannelState::Idle, &mut control);
    soon(async {
        while !is_free(&control.servers[0]).await {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(!is_free(&control.servers[1]).await);
}

#[tokio::test(start_paused = true)]
async fn a_new_config_counts_from_the_next_picker_on() {
    let registry = Registry::new();
    let of = |config: Value| registry.policy("weighted_round_robin", &config).unwrap();
    let mut channel = FakeChannel::new(of(json!({})).config().build());
    let backend = resolver::Backend::at(([10, 0, 0, 1], 1).into());
    channel.resolved(std::slice::from_ref(&backend)).unwrap();
    channel.set(&backend.addresses()[0], SubchannelState::Ready);
    assert_eq!(channel.wake_at(), Some(Instant::now() + SECOND));
    let other = of(json!({ "weightUpdatePeriod": "0.5s" }));
    assert!(channel.reconfigured(other.config()));
    channel.resolved(&[backend]).unwrap();
    assert_eq!(channel.wake_at(), Some(Instant::now() + SECOND / 2));
    let stranger = registry.policy("pick_first", &json!({})).unwrap();
    assert!(!channel.reconfigured(stranger.config()));
}
