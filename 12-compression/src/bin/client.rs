//! Measures one report in several encodings, and reads a secret from nothing but lengths.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use compression::message_sizes::{MessageSizes, sum, total};
use compression::proto::reports_client::ReportsClient;
use compression::proto::{Station, Words};
use compression::{connect, eavesdropper, year};
use tokio::time::timeout;
use tonic::codec::CompressionEncoding::{Deflate, Gzip};

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let sizes = MessageSizes::default();
    let mut plain = ReportsClient::new(sizes.measure(connect(url).await?));
    let mut gzip = plain.clone().send_compressed(Gzip).accept_compressed(Gzip);
    let mut deflate = plain.clone().accept_compressed(Deflate);
    let bergen = Station {
        name: "Bergen".into(),
    };

    println!("fetching a year of Bergen:");
    for office in [&mut plain, &mut gzip, &mut deflate] {
        office.fetch(bergen.clone()).await?;
        let travelled = sizes.take();
        println!("  request {}", total(&travelled.requests));
        println!("    reply {}", total(&travelled.replies));
    }
    println!("fetching it day by day:");
    let mut days = gzip.days(bergen).await?.into_inner();
    while days.message().await?.is_some() {}
    println!("    reply {}", total(&sizes.take().replies));
    println!("filing it in gzip, then in deflate:");
    gzip.file(year::report("Bergen")).await?;
    println!("  request {}", total(&sizes.take().requests));
    let mut deflate = deflate.send_compressed(Deflate);
    if let Err(status) = deflate.file(year::report("Bergen")).await {
        println!("  {}", conform::status::explain(&status));
        let reads = status.metadata().get("grpc-accept-encoding");
        println!("  the server reads {:?}", reads.ok_or("no encoding")?);
    }
    println!("guessing a secret by the length of the answers that hold it:");
    for (how, private) in [("gzip", false), ("plain", true)] {
        let guess = eavesdropper::guess(6, async |text| {
            let text = text.to_owned();
            gzip.look_up(Words { text, private }).await?;
            Ok(sum(&sizes.take().replies))
        });
        let guess = guess
            .await?
            .unwrap_or("the lengths give nothing away".into());
        println!("  {how}: {guess}");
    }
    Ok(())
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
        eprintln!("this client needs the server that `cargo 12 server` starts");
    }
    ExitCode::FAILURE
}
