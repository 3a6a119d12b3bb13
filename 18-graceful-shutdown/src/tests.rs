//! What is lost when a server is replaced: nothing if it drains. And the exercises.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::thread::{self, JoinHandle};

use conform::status::explain;
use server_streaming::proto::calculator_client::CalculatorClient;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, Receiver, UnboundedSender};
use tokio::time::Instant;
use tonic::Code;
use wire::testing::{framed, post, soon};

use super::*;
use crate::load::{Connection, connect, connect_patiently, follow_primes, make_calls};
use crate::proto::restart_client::RestartClient;

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_loses_none_of_ten_thousand_calls() {
    let socket = Socket::open();
    let mut server = socket.serve();
    let calculator = socket.calculator().await;
    let mut primes = Vec::new();
    let mut streams = 0;
    // As long as the calls take. A stream that nobody ends has ten seconds.
    let replacing = async {
        loop {
            sleep(millis(1000)).await;
            let old = std::mem::replace(&mut server, socket.serve());
            old.signal();
            thread::spawn(|| old.ended());
        }
    };
    let stream = follow_primes(calculator.clone(), 2, |prime, number| {
        primes.push(prime);
        streams = number;
    });
    let answers = tokio::select! {
        answers = make_calls(&calculator, 10_000, millis(1)) => answers,
        end = stream => panic!("the stream ended: {end:?}"),
        () = replacing => unreachable!(),
    };
    assert_eq!(answers.iter().filter(|count| **count != 1).count(), 0);
    assert_eq!(answers.len(), 10_000);
    assert!(streams >= 9, "one stream for each server: {streams}");
    let expected: Vec<_> = (2..)
        .filter(|it| is_prime(*it))
        .take(primes.len())
        .collect();
    assert_eq!(primes, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_loses_calls_and_a_stream_goes_on_without_a_gap() {
    let socket = Socket::open();
    let server = socket.serve();
    let calculator = socket.calculator().await;
    let mut primes = Vec::new();
    let stream = follow_primes(calculator.clone(), 2, |prime, _| primes.push(prime));
    let mut other = None;
    let killing = async {
        sleep(millis(500)).await;
        other = Some(socket.serve());
        server.kill();
        std::future::pending::<()>().await;
    };
    let answers = tokio::select! {
        answers = make_calls(&calculator, 400, millis(5)) => answers,
        end = stream => panic!("the stream ended: {end:?}"),
        () = killing => unreachable!(),
    };
    let lost = answers.iter().filter(|count| **count == 0).count();
    assert!((1..100).contains(&lost), "{lost} lost");
    assert!(answers.iter().all(|count| *count <= 1));
    let expected: Vec<_> = (2..)
        .filter(|it| is_prime(*it))
        .take(primes.len())
        .collect();
    assert_eq!(primes, expected);
}

#[tokio::test]
async fn it_says_not_serving_then_goaway_and_then_it_has_drained() {
    let socket = Socket::open();
    let mut server = socket.serve();
    let mut calculator = socket.calculator().await;
    calculator
        .square_root(Number { value: 16.0 })
        .await
        .unwrap();
    server.signal();
    for line in ["NOT_SERVING", "GOAWAY"] {
        assert_eq!(soon(line, server.lines.recv()).await.unwrap(), line);
    }
    let ended = tokio::task::spawn_blocking(|| server.ended());
    assert_eq!(ended.await.unwrap(), Some(Ended::Drained));
}

#[tokio::test]
async fn a_server_is_replaced_in_a_way_that_it_knows() {
    let socket = Socket::open();
    let mut server = socket.serve();
    let mut restart = RestartClient::new(connect(socket.url()).await.unwrap());
    let refused = restart.replace(ReplaceRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let way = Way::Drain.into();
    restart.replace(ReplaceRequest { way }).await.unwrap();
    let line = soon("the way", server.lines.recv()).await.unwrap();
    assert_eq!(Way::from_str_name(&line), Some(Way::Drain));
}

#[cfg(unix)]
#[tokio::test]
async fn a_worker_drains_at_sigterm_and_not_at_sigint() {
    use futures::FutureExt;
    use rustix::process::{self, getpid, kill_process};

    let mut heard = Signals::new().unwrap();
    let mut sigterm = pin!(sigterm().unwrap());
    for signal in [process::Signal::INT, process::Signal::TERM] {
        kill_process(getpid(), signal).unwrap();
        soon("the signal", heard.next()).await.unwrap();
    }
    assert!(sigterm.next().now_or_never().is_some());
    assert!(sigterm.next().now_or_never().is_none());
}

#[tokio::test]
async fn primes_have_an_end() {
    let socket = Socket::open();
    let _server = socket.serve();
    let mut calculator = socket.calculator().await;
    for (from, expected) in [(999_983, Some(999_983)), (LAST, None), (u64::MAX, None)] {
        let primes = calculator.primes(Integer { value: from }).await;
        let mut primes = primes.unwrap().into_inner();
        let first = soon("a prime or the end", primes.message()).await.unwrap();
        assert_eq!(first.map(|prime| prime.value), expected, "from {from}");
    }
}

#[tokio::test]
#[ignore = "exercise 1: the last line"]
async fn exercise_1_says_at_the_end_how_many_roots_it_found() {
    for roots in [3, 5] {
        let socket = Socket::open();
        let mut server = socket.serve();
        let mut calculator = socket.calculator().await;
        for _ in 0..roots {
            let root = calculator.square_root(Number { value: 16.0 }).await;
            root.unwrap_or_else(|status| panic!("SquareRoot: {}", explain(&status)));
        }
        let refused = calculator.square_root(Number { value: -4.0 }).await;
        assert!(refused.is_err(), "the root of -4");
        server.signal();
        let mut lines = Vec::new();
        while let Some(line) = soon("the end of the log", server.lines.recv()).await {
            lines.push(line);
        }
        let expected = format!("{roots} roots found");
        let last = lines.last().map(String::as_str);
        assert_eq!(
            last,
            Some(&*expected),
            "the log's last line (left: yours); all: {lines:?}"
        );
    }
}

#[tokio::test]
#[ignore = "exercise 2: wait for the new server"]
async fn exercise_2_waits_until_somebody_listens() {
    let socket = Socket::open();
    let url = socket.url();
    let address = socket.0.local_addr().unwrap();
    drop(socket);
    let begin = Instant::now();
    let late = connect_patiently(&url, millis(300)).await;
    let code = late.err().map(|status| status.code());
    assert_eq!(
        code,
        Some(Code::Unavailable),
        "nobody listens (left: yours)"
    );
    let took = begin.elapsed();
    assert!(
        (millis(300)..millis(3_000)).contains(&took),
        "it gave up after {took:?}"
    );

    let later = async {
        sleep(millis(500)).await;
        Socket::at(address).serve()
    };
    let what = "connect_patiently, though somebody listens by now";
    let connecting = soon(what, connect_patiently(&url, Duration::from_secs(60)));
    let (_server, connected) = tokio::join!(later, connecting);
    let connection = connected.unwrap_or_else(|status| panic!("{}", explain(&status)));
    let mut calculator = CalculatorClient::new(connection);
    let root = calculator.square_root(Number { value: 16.0 });
    assert_eq!(root.await.unwrap().into_inner().value, 4.0);
}

#[tokio::test]
#[ignore = "exercise 3: is it about to go?"]
async fn exercise_3_tells_whether_it_is_about_to_go() {
    let socket = Socket::open();
    let mut server = socket.serve();
    let ask = async || {
        let reply = post(&socket.url(), "/restart.v1.Restart/State", framed(b"")).await;
        assert_eq!(reply.status(), Some("OK"), "State ended with (left: yours)");
        reply.messages.concat()
    };
    assert_eq!(
        ask().await,
        b"",
        "the bytes of State at first: false is left out"
    );
    server.signal();
    let line = soon("the line NOT_SERVING", server.lines.recv()).await;
    assert_eq!(line.as_deref(), Some("NOT_SERVING"));
    assert_eq!(ask().await, [8, 1], "the bytes of State after NOT_SERVING");
}

/// A listening socket that outlives its servers.
struct Socket(StdListener);

impl Socket {
    fn open() -> Self {
        Self::at(([127, 0, 0, 1], 0).into())
    }

    fn at(address: SocketAddr) -> Self {
        let listener = StdListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    async fn calculator(&self) -> CalculatorClient<Connection> {
        CalculatorClient::new(connect(self.url()).await.unwrap())
    }

    /// The lesson's server on this socket, in a runtime of its own as in a process of its own.
    fn serve(&self) -> Running {
        let listener = self.0.try_clone().unwrap();
        let (log, lines) = mpsc::channel(64);
        let (signal, mut signals) = mpsc::unbounded_channel::<()>();
        let (kill, mut killed) = mpsc::unbounded_channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = Runtime::new().unwrap();
            runtime.block_on(async {
                let signals = stream::poll_fn(move |context| signals.poll_recv(context));
                let served = serve(listener.try_into().unwrap(), log, signals);
                tokio::select! {
                    served = served => Some(served.unwrap()),
                    // Its connections close with the runtime.
                    _ = killed.recv() => None,
                }
            })
        });
        Running {
            signal,
            kill,
            lines,
            thread,
        }
    }
}

struct Running {
    signal: UnboundedSender<()>,
    kill: UnboundedSender<()>,
    lines: Receiver<String>,
    thread: JoinHandle<Option<Ended>>,
}

impl Running {
    fn signal(&self) {
        self.signal.send(()).unwrap();
    }

    fn kill(&self) {
        self.kill.send(()).unwrap();
    }

    fn ended(self) -> Option<Ended> {
        self.thread.join().unwrap()
    }
}

#[tokio::test]
async fn a_socket_without_a_server_keeps_connections_for_the_next_one() {
    let socket = Socket::open();
    let url = socket.url();
    let calling = tokio::spawn(async move {
        let calculator = connect(url).await.unwrap();
        CalculatorClient::new(calculator)
            .square_root(Number { value: 16.0 })
            .await
    });
    sleep(millis(100)).await;
    assert!(!calling.is_finished());
    let _server = socket.serve();
    let root = soon("the answer", calling).await.unwrap().unwrap();
    assert_eq!(root.into_inner().value, 4.0);
}
