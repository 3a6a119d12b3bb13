//! The parent: holds the listening socket, and replaces the worker process that serves on it.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use conform::shutdown::Signals;
use futures::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::sleep;
use tower::BoxError;

use crate::proto::Way;

const WORKER: &str = "LESSON_18_WORKER";

/// Runs one worker after the other on `listener`, until a signal comes. That is passed on.
pub async fn supervise(listener: TcpListener) -> Result<(), BoxError> {
    let mut signals = Signals::new()?;
    let (tell, mut said) = mpsc::channel(64);
    let mut worker = Worker::start(1, &listener, &tell)?;
    let (mut next, mut is_over) = (None::<(Worker, Way)>, false);
    loop {
        let (number, line) = tokio::select! {
            Some(said) = said.recv() => said,
            _ = signals.next() => {
                // The second one too: then it ends at once. Whoever doesn't serve yet never will.
                is_over = true;
                worker.send(Signal::TERM)?;
                next.take().map_or(Ok(()), |(new, _)| new.stop(Way::Kill))?;
                continue;
            }
        };
        match (&*line, Way::from_str_name(&line)) {
            ("ready", _) => {
                println!("worker {number} serves");
                // Only now: until here, the old one served.
                if let Some((new, way)) = next.take() {
                    std::mem::replace(&mut worker, new).stop(way)?;
                }
            }
            (_, Some(way)) if next.is_none() && !is_over => {
                next = Some((Worker::start(number + 1, &listener, &tell)?, way));
            }
            (_, Some(_)) => {}
            _ => println!("worker {number}: {line}"),
        }
        next.take_if(|(new, _)| line == "gone" && new.number == number);
        if line == "gone" && number == worker.number {
            let by_itself = Err("the worker ended by itself".into());
            return if is_over { Ok(()) } else { by_itself };
        }
    }
}

type Tell = Sender<(u32, String)>;

struct Worker {
    number: u32,
    child: Child,
}

impl Worker {
    /// Starts this program again, with the listening socket as its standard input.
    fn start(number: u32, listener: &TcpListener, tell: &Tell) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .env(WORKER, "yes")
            .stdin(Stdio::from(OwnedFd::from(listener.try_clone()?)))
            .stdout(Stdio::piped())
            // Ctrl-C in the terminal is for the parent.
            .process_group(0)
            .spawn()?;
        let (out, tell) = (child.stdout.take(), tell.clone());
        thread::spawn(move || {
            let lines = out.into_iter().flat_map(|out| BufReader::new(out).lines());
            for line in lines.map_while(Result::ok).chain(["gone".into()]) {
                let _ = tell.blocking_send((number, line));
            }
        });
        Ok(Self { number, child })
    }

    fn stop(mut self, way: Way) -> io::Result<()> {
        match way {
            Way::Kill => self.child.kill()?,
            Way::Drop => self.send(Signal::INT)?,
            _ => self.send(Signal::TERM)?,
        }
        thread::spawn(move || self.child.wait());
        Ok(())
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }
}

/// The socket that the parent has handed over, if this process is a worker.
pub fn inherited() -> io::Result<Option<tokio::net::TcpListener>> {
    if env::var_os(WORKER).is_none() {
        return Ok(None);
    }
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    listener.try_into().map(Some)
}

/// Waits until the parent is gone, however it went.
pub async fn orphaned() {
    let parent = parent_id();
    while parent_id() == parent {
        sleep(Duration::from_millis(20)).await;
    }
}
