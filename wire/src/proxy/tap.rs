//! The tap: stands between clients and a server, passes every byte on, and shows what passes.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::faults::Faults;
use super::forward;
use super::record::{Events, Seen};
use super::reflection::Reflection;
use super::save::{Limits, Save, Saved};
use super::shared::Shared;
#[cfg(feature = "tls")]
use super::tls::{Tls, TlsFiles};
use crate::alarm::alarm;
use crate::decoder::{End, Event, EventKind, Frame};
use crate::grpc::Descriptors;

/// How long [`Tap::wait_for`] waits. Not a measure of anything: only so that a test that fails also
/// ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy in front of one server, on a free port of this machine.
///
/// Frames are recorded before they are passed on: what a client has heard of, the tap has seen.
/// When the tap is dropped, so are its connections.
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

impl Tap {
    /// Starts a tap in front of a server: an address, `127.0.0.1:50051`, or a URL,
    /// `http://127.0.0.1:50051`.
    ///
    /// # Errors
    ///
    /// If there is no free port. The server is not contacted before a client comes.
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
        Self::builder().faults(faults).serve(listener, server)
    }

    /// A tap with settings of one's own.
    pub fn builder() -> Builder {
        Builder {
            faults: Faults::default(),
            descriptors: Descriptors::built_in(),
            reflection: false,
            save: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client gets in place of the server's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it has accepted, up to now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The frames seen so far, in order.
    ///
    /// A tap keeps the last 65,536 events, or 32 MiB of them; [`Tap::lost`] tells how many it had
    /// to forget.
    pub fn frames(&self) -> Vec<Frame> {
        let events = self.shared.record.events();
        events
            .iter()
            .filter_map(|event| event.frame().cloned())
            .collect()
    }

    /// How many events were forgotten because there were too many.
    pub fn lost(&self) -> u64 {
        self.shared.record.lost()
    }

    /// Everything that happens, from the first event that is kept on.
    pub fn events(&self) -> Events {
        self.shared.record.reader()
    }

    /// The types by which messages are shown.
    pub fn descriptors(&self) -> Descriptors {
        self.shared.descriptors.clone()
    }

    /// Waits for the types that the server was asked for, for a few seconds at most.
    ///
    /// It is asked when a method is called that no proto knows, if [`Builder::reflection`] allows
    /// it.
    pub async fn reflected(&self) {
        if let Some(reflection) = &self.shared.reflection {
            reflection.settled().await;
        }
    }

    /// Writes what is still to be saved, and returns what became of it. `None` if nothing is saved.
    ///
    /// # Errors
    ///
    /// If the file could not be written.
    pub fn finish_saving(&self) -> Option<io::Result<Saved>> {
        Some(self.shared.save.as_ref()?.finish())
    }

    /// Waits for the first frame that `matches`, among those seen already and those to come.
    ///
    /// # Panics
    ///
    /// After half a minute without one, with a list of what was seen instead.
    pub async fn wait_for(&self, mut matches: impl FnMut(&Frame) -> bool) -> Frame {
        let is_wanted = |event: &Event| event.frame().is_some_and(&mut matches);
        match self.wait_for_event(is_wanted).await.kind {
            EventKind::Frame(frame) => frame,
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
                    self.summary()
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
    /// let ann = HelloRequest { name: "Ann".to_owned() };
    /// let call = tokio::spawn(async move { greeter.say_hello(ann).await });
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

    /// Passes nothing on from now, in either direction. The connections stay open, and new ones are
    /// accepted.
    ///
    /// What a peer sends is still read, up to some MiB, and recorded as [`Frame::held`].
    pub fn stall(&self) {
        self.shared
            .control
            .send_modify(|control| control.stalled = true);
    }

    /// Passes on again, beginning with what was held.
    pub fn resume(&self) {
        self.shared.control.send_modify(|control| {
            control.stalled = false;
            control.resumes += 1;
        });
    }

    fn summary(&self) -> String {
        let mut lines = String::new();
        for event in self.shared.record.events() {
            lines.push_str(&match &event.kind {
                EventKind::Frame(frame) => format!(
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

/// A tap before it starts.
#[derive(Clone, Debug)]
pub struct Builder {
    faults: Faults,
    descriptors: Descriptors,
    reflection: bool,
    save: Option<PathBuf>,
    #[cfg(feature = "tls")]
    tls: Option<TlsFiles>,
}

impl Builder {
    /// What goes wrong on purpose.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// The types by which messages are shown. By default those that are built in.
    pub fn descriptors(mut self, descriptors: Descriptors) -> Self {
        self.descriptors = descriptors;
        self
    }

    /// Whether the server is asked, by gRPC's reflection, for types that no proto knows. By default
    /// not.
    pub fn reflection(mut self, reflection: bool) -> Self {
        self.reflection = reflection;
        self
    }

    /// Keeps what was seen in a file, for [`open`](crate::open).
    pub fn save(mut self, file: impl Into<PathBuf>) -> Self {
        self.save = Some(file.into());
        self
    }

    /// Speaks TLS with clients and with the server, and shows what is inside.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// Starts the tap on a listener, in front of a server.
    ///
    /// # Errors
    ///
    /// If the listener has no address, the file to save to can't be written, or a certificate can't be
    /// read.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn serve(self, listener: TcpListener, server: impl Display) -> io::Result<Tap> {
        let address = listener.local_addr()?;
        let server = server.to_string();
        let server = strip_scheme(&server);
        let server = server.trim_end_matches('/').to_owned();
        let descriptors = self.descriptors;
        let save = self
            .save
            .map(|file| Save::create(&file, descriptors.clone(), Limits::USUAL));
        let reflection = self.reflection.then(|| Reflection::of(&server));
        let shared = Shared::new(self.faults, descriptors, reflection, save.transpose()?);
        #[cfg(feature = "tls")]
        let shared = shared.with_tls(self.tls.as_ref().map(Tls::open).transpose()?);
        let shared = Arc::new(shared);
        let accepting = tokio::spawn(accept(listener, server, shared.clone())).abort_handle();
        Ok(Tap {
            shared,
            address,
            accepting,
        })
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
                let connection = shared.next_connection();
                connections.spawn(serve(client, server.clone(), connection, shared.clone()));
            }
            // For instance too many open files: others may be closed soon.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(client: TcpStream, server: String, connection: u64, shared: Arc<Shared>) {
    match TcpStream::connect(&server).await {
        Ok(server_side) => match open_up(client, server_side, &server, &shared).await {
            Ok((client, server)) => {
                forward::connection(client, server, connection, &shared).await;
            }
            Err(reason) => {
                let refused = EventKind::Closed {
                    end: End::Refused(reason),
                    open: Vec::new(),
                    to_server: 0,
                    to_client: 0,
                };
                shared.happens(connection, refused);
            }
        },
        Err(error) => {
            // As it would be without a tap: no connection.
            let _ = client.set_zero_linger();
            drop(client);
            let refused = EventKind::Closed {
                end: End::Refused(reason(&server, &error)),
                open: Vec::new(),
                to_server: 0,
                to_client: 0,
            };
            shared.happens(connection, refused);
        }
    }
}

/// Takes both connections out of TLS, if that was asked for.
#[cfg_attr(not(feature = "tls"), allow(unused_variables))]
async fn open_up(
    client: TcpStream,
    server_side: TcpStream,
    server: &str,
    shared: &Shared,
) -> Result<(TcpStream, TcpStream), String> {
    #[cfg(feature = "tls")]
    if let Some(tls) = &shared.tls {
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
        return tls.open_up(client, server_side, host).await;
    }
    Ok((client, server_side))
}

fn strip_scheme(url: &str) -> &str {
    let bare = url.strip_prefix("http://");
    bare.or_else(|| url.strip_prefix("https://")).unwrap_or(url)
}

/// Without the operating system's number and words, which differ from one to the other.
fn reason(server: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("there is no server on {server}"),
        _ => format!("{server} cannot be reached: {error}"),
    }
}
