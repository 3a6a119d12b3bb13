//! Runs one lesson: its server, then its client, each line marked with whose it is.

use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use crate::cargo::{self, Programs};
use crate::lesson::{Course, Lesson};
use crate::problem::Result;
use crate::processes::{Event, Process, next, silent};

/// What the client reads.
#[derive(Clone, Copy, PartialEq)]
pub enum Input {
    Terminal,
    Nothing,
}

/// What is shown of a lesson.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum View {
    /// What the two programs print.
    Programs,
    /// That, and what passes between them.
    Wire,
}

/// A server may print a line just after its client has ended. This long without one means that it is done.
pub const QUIET: Duration = Duration::from_millis(200);

/// A server that is never quiet is stopped all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a lesson and returns the client's exit code.
pub fn run(
    course: &Course,
    lesson: &Lesson,
    view: View,
    input: Input,
    out: &mut impl Write,
) -> Result<u8> {
    address_is_free(course, lesson)?;
    let programs = cargo::some_programs(course, &lesson.name, &["server", "client"])?;
    let (sender, events) = mpsc::channel();
    let mut play = Play {
        course,
        sender,
        events: &events,
        out,
    };

    let server = play.listen(command(course, &programs, "server")?, "server")?;
    let mut client = command(course, &programs, "client")?;
    let mut wire = None;
    if view == View::Wire {
        let programs = cargo::some_programs(course, "wire", &["wire"])?;
        let started = play.listen(command(course, &programs, "wire")?, "wire")?;
        client.arg(format!("http://{}", started.address));
        wire = Some(started);
    }
    if input == Input::Terminal {
        client.stdin(Stdio::inherit());
    }
    let client = course.children.spawn(&mut client, "client", &play.sender)?;
    let Play { sender, out, .. } = play;
    drop(sender);
    let mut ended = Vec::new();
    show_until(&events, out, |event| {
        if event.line.is_none() {
            ended.push(event.from);
        }
        ended.iter().filter(|&&from| from == "client").count() == 2
    })?;
    let a_year = Duration::from_secs(365 * 24 * 3600);
    let client = client.wait(Instant::now() + a_year)?;

    let patience = Instant::now() + PATIENCE;
    while let Some(event) = next(&events, patience.min(Instant::now() + QUIET)) {
        show(&event, out)?;
        if event.line.is_none() {
            ended.push(event.from);
        }
    }
    let is_silent = ended.iter().filter(|&&from| from == "server").count() == 2;
    let deadline = Instant::now() + PATIENCE;
    let ended_early = server.process.ended_by_itself(is_silent, deadline)?;
    drop((server, wire));
    show_until(&events, out, |_| false)?;

    if let Some(status) = ended_early {
        return Err(format!("the server ended by itself: {status}").into());
    }
    match client.and_then(|status| status.code()) {
        Some(code) => Ok(u8::try_from(code).unwrap_or(1)),
        None => Err("the client was ended by a signal".into()),
    }
}

/// A lesson while its programs are started.
struct Play<'a, W> {
    course: &'a Course,
    sender: Sender<Event>,
    events: &'a Receiver<Event>,
    out: &'a mut W,
}

/// A program that can be called.
struct Listener {
    process: Process,
    address: String,
}

impl<W: Write> Play<'_, W> {
    /// Starts a program and waits until it says where it listens.
    fn listen(&mut self, mut command: Command, name: &'static str) -> Result<Listener> {
        let process = self
            .course
            .children
            .spawn(&mut command, name, &self.sender)?;
        let (mut address, mut ends) = (None, 0);
        show_until(self.events, self.out, |event| {
            if event.from == name {
                address = listening_on(event);
                ends += usize::from(event.line.is_none());
            }
            address.is_some() || ends == 2
        })?;
        match address {
            Some(address) => Ok(Listener { process, address }),
            None => Err(format!("the {name} did not start").into()),
        }
    }
}

fn command(course: &Course, programs: &Programs, name: &str) -> Result<Command> {
    let program = programs
        .get(name)
        .ok_or_else(|| format!("there is no program `{name}`"))?;
    let mut command = silent(program);
    command.current_dir(&course.root);
    Ok(command)
}

/// # Errors
///
/// A sentence that says what to do if the lessons' default address is taken.
pub fn address_is_free(course: &Course, lesson: &Lesson) -> Result<()> {
    let (address, number) = (&course.address, &lesson.number);
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(format!(
            "{address}, the lessons' default address, is taken, probably by a lesson's server in another \
             terminal: stop that one with Ctrl-C, or run this lesson on another address with \
             `cargo {number} server 127.0.0.1:50061` and `cargo {number} client http://127.0.0.1:50061`"
        )
        .into()),
        Err(error) => Err(format!("cannot listen on {address}: {error}").into()),
    }
}

/// The address in the line by which a program says that it can be called.
pub fn listening_on(event: &Event) -> Option<String> {
    let rest = event.line.as_deref()?.strip_prefix("listening on ")?;
    let address = rest.split(',').next().unwrap_or(rest);
    Some(address.to_owned())
}

/// Shows events up to the one that is waited for, or up to the last one.
fn show_until(
    events: &Receiver<Event>,
    out: &mut impl Write,
    mut is_it: impl FnMut(&Event) -> bool,
) -> Result<()> {
    for event in events {
        show(&event, out)?;
        if is_it(&event) {
            break;
        }
    }
    Ok(())
}

fn show(event: &Event, out: &mut impl Write) -> Result<()> {
    if let Some(line) = &event.line {
        match event.from {
            // A ladder has marks of its own, and is as wide as a terminal.
            "wire" => writeln!(out, "{line}")?,
            from => writeln!(out, "{from} │ {line}")?,
        }
        out.flush()?;
    }
    Ok(())
}
