//! When a name is looked up again.

use super::*;

const DAY: u64 = 24 * 60 * 60;

#[tokio::test(start_paused = true)]
async fn an_answer_without_ttl_holds_until_somebody_asks() {
    let mut channel = Channel::new(Dns::new(), [Reply::Found(found(&["10.0.0.1"], None))]);
    assert_eq!(channel.until(DAY).await, [heard(0, &["10.0.0.1"])]);
    assert_eq!(channel.script.asked(), [0]);
    channel.updates.ask();
    // The minimum is long over. Who asks hears even that nothing has changed.
    assert_eq!(channel.until(DAY + 5).await.len(), 1);
    assert_eq!(channel.script.asked().len(), 2);
    assert!(channel.script.asked()[1] <= DAY + 1);
}

#[tokio::test(start_paused = true)]
async fn requests_before_the_minimum_count_as_one_and_wait_for_it() {
    let mut channel = Channel::new(Dns::new(), [Reply::Found(found(&["10.0.0.1"], None))]);
    channel.until(5).await;
    for _ in 0..3 {
        channel.updates.ask();
        advance(Duration::from_secs(2)).await;
    }
    assert_eq!(channel.until(200).await, [heard(30, &["10.0.0.1"])]);
    assert_eq!(channel.script.asked(), [0, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_request_during_a_lookup_is_for_the_next_one() {
    let answer = found(&["10.0.0.1"], None);
    let mut channel = Channel::new(Dns::new(), [Reply::Late(10, answer)]);
    assert_eq!(channel.until(5).await, []);
    channel.updates.ask();
    // The minimum is counted from the answer.
    channel.until(200).await;
    assert_eq!(channel.script.asked(), [0, 40]);
}

#[tokio::test(start_paused = true)]
async fn the_ttl_is_kept_within_bounds() {
    let settings = || Dns::new().min_interval(Duration::from_secs(10));
    let at_most = |seconds| settings().longest_interval(Duration::from_secs(seconds));
    for (settings, ttl, asked) in [
        (Dns::new(), 100, [0, 100, 200]),
        (Dns::new(), 0, [0, 30, 60]),
        (Dns::new(), 29, [0, 30, 60]),
        (Dns::new(), DAY, [0, 1800, 3600]),
        (settings(), 0, [0, 10, 20]),
        (at_most(50), DAY, [0, 50, 100]),
        (at_most(5), DAY, [0, 10, 20]),
    ] {
        let answer = Reply::Found(found(&["10.0.0.1"], ttl));
        let mut channel = Channel::new(settings, [answer]);
        // What hasn't changed is no news.
        assert_eq!(channel.until(asked[2]).await.len(), 1, "{asked:?}");
        assert_eq!(channel.script.asked(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn ttls_can_be_left_alone() {
    let answer = Reply::Found(found(&["10.0.0.1"], 100));
    let mut channel = Channel::new(Dns::new().only_when_asked(), [answer]);
    channel.until(DAY).await;
    assert_eq!(channel.script.asked(), [0]);
}

#[tokio::test(start_paused = true)]
async fn settings_without_end_break_nothing() {
    let answer = Reply::Found(found(&["10.0.0.1"], 1));
    let settings = Dns::new()
        .min_interval(Duration::MAX)
        .timeout(Duration::MAX);
    let mut channel = Channel::new(settings, [answer]);
    assert_eq!(channel.until(DAY).await.len(), 1);
    assert_eq!(channel.script.asked(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_without_being_asked_for_and_another_order_is_none() {
    let answers = [
        &["10.0.0.1", "10.0.0.2"][..],
        &["10.0.0.2", "10.0.0.1"],
        &["10.0.0.2", "10.0.0.3"],
        &["10.0.0.2"],
        &["10.0.0.2", "10.0.0.4"],
    ];
    let answers = answers.map(|addresses| Reply::Found(found(addresses, 40)));
    let mut channel = Channel::new(Dns::new(), answers);
    assert_eq!(
        channel.until(200).await,
        [
            heard(0, &["10.0.0.1", "10.0.0.2"]),
            heard(80, &["10.0.0.2", "10.0.0.3"]),
            heard(120, &["10.0.0.2"]),
            heard(160, &["10.0.0.2", "10.0.0.4"]),
        ]
    );
    assert_eq!(channel.script.asked(), [0, 40, 80, 120, 160, 200]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_hears_of_it_though_nothing_has_changed() {
    let answer = Reply::Found(found(&["10.0.0.1"], 1));
    let mut channel = Channel::new(Dns::new(), [answer]);
    channel.until(10).await;
    channel.updates.ask();
    assert_eq!(channel.until(100).await, [heard(30, &["10.0.0.1"])]);
    assert_eq!(channel.script.asked(), [0, 30, 60, 90]);
}
