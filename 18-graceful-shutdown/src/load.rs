//! What the client does meanwhile: many calls a second, and a stream that goes on where it was.

use std::time::Duration;

use conform::deadline::{ClientDeadline, ClientDeadlineLayer};
use conform::error_details::SanitizeDetails;
use conform::status::{ClientStatus, never_sent};
use futures::future::join_all;
use server_streaming::proto::calculator_client::CalculatorClient;
use server_streaming::proto::{Integer, Number};
use tokio::time::{interval, sleep};
use tonic::transport::{self, Channel, Endpoint};
use tonic::{Code, Status};
use tower::Layer;

/// What [`connect`] returns: give it to a stub.
pub type Connection = ClientDeadline<SanitizeDetails<ClientStatus<Channel>>>;

/// A channel whose calls take ten seconds at most, and whose lost connections are UNAVAILABLE.
pub async fn connect(url: String) -> Result<Connection, transport::Error> {
    let channel = Endpoint::new(url)?.connect().await?;
    let deadline = ClientDeadlineLayer::new().default_timeout(Duration::from_secs(10));
    Ok(deadline.layer(SanitizeDetails::new(ClientStatus::new(channel))))
}

/// Makes `calls` calls, one each `pause`, whether those before are answered or not. Returns how
/// often each was answered.
pub async fn make_calls(
    calculator: &CalculatorClient<Connection>,
    calls: usize,
    pause: Duration,
) -> Vec<u32> {
    let mut ticks = interval(pause);
    let mut running = Vec::new();
    for number in 0..calls {
        ticks.tick().await;
        running.push(tokio::spawn(square_root(calculator.clone(), number as f64)));
    }
    // An answer says which call it belongs to: the root of 49 is 7.
    let mut answers = vec![0; calls];
    for root in join_all(running).await.into_iter().flatten().flatten() {
        if let Some(count) = answers.get_mut(root as usize) {
            *count += 1;
        }
    }
    answers
}

/// A call that was never sent is made again: that's safe, whatever it does.
async fn square_root(
    mut calculator: CalculatorClient<Connection>,
    number: f64,
) -> Result<f64, Status> {
    let value = number * number;
    loop {
        match calculator.square_root(Number { value }).await {
            Ok(root) => return Ok(root.into_inner().value),
            // In the moment of GOAWAY hyper lets go of a call: UNKNOWN. Nobody knows whether the
            // server has it. A root may be asked for twice.
            Err(status) if never_sent(&status) || status.code() == Code::Unknown => {
                sleep(Duration::from_millis(20)).await;
            }
            Err(status) => return Err(status),
        }
    }
}

/// Reads primes from `next` on, and tells each to `on_prime`, with the number of its stream. When a
/// stream breaks off or its server sends it away, goes on with the number after the last one.
pub async fn follow_primes(
    mut calculator: CalculatorClient<Connection>,
    mut next: u64,
    mut on_prime: impl FnMut(u64, u32),
) -> Result<(), Status> {
    for stream in 1.. {
        let end = async {
            let primes = calculator.primes(Integer { value: next }).await?;
            let mut primes = primes.into_inner();
            while let Some(prime) = primes.message().await? {
                on_prime(prime.value, stream);
                next = prime.value + 1;
            }
            Ok::<_, Status>(())
        };
        match end.await {
            // A server that is dropped may reset its streams: CANCELLED.
            Err(status) if matches!(status.code(), Code::Unavailable | Code::Cancelled) => {}
            end => return end,
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Connects as soon as somebody listens at `url`, within `patience`: exercise 2.
pub async fn connect_patiently(url: &str, _patience: Duration) -> Result<Connection, Status> {
    let connected = connect(url.to_owned()).await;
    connected.map_err(|_| Status::unimplemented("exercise 2"))
}
