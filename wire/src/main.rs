//! The wire view as a program: passes calls on, and prints each as a ladder, while it happens.

use std::error::Error;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal;
use tokio::task;
use wire::options::{HELP, Options};
use wire::{Events, Ladder, Seen, Show, Tap};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args_os().skip(1))?;
    if options.help {
        println!("{HELP}");
        return Ok(());
    }
    let (listen, to) = (&options.listen, &options.to);
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("listening on {listen} failed: {error}"))?;
    let tap = Tap::serve(listener, to, options.faults)?;
    let events = tap.events();
    let address = tap.address();
    if options.json {
        println!(
            "{}",
            json!({ "event": "listening", "address": address, "to": to })
        );
    } else {
        println!("listening on {address}, passing on to {to}");
    }
    // On a thread of its own: a terminal that is slow holds up nothing but itself.
    task::spawn_blocking(move || print(events, &options));
    signal::ctrl_c().await?;
    // Not a return: that would wait for the thread that prints.
    std::process::exit(0);
}

/// Prints until nobody reads any more.
fn print(mut events: Events, options: &Options) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout());
    let show = Show {
        all: options.all,
        bytes: options.bytes,
        colour: colours(),
    };
    let runtime = tokio::runtime::Handle::current();
    if options.json {
        loop {
            match events.try_next() {
                Some(Seen::Event(event)) => writeln!(out, "{}", wire::json(&event))?,
                Some(Seen::Missed(missed)) => {
                    writeln!(out, "{}", json!({ "event": "missed", "events": missed }))?
                }
                None => {
                    out.flush()?;
                    runtime.block_on(events.changed());
                }
            }
        }
    }
    let mut ladder = Ladder::new(out, show);
    loop {
        match events.try_next() {
            Some(Seen::Event(event)) => ladder.event(&event)?,
            Some(Seen::Missed(missed)) => ladder.missed(missed)?,
            None => {
                ladder.flush()?;
                runtime.block_on(events.changed());
            }
        }
    }
}

fn colours() -> bool {
    if anstyle_query::no_color() {
        return false;
    }
    // Old consoles of Windows have to be asked first.
    #[cfg(windows)]
    let able = anstyle_query::windows::enable_ansi_colors().unwrap_or(true);
    #[cfg(not(windows))]
    let able = anstyle_query::term_supports_ansi_color();
    anstyle_query::clicolor_force() || (io::stdout().is_terminal() && able)
}
