//! The fire itself, for the program and for its short form, a test.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conform::channel::Channel;
use conform::connectivity::GuardedIo;
use conform::resolver::{Backend, Manual, Update};
use conform::retry::RetryPolicy;
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tonic::{Code, Request, Response, Status};
use wire::Tap;

/// How much later than its deadline a call may end.
const LATE: Duration = Duration::from_millis(50);

/// How long after the resolver's word a backend may still get a call.
const KNOWN: Duration = Duration::from_millis(500);

const CONFIG: &str = r#"{
    "loadBalancingConfig": [{ "round_robin": {} }],
    "retryThrottling": { "maxTokens": 1000, "tokenRatio": 1 }
}"#;

/// What is to happen.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub length: Duration,
    /// Calls a second.
    pub rate: u64,
    pub backends: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            length: Duration::from_secs(60),
            rate: 500,
            backends: 5,
        }
    }
}

/// What has happened.
#[derive(Debug, Default)]
pub struct Report {
    pub plan: Plan,
    /// How often each harm was done.
    pub harms: BTreeMap<&'static str, u32>,
    pub calls: u64,
    pub codes: BTreeMap<String, u64>,
    /// The code of a call that should have had another.
    pub wrong: Vec<String>,
    /// The most that a call ended after its deadline, and the most that this machine was late itself.
    pub latest: Duration,
    pub lag: Duration,
    /// Carried out more than once, of those that may and those that may not.
    pub repeated: u64,
    pub twice: u64,
    /// Calls that reached a backend known to be gone.
    pub to_the_gone: u64,
    pub tasks: (usize, usize),
    pub connections: u64,
    /// In KiB, before and after; where the system tells.
    pub memory: Option<(u64, u64)>,
}

impl Report {
    /// The promises that were broken, each in a sentence.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = self.wrong.clone();
        if self.latest > LATE + self.lag {
            broken.push(format!("a call ended {:?} after its deadline", self.latest));
        }
        if self.twice > 0 {
            broken.push(format!("{} calls were carried out twice", self.twice));
        }
        if self.to_the_gone > 0 {
            broken.push(format!(
                "{} calls went to a backend that was gone",
                self.to_the_gone
            ));
        }
        if self.tasks.1 > self.tasks.0 {
            broken.push(format!(
                "{} tasks before, {} after",
                self.tasks.0, self.tasks.1
            ));
        }
        if self.connections > 0 {
            broken.push(format!("{} connections are left", self.connections));
        }
        broken
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan {
            seed,
            length,
            rate,
            backends,
        } = &self.plan;
        writeln!(
            f,
            "seed {seed}: {rate} calls a second for {length:?}, {backends} backends"
        )?;
        writeln!(f, "harms: {:?}", self.harms)?;
        writeln!(f, "{} calls: {:?}", self.calls, self.codes)?;
        writeln!(
            f,
            "latest end after a deadline: {:?} (this machine's own lag: {:?})",
            self.latest, self.lag
        )?;
        writeln!(
            f,
            "carried out more than once: {} that may be, {} that may not",
            self.repeated, self.twice
        )?;
        writeln!(f, "to backends known to be gone: {}", self.to_the_gone)?;
        writeln!(f, "tasks: {} before, {} after", self.tasks.0, self.tasks.1)?;
        writeln!(f, "connections left: {}", self.connections)?;
        if let Some((before, after)) = self.memory {
            writeln!(f, "memory: {before} KiB before, {after} KiB after")?;
        }
        for broken in self.broken() {
            writeln!(f, "BROKEN: {broken}")?;
        }
        Ok(())
    }
}

/// What the handlers write down.
#[derive(Debug, Default)]
struct Book {
    /// Which calls were carried out, and how often.
    carried_out: Mutex<HashMap<u64, u32>>,
    to_the_gone: AtomicU64,
    connections: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One backend's word on whether it is on the list, and since when.
#[derive(Debug)]
struct Listed {
    since: Mutex<(bool, Instant)>,
}

struct Answers {
    book: Arc<Book>,
    listed: Arc<Listed>,
    begin: Instant,
}

#[tonic::async_trait]
impl Greeter for Answers {
    /// The name is `number begun repeatable`.
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        let text = request.into_inner().name;
        let mut words = text.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(call), Some(begun), Some(may_repeat)) = (number(), number(), number()) else {
            return Err(Status::invalid_argument("no such call"));
        };
        *locked(&self.book.carried_out).entry(call).or_default() += 1;
        let begun = self.begin + Duration::from_micros(begun);
        let (is_listed, since) = *locked(&self.listed.since);
        // Later attempts begin later than their call; of the others it's known.
        if may_repeat == 0 && !is_listed && begun > since + KNOWN {
            self.book.to_the_gone.fetch_add(1, Ordering::Relaxed);
        }
        sleep(Duration::from_millis(call % 7)).await;
        Ok(Response::new(Greeting { text }))
    }
}

