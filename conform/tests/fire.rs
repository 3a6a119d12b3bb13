//! The short form of `examples/fire`.

#[path = "../examples/fire/fire.rs"]
mod fire;

use std::time::Duration;

use fire::{Plan, burn};

/// Every call ends by its deadline, with an answer or the right code; what isn't marked as repeatable
/// is carried out once; nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_keeps_its_promises_while_backends_come_and_go() {
    let plan = Plan {
        length: Duration::from_secs(6),
        rate: 200,
        ..Plan::default()
    };
    let report = burn(plan).await.unwrap();
    assert_eq!(report.broken(), Vec::<String>::new(), "{report}");
    assert!(report.harms.values().sum::<u32>() > 10, "{report}");
    assert!(report.codes["Ok"] > report.calls / 4, "{report}");
}
