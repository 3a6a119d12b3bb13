//! The tap: stands between clients and a server, passes every byte on, and shows what passes.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::alarm::alarm;
use crate::decoder::Decoder;
use crate::event::{End, Event, Frame};
use crate::forward;

/// How many events are kept for those who ask later.
const EVENTS_KEPT: usize = 65_536;

/// How much memory these events may take.
const BYTES_KEPT: usize = 32 * 1024 * 1024;

/// How long [`Tap::wait_for`] waits. Not a measure of anything: only so that a test that fails also ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy in front of one server, on a free port of this machine.
///
/// Frames are recorded before they are passed on: what a client has heard of, the tap has seen. When the tap
/// is dropped, so are its connections.
///
/// ```
/// # mod service { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/service.rs")); }
/// use service::{Client, HelloRequest};
/// use wire::Tap;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let server = service::start().await;
///
/// let tap = Tap::start(server).await.unwrap();
/// let mut greeter = Client::connect(tap.url()).await.unwrap();
/// let ann = HelloRequest { name: "Ann".to_owned() };
/// greeter.say_hello(ann).await.unwrap();
///
/// assert_eq!(tap.connections(), 1);
/// let frames = tap.frames();
/// let request = frames.iter().find(|frame| frame.is_request()).unwrap();
/// assert_eq!(request.path(), Some("/helloworld.Greeter/SayHello"));
/// assert_eq!(request.header("te").as_deref(), Some("trailers"));
/// # });
/// ```
#[derive(Debug)]
pub struct Tap {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: AbortHandle,
}

/// What a tap does besides passing on. By default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// By how much each byte is late, in each direction.
    pub delay: Duration,
    /// When each connection is reset.
    pub reset_after: Option<After>,
    /// When each connection falls silent, though it stays open.
    pub stall_after: Option<After>,
}

/// A point in the life of a connection. Both directions count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// This many bytes.
    Bytes(u64),
    /// The last byte of the frame with the end of this many-th message.
    Messages(u64),
}