/// A server, and the tap in front of it that does it harm.
struct Site {
    listed: Arc<Listed>,
    tap: Tap,
    drain: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Site {
    async fn start(book: &Arc<Book>, begin: Instant) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let listed = Arc::new(Listed {
            since: Mutex::new((false, Instant::now())),
        });
        let service = GreeterServer::new(Answers {
            book: book.clone(),
            listed: listed.clone(),
            begin,
        });
        let (drain, drained) = oneshot::channel();
        let connections = book.clone();
        let incoming = counted(listener, connections);
        let server = tokio::spawn(async move {
            let stop = async {
                let _ = drained.await;
            };
            let router = conform::server::builder().add_service(service);
            let _ = router.serve_with_incoming_shutdown(incoming, stop).await;
        });
        Ok(Self {
            listed,
            tap: Tap::start(address).await?,
            drain: Some(drain),
            server,
        })
    }

    fn list(&self, is_listed: bool) {
        let mut since = locked(&self.listed.since);
        if since.0 != is_listed {
            *since = (is_listed, Instant::now());
        }
    }

    async fn end(mut self) {
        self.tap.resume();
        self.tap.reset();
        drop(self.drain.take());
        drop(self.tap);
        if !self.server.is_finished() {
            let _ = timeout(Duration::from_secs(10), &mut self.server).await;
            self.server.abort();
        }
    }
}

