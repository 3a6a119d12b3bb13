//! Downloads a film with a pause, hangs up and goes on, asks for what it may not have, and gets stuck once.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use flow_control::CHUNK;
use flow_control::copy::{write_and_read, write_then_read};
use flow_control::download::{Download, Received};
use flow_control::files::archive_client::ArchiveClient;
use flow_control::film;
use flow_control::screen::Screen;
use flow_control::windows::{AHEAD, endpoint};
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::transport::Channel;

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
    let channel = endpoint(url)?.connect().await?;
    let mut archive = ArchiveClient::new(channel);

    println!("{}, with a pause:", film::NAME);
    let mut film = Download::begin(&mut archive, film::NAME, Received::default()).await?;
    let mut screen = Screen::new(&film);
    screen.show(&mut film, 25).await?;
    pause(&mut archive, &film).await?;
    screen.show(&mut film, 100).await?;

    println!("the first half:");
    let mut film = Download::begin(&mut archive, film::NAME, Received::default()).await?;
    Screen::new(&film).show(&mut film, 50).await?;
    let half = film.hang_up(&mut archive).await?;
    println!("the other half:");
    let mut film = Download::begin(&mut archive, film::NAME, half).await?;
    Screen::new(&film).show(&mut film, 100).await?;

    for name in ["../Cargo.toml", "/etc/passwd", "desert.film"] {
        match Download::begin(&mut archive, name, Received::default()).await {
            Ok(_) => println!("{name}: opened"),
            Err(status) => println!("{name}: {:?}: {}", status.code(), status.message()),
        }
    }

    // As much as the film, which is more than the windows of both directions hold.
    let (chunks, written) = (film::SIZE / CHUNK as u64, AtomicU64::new(0));
    let stuck = write_then_read(&mut archive, chunks, &written);
    match timeout(Duration::from_secs(2), stuck).await {
        Ok(copied) => println!("written, then read: {} bytes came back", copied?),
        Err(_elapsed) => println!("written, then read: stuck"),
    }
    let copied = write_and_read(&mut archive, chunks, &written).await?;
    println!("written and read at once: {copied} bytes came back");
    Ok(())
}

/// Reads nothing, until the server has handed over nothing more for half a second.
async fn pause(archive: &mut ArchiveClient<Channel>, film: &Download) -> Result<(), Status> {
    let mut ahead = film.ahead(archive).await?;
    let mut before = None;
    while before.replace(ahead) != Some(ahead) {
        sleep(Duration::from_millis(500)).await;
        ahead = film.ahead(archive).await?;
    }
    let verdict = if ahead <= AHEAD {
        "stays"
    } else {
        "does not stay"
    };
    println!("  paused: the server {verdict} within {} KiB", AHEAD / 1024);
    Ok(())
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
