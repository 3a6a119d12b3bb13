//! Uploads that break off, and calls that the server ends early.

use futures::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::*;

#[tokio::test]
async fn a_deposit_is_booked_after_its_last_coin() {
    let (mut stub, mut lines) = start().await;
    let coins = [50, 20, 5].map(|value| Coin { value });
    let balance = stub.deposit(tokio_stream::iter(coins)).await.unwrap();
    assert_eq!(balance.into_inner().coins, 175);
    expect(
        &mut lines,
        &["north: deposit: begins", "north: deposit: booked"],
    )
    .await;
}

#[tokio::test]
async fn a_cancelled_deposit_is_not_booked() {
    let (stub, mut lines) = start().await;
    for _ in 0..20 {
        let (sender, coins) = mpsc::channel(1);
        let mut other = stub.clone();
        let call = async {
            let upload = other.deposit(ReceiverStream::new(coins));
            let feed = async {
                for value in [10, 20] {
                    sender.send(Coin { value }).await.unwrap();
                }
                std::future::pending().await
            };
            tokio::select! { result = upload => result, () = feed => unreachable!() }
        };
        let status = hang_up_at(&mut lines, "north: deposit: begins", call)
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Cancelled);
        expect(&mut lines, &["north: deposit: stopped"]).await;
    }
    assert_eq!(balances(&stub).await, (100, 100));
}

#[tokio::test]
async fn the_server_may_end_an_upload_early() {
    let (mut stub, mut lines) = start().await;
    let (sender, coins) = mpsc::channel(2);
    for value in [10, 3] {
        sender.send(Coin { value }).await.unwrap();
    }
    let status = soon(stub.deposit(ReceiverStream::new(coins)))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    // The sender learns it too, and need not count any further.
    soon(sender.closed()).await;
    expect(
        &mut lines,
        &["north: deposit: begins", "north: deposit: refused"],
    )
    .await;
    assert_eq!(balances(&stub).await, (100, 100));
}

#[tokio::test]
async fn the_server_may_end_a_stream_early() {
    let (printer, mut lines) = mpsc::unbounded_channel();
    let journal = Journal::new(printer);
    let mut reader = journal.follow();
    for _ in 0..1000 {
        journal.write("a line".to_owned());
        expect(&mut lines, &["a line"]).await;
    }
    let status = reader.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
}