/// Burns, and tells.
///
/// # Errors
///
/// If this machine has no free port.
pub async fn burn(plan: Plan) -> Result<Report, Box<dyn Error>> {
    let book = Arc::new(Book::default());
    let metrics = Handle::current().metrics();
    let mut report = Report {
        plan: plan.clone(),
        ..Report::default()
    };
    report.tasks.0 = metrics.num_alive_tasks();
    let memory = resident();
    let begin = Instant::now();
    let mut chance = fastrand::Rng::with_seed(plan.seed);
    let mut sites = Vec::new();
    for _ in 0..plan.backends {
        sites.push(Site::start(&book, begin).await?);
    }
    let fleet = Manual::new("fleet");
    list(&fleet, &sites, &vec![true; sites.len()]);
    let channel = Channel::builder("fleet:greeter")
        .scheme(fleet.clone())
        .service_config(CONFIG)
        .connect_lazy()?;

    let is_over = Arc::new(AtomicBool::new(false));
    let lag = tokio::spawn(lag(is_over.clone()));
    let calling = tokio::spawn(call_all(channel.clone(), plan.clone(), begin));

    let mut is_listed = vec![true; sites.len()];
    while begin.elapsed() < plan.length {
        sleep(Duration::from_millis(chance.u64(50..400))).await;
        let index = chance.usize(..sites.len());
        let Some(site) = sites.get_mut(index) else {
            continue;
        };
        let harm = match chance.u8(..6) {
            0 => {
                site.tap.reset();
                "killed"
            }
            1 => {
                site.tap.stall();
                "stalled"
            }
            2 => {
                site.tap.delay(Duration::from_millis(chance.u64(..80)));
                "slowed"
            }
            3 => {
                let fresh = Site::start(&book, begin).await?;
                let old = std::mem::replace(site, fresh);
                old.list(false);
                list(&fleet, &sites, &is_listed);
                tokio::spawn(drain(old));
                "drained"
            }
            4 => {
                set(&mut is_listed, index, false);
                list(&fleet, &sites, &is_listed);
                "removed"
            }
            _ => {
                set(&mut is_listed, index, true);
                list(&fleet, &sites, &is_listed);
                "added"
            }
        };
        *report.harms.entry(harm).or_default() += 1;
        if chance.u8(..3) == 0 {
            for site in &sites {
                site.tap.resume();
                site.tap.delay(Duration::ZERO);
            }
        }
    }

    let ended = calling.await?;
    report.calls = ended.len() as u64;
    judge(&mut report, &book, ended);
    is_over.store(true, Ordering::Relaxed);
    report.lag = lag.await?;
    drop(channel);
    drop(fleet);
    for site in sites {
        site.end().await;
    }
    report.to_the_gone = book.to_the_gone.load(Ordering::Relaxed);
    // What ends, ends soon.
    let patience = Instant::now() + Duration::from_secs(15);
    while Instant::now() < patience {
        report.tasks.1 = metrics.num_alive_tasks();
        report.connections = book.connections.load(Ordering::Relaxed);
        if report.tasks.1 <= report.tasks.0 && report.connections == 0 {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    report.memory = memory.zip(resident());
    Ok(report)
}

/// Tells the channel which of them there are.
fn list(fleet: &Manual, sites: &[Site], is_listed: &[bool]) {
    for (site, is_listed) in sites.iter().zip(is_listed) {
        site.list(*is_listed);
    }
    let listed = sites
        .iter()
        .zip(is_listed)
        .filter(|(_, is_listed)| **is_listed);
    let backends = listed.map(|(site, _)| Backend::at(site.tap.address()));
    fleet.set(Update::new(backends.collect::<Vec<_>>()));
}

/// The last one stays.
fn set(all: &mut [bool], index: usize, is_listed: bool) {
    let others = all
        .iter()
        .enumerate()
        .any(|(other, listed)| other != index && *listed);
    if let Some(listed) = all.get_mut(index) {
        *listed = is_listed || !others;
    }
}

/// Lets it end its calls, as a server should, and ends it.
async fn drain(mut site: Site) {
    site.tap.resume();
    drop(site.drain.take());
    let _ = timeout(Duration::from_secs(2), &mut site.server).await;
    site.end().await;
}

/// Connections that are counted while they are open.
fn counted(
    listener: TcpListener,
    book: Arc<Book>,
) -> impl futures::Stream<Item = std::io::Result<GuardedIo<TcpStream, Open>>> {
    futures::stream::unfold(listener, move |listener| {
        let book = book.clone();
        async move {
            let accepted = listener.accept().await;
            let io = accepted.map(|(stream, _)| {
                let _ = stream.set_nodelay(true);
                book.connections.fetch_add(1, Ordering::Relaxed);
                GuardedIo::new(stream, Open(book))
            });
            Some((io, listener))
        }
    })
}

/// An open connection.
struct Open(Arc<Book>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How late this machine is by itself: what it takes too long to wake up.
async fn lag(is_over: Arc<AtomicBool>) -> Duration {
    let mut most = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        sleep(Duration::from_millis(5)).await;
        most = most.max(begin.elapsed().saturating_sub(Duration::from_millis(5)));
    }
    most
}

/// How one call has ended.
struct Ended {
    number: u64,
    may_repeat: bool,
    result: Result<(), Status>,
    /// After its deadline.
    late: Duration,
}

/// Begins calls at the plan's rate, whatever becomes of them, and waits for the last.
async fn call_all(channel: Channel, plan: Plan, begin: Instant) -> Vec<Ended> {
    let mut chance = fastrand::Rng::with_seed(plan.seed ^ 0xCA11);
    let policy = RetryPolicy::new(
        4,
        Duration::from_millis(10),
        Duration::from_millis(100),
        2.0,
        [Code::Unavailable],
    );
    let policy = policy.ok().map(Arc::new);
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(plan.rate).unwrap_or(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    let mut ended = Vec::new();
    for number in 0.. {
        ticks.tick().await;
        if begin.elapsed() >= plan.length {
            break;
        }
        let policy = policy.clone().filter(|_| chance.bool());
        let timeout = Duration::from_millis(chance.u64(50..1000));
        calls.spawn(call(channel.clone(), number, policy, timeout, begin));
        while let Some(Ok(one)) = calls.try_join_next() {
            ended.push(one);
        }
    }
    while let Some(one) = calls.join_next().await {
        ended.extend(one);
    }
    ended
}

async fn call(
    channel: Channel,
    number: u64,
    policy: Option<Arc<RetryPolicy>>,
    timeout: Duration,
    begin: Instant,
) -> Ended {
    let may_repeat = policy.is_some();
    let begun = Instant::now();
    let micros = (begun - begin).as_micros();
    let name = format!("{number} {micros} {}", u8::from(may_repeat));
    let mut request = Request::new(Name { name });
    request.set_timeout(timeout);
    if let Some(policy) = policy {
        request.extensions_mut().insert(policy);
    }
    let result = GreeterClient::new(channel).greet(request).await;
    Ended {
        number,
        may_repeat,
        result: result.map(drop),
        late: begun.elapsed().saturating_sub(timeout),
    }
}

fn judge(report: &mut Report, book: &Book, ended: Vec<Ended>) {
    let carried_out = locked(&book.carried_out);
    for call in ended {
        report.latest = report.latest.max(call.late);
        let times = carried_out.get(&call.number).copied().unwrap_or_default();
        match call.may_repeat {
            true => report.repeated += u64::from(times > 1),
            false => report.twice += u64::from(times > 1),
        }
        let code = match &call.result {
            Ok(()) => Code::Ok,
            Err(status) => status.code(),
        };
        *report.codes.entry(format!("{code:?}")).or_default() += 1;
        let is_right = match code {
            Code::Ok => times > 0,
            Code::Unavailable | Code::DeadlineExceeded => true,
            _ => false,
        };
        // A list of the first is enough.
        if !is_right && report.wrong.len() < 10 {
            let what = format!("call {}: {:?}", call.number, call.result);
            report.wrong.push(what);
        }
    }
}

/// What this process holds in memory, in KiB.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
