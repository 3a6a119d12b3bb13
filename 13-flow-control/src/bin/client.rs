//! Downloads a film with a pause, asks for what it can't have, and gets stuck once.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::status::escape;
use flow_control::copy::{CHUNK, write_and_read, write_then_read};
use flow_control::download::read_download;
use flow_control::flow_windows::connect;
use flow_control::proto::DownloadRequest;
use flow_control::root_dir::FILM;
use tokio::time::{sleep, timeout};

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let mut files = connect(url).await?;

    println!("{}:", FILM.0);
    let parts = files.download(request(FILM.0)).await?.into_inner();
    println!("  it has begun, and nobody reads it for three seconds");
    sleep(Duration::from_secs(3)).await;
    let mut shown = 0;
    let show = |received, size| {
        while shown < 4 && received * 4 >= size * (shown + 1) {
            shown += 1;
            println!("  {:<4} {} %", "#".repeat(shown as usize), shown * 25);
        }
    };
    read_download(parts, show).await?;
    println!("  the checksum is right");

    for name in ["../Cargo.toml", "desert.film"] {
        let opened = files.download(request(name)).await;
        let status = opened.err().ok_or("it was opened")?;
        println!("{name}: {:?}: {}", status.code(), escape(status.message()));
    }

    // As much as the film, which is more than the windows of both directions hold.
    let chunks = FILM.1 as usize / CHUNK;
    match timeout(Duration::from_secs(2), write_then_read(&mut files, chunks)).await {
        Ok(copied) => println!("written, then read: {} bytes came back", copied?),
        Err(_) => println!("written, then read: stuck for two seconds, given up"),
    }
    let copied = write_and_read(&mut files, chunks).await?;
    println!("written and read at once: {copied} bytes came back");
    Ok(())
}

fn request(name: &str) -> DownloadRequest {
    let name = name.to_owned();
    DownloadRequest { name }
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
        eprintln!("this client needs the server that `cargo 13 server` starts");
    }
    ExitCode::FAILURE
}
