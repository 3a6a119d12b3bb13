//! What becomes of the connections of those that are ejected.

use super::*;

/// gRFC A50, *Subchannel Wrapper*.
#[tokio::test(start_paused = true)]
async fn what_becomes_of_an_ejected_connection_shows_when_it_is_back() {
    let mut channel = ready(by_percentage(), 5);
    calls(&mut channel, 250, |address, _| *address == at(2));
    channel.wake().await;
    let publications = channel.publications();
    // It's lost, and found again. Nobody asks for that.
    channel.set(&at(2), Idle);
    channel.set(&at(2), Connecting);
    channel.set(&at(2), Ready);
    assert_eq!(channel.publications(), publications);
    assert_eq!(called(&mut channel), ports([1, 3, 4, 5]));
    channel.set(&at(2), Idle);
    let _ = channel.wanted();
    for _ in 0..4 {
        assert!(channel.wake().await);
    }
    assert_eq!(channel.wanted(), [at(2)]);
    // It's back, but has no connection.
    assert_eq!(called(&mut channel), ports([1, 3, 4, 5]));
    connect(&mut channel, [2]);
    assert_eq!(called(&mut channel), ports(1..=5));
}

#[tokio::test(start_paused = true)]
async fn a_new_list_does_not_put_off_the_sweep() {
    let mut channel = ready(by_percentage(), 5);
    let due = channel.wake_at();
    tokio::time::advance(Duration::from_secs(5)).await;
    channel.resolved(&backends(1..=5)).unwrap();
    assert_eq!(channel.wake_at(), due);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_has_an_ejected_backend_still_changes_nothing_for_it() {
    let mut channel = ready(by_percentage(), 5);
    calls(&mut channel, 250, |address, _| *address == at(2));
    channel.wake().await;
    channel.resolved(&backends(1..=6)).unwrap();
    connect(&mut channel, [6]);
    assert_eq!(called(&mut channel), ports([1, 3, 4, 5, 6]));
    // Forgotten once it's off the list.
    channel.resolved(&backends([1, 3, 4, 5, 6])).unwrap();
    channel.resolved(&backends(1..=6)).unwrap();
    connect(&mut channel, [2]);
    assert_eq!(called(&mut channel), ports(1..=6));
}

/// gRFC A61, *Outlier Detection*: the backend is ejected, whichever of its addresses was called.
#[tokio::test(start_paused = true)]
async fn a_backend_is_ejected_with_all_of_its_addresses() {
    let mut channel = detecting(by_percentage());
    let both = Backend::new(at(1)).or(at(11));
    let list: Vec<_> = [both].into_iter().chain(backends(2..=5)).collect();
    channel.resolved(&list).unwrap();
    connect(&mut channel, 2..=5);
    channel.set(&at(1), Connecting);
    channel.set(&at(1), failure("refused"));
    connect(&mut channel, [11]);
    calls(&mut channel, 250, |address, _| *address == at(11));
    assert_eq!(called(&mut channel), ports([2, 3, 4, 5, 11]));
    until(&mut channel, ports(2..=5)).await;
    assert!(!channel.set(&at(1), Idle), "nor is the other address tried");
}

/// While it connects, too: its other address isn't a way in.
#[tokio::test(start_paused = true)]
async fn an_ejected_backend_that_connects_stays_ejected() {
    let mut channel = detecting(by_percentage());
    let both = Backend::new(at(1)).or(at(11));
    let list: Vec<_> = [both].into_iter().chain(backends(2..=5)).collect();
    channel.resolved(&list).unwrap();
    connect(&mut channel, 1..=5);
    calls(&mut channel, 250, |address, _| *address == at(1));
    tokio::time::advance(Duration::from_millis(9_900)).await;
    channel.set(&at(1), Idle);
    channel.set(&at(1), Connecting);
    channel.wake().await;
    assert!(
        channel.set(&at(11), Connecting),
        "it's tried after the sweep"
    );
    channel.set(&at(11), Ready);
    assert_eq!(called(&mut channel), ports(2..=5));
    until(&mut channel, ports([2, 3, 4, 5, 11])).await;
}
