//! What a call allocates more than on tonic's bare channel: the figures of `examples/channel_cost`.

#[path = "../examples/channel_cost/calls.rs"]
mod calls;

use tokio::runtime::Builder;

/// What each may allocate a call, and a bit. The channel's page says for what.
const MOST: [(&str, f64); 7] = [
    ("tonic's channel", 0.0),
    ("  and status", 1.0),
    ("  and retry", 7.0),
    ("  and message_limit", 10.0),
    ("  and deadline", 17.0),
    ("conform's, no config", 5.0),
    ("conform's, all of it", 12.0),
];

#[test]
fn a_call_allocates_no_more_than_the_page_says() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut compared = calls::compared(&runtime).unwrap();
    // The first calls connect.
    for compared in &mut compared {
        compared.calls(&runtime).unwrap();
    }
    let names: Vec<_> = compared.iter().map(|it| it.name).collect();
    assert_eq!(names, MOST.map(|(name, _)| name));
    let mut bare = None;
    for (compared, (name, most)) in compared.iter_mut().zip(MOST) {
        let allocations = compared.allocations(&runtime).unwrap();
        let more = allocations - *bare.get_or_insert(allocations);
        println!("{name}: {more:+.2}");
        assert!(more < most + 0.5, "{name}: {more:.2} more than tonic's");
    }
}
