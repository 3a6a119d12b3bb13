//! A chat on the terminal: what is typed is said, and what is heard is printed, each in its own time.

use std::env;
use std::error::Error;
use std::io::{self, BufRead};
use std::iter;
use std::process::ExitCode;
use std::thread;

use bidi_streaming::chat::Line;
use bidi_streaming::guest;
use bidi_streaming::room::LONGEST_LINE;
use tokio::sync::mpsc::Sender;
use tonic::Status;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(name) = arguments.next() else {
        eprintln!("who are you? for example: cargo 04 chat Ann");
        return ExitCode::FAILURE;
    };
    let url = arguments
        .next()
        .unwrap_or_else(|| "http://127.0.0.1:50051".to_owned());
    match run(&name, &url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chatting at {url} failed: {}", reason(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(name: &str, url: &str) -> Result<(), Box<dyn Error>> {
    let (sender, mut heard) = guest::enter(guest::connect(url).await?, name).await?;
    println!("you are in the room as {name}; end of input leaves");

    // A thread, and not a task: reading a terminal cannot be stopped, and a runtime waits for its tasks.
    thread::spawn(move || say_what_is_typed(&sender));
    while let Some(line) = heard.message().await? {
        println!("{line}");
    }
    Ok(())
}

/// Returns at the end of input. That drops the sender, and the room sees the end of what is said.
fn say_what_is_typed(sender: &Sender<Line>) {
    for line in io::stdin().lock().split(b'\n').map_while(Result::ok) {
        let Ok(text) = String::from_utf8(line) else {
            eprintln!("not sent: a line is text in UTF-8");
            continue;
        };
        let text = text.trim_end_matches('\r');
        if text.len() > LONGEST_LINE {
            let length = text.len();
            eprintln!("not sent: a line has {LONGEST_LINE} bytes at most, not {length}");
        } else if sender.blocking_send(Line::new("", text)).is_err() {
            return;
        }
    }
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason(error: &(dyn Error + 'static)) -> String {
    let first = iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error);
    match first.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => first.to_string(),
    }
}
