//! Weighs the same report in several encodings, files it back, and reads a secret from lengths alone.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;

use compression::reports::reports_client::ReportsClient;
use compression::reports::{Station, Words};
use compression::scale::{Scale, Weighing, sum, total};
use compression::{ENCODINGS, eavesdropper, year};
use tonic::Status;
use tonic::codec::CompressionEncoding::{Deflate, Gzip};
use tonic::transport::Channel;

const NO_DIGITS: &str = "the lengths do not tell";

type Stub = ReportsClient<Weighing<Channel>>;

#[tokio::main]
async fn main() -> ExitCode {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "http://127.0.0.1:50051".to_owned());
    match run(&url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("calling {url} failed: {}", reason(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let channel = Channel::from_shared(url.to_owned())?.connect().await?;
    let scale = Scale::default();
    let plain = ReportsClient::new(scale.under(channel));
    let zipped = plain.clone().send_compressed(Gzip).accept_compressed(Gzip);

    fetch(&plain, &scale).await?;
    file(&plain, &scale).await?;
    grow(&plain, &zipped, &scale).await?;
    Ok(eavesdrop(&zipped, &scale).await?)
}

fn bergen() -> Station {
    let name = "Bergen".to_owned();
    Station { name }
}

async fn fetch(plain: &Stub, scale: &Scale) -> Result<(), Status> {
    println!("fetching a year of Bergen:");
    plain.clone().fetch(bergen()).await?;
    println!("  {}", total(&scale.read().replies));
    for &encoding in ENCODINGS {
        let mut stub = plain.clone().accept_compressed(encoding);
        stub.fetch(bergen()).await?;
        println!("  {}", total(&scale.read().replies));
    }
    Ok(())
}

async fn file(plain: &Stub, scale: &Scale) -> Result<(), Status> {
    println!("filing it in gzip, and a receipt comes back in deflate:");
    let stub = plain.clone().accept_compressed(Deflate);
    let mut stub = stub.send_compressed(Gzip);
    stub.file(year::of("Bergen")).await?;
    let reading = scale.read();
    println!("  there: {}", total(&reading.requests));
    println!("  back: {}", total(&reading.replies));
    println!("filing it in deflate:");
    let mut stub = plain.clone().send_compressed(Deflate);
    if let Err(status) = stub.file(year::of("Bergen")).await {
        println!("  {:?}: {}", status.code(), status.message());
        let accepted = status.metadata().get("grpc-accept-encoding");
        let accepted = accepted.and_then(|value| value.to_str().ok());
        println!("  the server reads {}", accepted.unwrap_or("only plain"));
    }
    scale.read();
    Ok(())
}

async fn grow(plain: &Stub, zipped: &Stub, scale: &Scale) -> Result<(), Status> {
    println!("the request that names Bergen:");
    for stub in [plain, zipped] {
        stub.clone().fetch(bergen()).await?;
        println!("  {}", total(&scale.read().requests));
    }
    println!("fetching a year of Bergen, day by day:");
    let mut days = zipped.clone().days(bergen()).await?.into_inner();
    while days.message().await?.is_some() {}
    println!("  {}", total(&scale.read().replies));
    Ok(())
}

async fn eavesdrop(zipped: &Stub, scale: &Scale) -> Result<(), Status> {
    println!("guessing a pass by the length of the answers that hold it:");
    let compressed = eavesdropper::guess(6, async |text| {
        let text = text.to_owned();
        zipped.clone().look_up(Words { text }).await?;
        Ok(sum(&scale.read().replies))
    });
    let told = compressed.await?;
    println!("  gzip: {}", told.as_deref().unwrap_or(NO_DIGITS));
    let plain = eavesdropper::guess(6, async |text| {
        let text = text.to_owned();
        zipped.clone().look_up_in_private(Words { text }).await?;
        Ok(sum(&scale.read().replies))
    });
    let told = plain.await?;
    println!("  plain: {}", told.as_deref().unwrap_or(NO_DIGITS));
    Ok(())
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