impl Tap {
    /// Starts a tap in front of a server: an address, `127.0.0.1:50051`, or a URL, `http://127.0.0.1:50051`.
    ///
    /// # Errors
    ///
    /// If there is no free port. Whether there is a server is not looked at before a client comes.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn start(server: impl Display) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Self::serve(listener, server, Faults::default())
    }

    /// Starts a tap on a listener, with faults.
    ///
    /// # Errors
    ///
    /// If the listener has no address.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn serve(listener: TcpListener, server: impl Display, faults: Faults) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let server = server.to_string();
        let server = server.strip_prefix("http://").unwrap_or(&server);
        let server = server.trim_end_matches('/').to_owned();
        let shared = Arc::new(Shared {
            faults,
            began: Instant::now(),
            control: watch::Sender::new(Control {
                delay: faults.delay,
                ..Control::default()
            }),
            calls: Arc::default(),
            connections: AtomicUsize::new(0),
            record: Mutex::default(),
            total: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, server, shared.clone())).abort_handle();
        Ok(Self {
            shared,
            address,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client is to be given in place of the server's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has accepted, up to now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The frames seen so far, in order.
    ///
    /// A tap keeps the last 65,536 events, or 32 MiB of them; [`Tap::lost`] tells how many it had to forget.
    pub fn frames(&self) -> Vec<Frame> {
        self.shared
            .record()
            .events
            .iter()
            .filter_map(|event| event.frame().cloned())
            .collect()
    }

    /// How many events were forgotten because there were too many.
    pub fn lost(&self) -> u64 {
        self.shared.record().first
    }

    /// Everything that happens, from the first event that is kept on.
    pub fn events(&self) -> Events {
        Events {
            shared: self.shared.clone(),
            next: 0,
            total: self.shared.total.subscribe(),
        }
    }

    /// Waits for the first frame that `matches`, among those seen already and those to come.
    ///
    /// # Panics
    ///
    /// After half a minute without one, with a list of what was seen instead.
    pub async fn wait_for(&self, mut matches: impl FnMut(&Frame) -> bool) -> Frame {
        let found = self
            .wait_for_event(|event| event.frame().is_some_and(&mut matches))
            .await;
        match found {
            Event::Frame(frame) => frame,
            // Only frames match.
            _ => unreachable!(),
        }
    }

    /// Like [`Tap::wait_for`], for events of all kinds: connections that open and close.
    ///
    /// # Panics
    ///
    /// After half a minute without one, with a list of what was seen instead.
    pub async fn wait_for_event(&self, mut matches: impl FnMut(&Event) -> bool) -> Event {
        let mut events = self.events();
        // Not tokio's clock: a test may have stopped it.
        let mut guard = None;
        loop {
            while let Some(event) = events.try_next() {
                if let Seen::Event(event) = event
                    && matches(&event)
                {
                    return Event::clone(&event);
                }
            }
            let (_, patience) = guard.get_or_insert_with(|| alarm(PATIENCE));
            tokio::select! {
                () = events.changed() => {}
                _ = patience => panic!(
                    "no such event within {} s; seen:\n{}",
                    PATIENCE.as_secs(),
                    self.shared.summary()
                ),
            }
        }
    }

    /// Resets all connections, towards both sides. New ones are accepted.
    ///
    /// ```
    /// # use wire::Tap;
    /// # mod service { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/service.rs")); }
    /// # use service::{Client, HelloRequest};
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let server = service::start().await;
    /// # let tap = Tap::start(server).await.unwrap();
    /// # let mut greeter = Client::connect(tap.url()).await.unwrap();
    /// tap.stall();
    /// let call = tokio::spawn(async move { greeter.say_hello(HelloRequest { name: "Ann".to_owned() }).await });
    /// let request = tap.wait_for(|frame| frame.is_request()).await;
    /// assert!(request.held, "sent, but not passed on");
    /// tap.reset();
    /// assert!(call.await.unwrap().is_err());
    /// # });
    /// ```
    pub fn reset(&self) {
        self.shared
            .control
            .send_modify(|control| control.resets += 1);
    }

    /// Passes nothing on from now, in either direction. The connections stay open, and new ones are accepted.
    ///
    /// What a peer sends is still read, up to some MiB, and recorded as [`Frame::held`].
    pub fn stall(&self) {
        self.shared
            .control
            .send_modify(|control| control.stalled = true);
    }

    /// Passes on again, what was held first.
    pub fn resume(&self) {
        self.shared.control.send_modify(|control| {
            control.stalled = false;
            control.resumes += 1;
        });
    }

    /// Passes on each byte that comes from now on this much later, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.shared
            .control
            .send_modify(|control| control.delay = delay);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What is told to all connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Control {
    pub delay: Duration,
    pub stalled: bool,
    pub resumes: u64,
    pub resets: u64,
}

/// What the connections of a tap share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub faults: Faults,
    began: Instant,
    pub control: watch::Sender<Control>,
    calls: Arc<AtomicU64>,
    connections: AtomicUsize,
    record: Mutex<Record>,
    total: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Record {
    events: VecDeque<Arc<Event>>,
    /// The number of the oldest event that is kept; those before it are lost.
    first: u64,
    weight: usize,
}

impl Shared {
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn decoder(&self, connection: u64) -> Decoder {
        Decoder::counting(connection, self.calls.clone())
    }

    pub fn push(&self, event: Event) {
        let mut record = self.record();
        record.weight += event.weight();
        record.events.push_back(Arc::new(event));
        while record.events.len() > EVENTS_KEPT || record.weight > BYTES_KEPT {
            let Some(oldest) = record.events.pop_front() else {
                break;
            };
            record.weight -= oldest.weight();
            record.first += 1;
        }
        let total = record.first + record.events.len() as u64;
        drop(record);
        // Another direction may have come in between; the number must not fall.
        self.total.send_if_modified(|seen| {
            let more = total > *seen;
            *seen = total.max(*seen);
            more
        });
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Whoever panicked while holding it has left a record that is short of an event, and no worse.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn summary(&self) -> String {
        let events: Vec<_> = self.record().events.iter().cloned().collect();
        let mut lines = String::new();
        for event in events {
            lines.push_str(&match &*event {
                Event::Frame(frame) => format!(
                    "  {} from the {} on stream {} of connection {} {:?}\n",
                    frame.kind,
                    frame.direction.sender(),
                    frame.stream,
                    frame.connection,
                    frame.flag_names(),
                ),
                other => format!("  {other:?}\n"),
            });
        }
        lines
    }
}

/// A reader of what happens at a tap. Each reads at its own pace, and none slows down what is passed on.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    next: u64,
    total: watch::Receiver<u64>,
}

/// What a reader of events gets.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The next event.
    Event(Arc<Event>),
    /// The reader was too slow, and this many events are gone.
    Missed(u64),
}

impl Events {
    /// Waits for the next event.
    pub async fn next(&mut self) -> Seen {
        loop {
            if let Some(seen) = self.try_next() {
                return seen;
            }
            self.changed().await;
        }
    }

    /// The next event, if it is there already.
    pub fn try_next(&mut self) -> Option<Seen> {
        let record = self.shared.record();
        if let Some(missed) = record.first.checked_sub(self.next)
            && missed > 0
        {
            self.next = record.first;
            return Some(Seen::Missed(missed));
        }
        // What is kept fits into memory, so its number fits into `usize`.
        let event = record.events.get((self.next - record.first) as usize)?;
        self.next += 1;
        Some(Seen::Event(event.clone()))
    }

    /// Waits until there is a next event.
    pub async fn changed(&mut self) {
        let next = self.next;
        // The sender lives as long as this reader, which holds it.
        let _ = self.total.wait_for(|total| *total > next).await;
    }
}

async fn accept(listener: TcpListener, server: String, shared: Arc<Shared>) {
    // Dropped together with this task, and then so are all connections.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((client, _)) => {
                let connection = shared.connections.fetch_add(1, Ordering::SeqCst) as u64 + 1;
                connections.spawn(serve(client, server.clone(), connection, shared.clone()));
            }
            // For instance too many open files: others may be closed soon.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(client: TcpStream, server: String, connection: u64, shared: Arc<Shared>) {
    match TcpStream::connect(&server).await {
        Ok(server) => forward::connection(client, server, connection, &shared).await,
        Err(error) => {
            // As it would be without a tap: no connection.
            let _ = client.set_zero_linger();
            drop(client);
            shared.push(Event::Closed {
                connection,
                at: shared.now(),
                end: End::Refused(reason(&server, &error)),
                open: Vec::new(),
                to_server: 0,
                to_client: 0,
            });
        }
    }
}

/// Without the operating system's number and words, which differ from one to the other.
fn reason(server: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("there is no server on {server}"),
        _ => format!("{server} cannot be reached: {error}"),
    }
}
