//! Pulls the cable between itself and the server: without keepalive, with it, and with too much.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::keepalive::ClientKeepalive;
use conform::status::escape;
use keepalive::proto::Number;
use keepalive::{Stub, TIME, connect, every, hold};
use tokio::time::{sleep, timeout};
use tonic::Status;
use wire::Tap;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    pull(&url, "no keepalive", ClientKeepalive::new(Duration::MAX)).await?;
    let (cable, mut stub) = pull(&url, "a ping after 1 s of silence", every(TIME)).await?;
    // The server is to find out by itself, too.
    sleep(2 * TIME).await;
    cable.resume();
    let root = stub.square_root(Number { value: 16.0 }).await?;
    let Number { value } = root.into_inner();
    println!("  the cable is back: the root of 16 is {value}");
    drop((cable, stub));

    println!("a ping after 0.4 s of silence, more than the server permits");
    let throttled = |time| println!("  too_many_pings: from now on one after {time:?}");
    let often = every(Duration::from_millis(400)).on_throttled(throttled);
    let mut stub = connect(url, often)?;
    for _ in 0..2 {
        let mut maxima = hold(&mut stub).await?;
        match timeout(Duration::from_secs(4), maxima.message()).await {
            Ok(end) => println!("  the stream: {}", outcome(end)),
            Err(_) => println!("  the stream: still open after 4 s"),
        }
    }
    Ok(())
}

type Cable = (Tap, Stub);

/// Opens a stream over a cable, and pulls the cable.
async fn pull(url: &str, title: &str, pings: ClientKeepalive) -> Result<Cable, Box<dyn Error>> {
    let cable = Tap::start(url).await?;
    let mut stub = connect(cable.url(), pings)?;
    let mut maxima = hold(&mut stub).await?;
    cable.stall();
    println!("{title}: the cable is pulled");
    println!("  the stream: {}", outcome(maxima.message().await));
    Ok((cable, stub))
}

fn outcome(result: Result<Option<Number>, Status>) -> String {
    match result {
        Ok(_) => "it goes on".into(),
        Err(status) => format!("{:?}, {}", status.code(), escape(status.message())),
    }
}

// The rest is the same in every client.

#[tokio::main(flavor = "current_thread")] // A flood of replies can't hold up the timer then.
async fn main() -> ExitCode {
    let url = env::args().nth(1);
    let url = url.unwrap_or("http://127.0.0.1:50051".into());
    let result = if url.starts_with("http://") {
        let run = conform::error_details::catch_malformed(run(url.clone()));
        let run = timeout(Duration::from_secs(30), run).await;
        run.unwrap_or(Err("no answer within 30 seconds".into()))
    } else {
        Err("the URL must begin with http:// (https:// is for lesson 14)".into())
    };
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let cause = conform::status::explain(&*error);
    eprintln!("calling {url} failed: {cause}");
    if conform::status::may_be_wrong_server(&*error) {
        eprintln!("this client needs the server that `cargo 19 server` starts");
    }
    ExitCode::FAILURE
}
