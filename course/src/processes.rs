//! Starts processes, reads what they print, and leaves none behind.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The processes that run at present.
#[derive(Clone, Default)]
pub struct Children(Arc<Mutex<Vec<SharedChild>>>);

pub type SharedChild = Arc<Mutex<Child>>;

/// A process that is ended when this value is dropped, on whatever way.
pub struct Process {
    pub stdin: Option<ChildStdin>,
    child: SharedChild,
    children: Children,
    /// How many of its streams are open, of those that are read.
    open_streams: Option<Arc<AtomicUsize>>,
}

/// How long a process may take to end after its streams have. It is over in no time, but on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that a process has printed.
#[derive(Debug)]
pub struct Event {
    /// The name given to the process.
    pub from: &'static str,
    pub stream: Stream,
    /// A line without its end, or `None` at the end of the stream.
    pub line: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stream {
    Out,
    Err,
}

/// What a process printed in all, and how it ended.
#[derive(Debug)]
pub struct Finished {
    /// `None`: it did not end in time and was killed.
    pub status: Option<ExitStatus>,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

impl Children {
    /// Starts a process and sends on whatever comes out of those of its streams that are piped.
    pub fn spawn(
        &self,
        command: &mut Command,
        from: &'static str,
        events: &Sender<Event>,
    ) -> io::Result<Process> {
        // Locked from before the start, so that `stop_all` cannot miss it.
        let mut running = lock(&self.0);
        let mut child = command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy();
            io::Error::new(error.kind(), format!("cannot run {program}: {error}"))
        })?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let child = Arc::new(Mutex::new(child));
        running.push(child.clone());
        drop(running);

        let count = usize::from(stdout.is_some()) + usize::from(stderr.is_some());
        let open = Arc::new(AtomicUsize::new(count));
        if let Some(stdout) = stdout {
            forward(stdout, from, Stream::Out, events.clone(), open.clone());
        }
        if let Some(stderr) = stderr {
            forward(stderr, from, Stream::Err, events.clone(), open.clone());
        }
        Ok(Process {
            stdin,
            child,
            children: self.clone(),
            open_streams: (count > 0).then_some(open),
        })
    }

    /// Runs a process to its end, but no longer than `limit`.
    pub fn run(&self, command: &mut Command, limit: Duration) -> io::Result<Finished> {
        let (sender, events) = mpsc::channel();
        let process = self.spawn(command, "", &sender)?;
        drop(sender);
        let mut finished = Finished {
            status: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        let deadline = Instant::now() + limit;
        while let Some(event) = next(&events, deadline) {
            match event.stream {
                Stream::Out => finished.stdout.extend(event.line),
                Stream::Err => finished.stderr.extend(event.line),
            }
        }
        finished.status = process.wait(deadline)?;
        Ok(finished)
    }

    /// Ends every process. None can be started, and nobody learns of an end, until the guard is dropped.
    pub fn stop_all(&self) -> MutexGuard<'_, Vec<SharedChild>> {
        let running = lock(&self.0);
        for child in running.iter() {
            end(child);
        }
        running
    }
}

impl Process {
    /// Waits for the end, but no longer than to `deadline`: `None` if it goes on after that.
    pub fn wait(&self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        loop {
            // Not `Child::wait`: whoever has to end the process meanwhile needs the lock.
            if let Some(status) = self.end_so_far()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// How it ended, if it has. The first thing seen of an end is that the streams end; then it is waited for.
    pub fn ended(&self) -> io::Result<Option<ExitStatus>> {
        match &self.open_streams {
            Some(open) if open.load(Ordering::SeqCst) == 0 => self.wait(Instant::now() + PATIENCE),
            _ => self.end_so_far(),
        }
    }

    fn end_so_far(&self) -> io::Result<Option<ExitStatus>> {
        let _running = lock(&self.children.0);
        lock(&self.child).try_wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&self.child);
        lock(&self.children.0).retain(|child| !Arc::ptr_eq(child, &self.child));
    }
}

impl Finished {
    /// How it ended, for a reader.
    pub fn ending(&self) -> String {
        match self.status {
            Some(status) => status.to_string(),
            None => "no end within the time limit; it was killed".to_owned(),
        }
    }
}

/// A command whose output is read and that reads nothing itself.
pub fn silent(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Backtraces are on no page.
        .env_remove("RUST_BACKTRACE");
    command
}

/// The next event, or `None` when there will be none before `deadline`.
pub fn next(events: &Receiver<Event>, deadline: Instant) -> Option<Event> {
    let left = deadline.saturating_duration_since(Instant::now());
    events.recv_timeout(left).ok()
}

/// Sends on each line of a stream, in a thread of its own.
fn forward(
    stream: impl Read + Send + 'static,
    from: &'static str,
    which: Stream,
    events: Sender<Event>,
    open_streams: Arc<AtomicUsize>,
) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let line = String::from_utf8_lossy(&bytes);
            let line = line.strip_suffix('\n').unwrap_or(&line);
            let line = line.strip_suffix('\r').unwrap_or(line).to_owned();
            // Nobody listens any more once the process is being dropped.
            let _ = events.send(Event {
                from,
                stream: which,
                line: Some(line),
            });
            bytes.clear();
        }
        open_streams.fetch_sub(1, Ordering::SeqCst);
        let _ = events.send(Event {
            from,
            stream: which,
            line: None,
        });
    });
}

fn end(child: &SharedChild) {
    let mut child = lock(child);
    // Both fail only for a process that has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// A lock whose holder panicked is as good as any: there is nothing half done in what it guards.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
