//! A chat in the terminal: says what you type, and prints what you hear, each in its own time.

use std::env;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use bidi_streaming::guest;
use bidi_streaming::proto::chat::Line;
use tokio::time::timeout;

async fn run(name: &str, url: &str) -> Result<(), Box<dyn Error>> {
    let entering = timeout(Duration::from_secs(30), guest::enter(url, name)).await;
    let (said, mut heard) = entering.unwrap_or(Err("no answer within 30 seconds".into()))?;
    println!("you are in the room as {name}; end of input leaves");

    // A thread, not a task: nothing stops a task that waits for the terminal.
    thread::spawn(move || {
        let mut lines = io::stdin().lines().map_while(Result::ok);
        // At the end of input the sender is dropped: the guest leaves.
        let _ = lines.try_for_each(|text| said.blocking_send(Line::new("", &text)));
    });
    while let Some(line) = heard.message().await? {
        println!("{}", line.show());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(name) = arguments.next() else {
        eprintln!("who are you? for example: cargo 04 chat Ann");
        return ExitCode::FAILURE;
    };
    let url = arguments.next().unwrap_or("http://127.0.0.1:50051".into());
    let Err(error) = conform::error_details::catch_malformed(run(&name, &url)).await else {
        return ExitCode::SUCCESS;
    };
    let cause = conform::status::explain(&*error);
    eprintln!("chatting at {url} failed: {cause}");
    ExitCode::FAILURE
}
