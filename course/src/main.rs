//! Runs the lessons and checks the course. `cargo course help` says how.

use std::env;
use std::process::{self, ExitCode};
use std::time::Duration;

use self::command::Command;
use self::lesson::Course;

mod cargo;
mod check;
mod command;
mod compare;
mod exercises;
mod lesson;
mod new;
mod page;
mod peers;
mod problem;
mod processes;
mod run;
mod running;
mod script;
mod session;
mod table;

#[cfg(test)]
mod tests;

/// Where every lesson's server listens, and where its client looks for it.
const ADDRESS: &str = "127.0.0.1:50051";

/// How long a program may take in a check before it counts as one that hangs. A slow machine is far below.
const LIMIT: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let course = match Course::find(ADDRESS, LIMIT) {
        Ok(course) => course,
        Err(error) => return fail(&error.to_string(), 1),
    };
    let words: Vec<String> = env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let command = match Command::parse(&course, &words) {
        Ok(command) => command,
        Err(sentence) => return fail(&sentence, 2),
    };

    let children = course.children.clone();
    let handler = ctrlc::set_handler(move || {
        // Held to the end of the process, so that nothing new is started and nothing more is said.
        let _stopped = children.stop_all();
        process::exit(130);
    });
    match handler
        .map_err(Into::into)
        .and_then(|()| command.execute(&course))
    {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error.to_string(), 1),
    }
}

fn fail(sentence: &str, code: u8) -> ExitCode {
    eprintln!("{sentence}");
    ExitCode::from(code)
}
