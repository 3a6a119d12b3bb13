//! How long a unary call takes: direct, through a plain TCP copy, and through the wire view.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use wire::Tap;

use self::service::{Client, ann};

#[allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "shared with the tests"
)]
#[path = "../src/tests/service.rs"]
mod service;

/// Each way is measured this many times, in turn, so that what else the machine does hits all of
/// them.
const ROUNDS: usize = 20;

/// Calls of one round, one after the other.
const CALLS: usize = 300;

/// Calls of one round, this many at the same time.
const AT_ONCE: usize = 32;

struct Way {
    name: &'static str,
    greeter: Client,
    latencies: Vec<Duration>,
    together: Duration,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?.to_string();
    tokio::spawn(service::serve(listener));

    let tap = Tap::start(&server).await?;
    let plain = format!("http://{}", copy(server.clone()).await?);
    let file = env::temp_dir().join(format!("wire-{}.txt", std::process::id()));
    let (mut program, printing) = program(&server, &file)?;

    let mut ways = Vec::new();
    for (name, url) in [
        ("direct", format!("http://{server}")),
        ("plain TCP copy", plain),
        ("wire, not printing", tap.url()),
        ("wire, printing to a file", printing),
    ] {
        ways.push(Way {
            name,
            greeter: Client::connect(url).await?,
            latencies: Vec::new(),
            together: Duration::ZERO,
        });
    }
    for round in 0..=ROUNDS {
        for way in &mut ways {
            measure(way).await?;
            if round == 0 {
                // To warm up.
                way.latencies.clear();
                way.together = Duration::ZERO;
            }
        }
    }
    program.kill()?;
    program.wait()?;
    let printed = fs::metadata(&file)?.len();
    fs::remove_file(&file)?;

    let plain = ways[1].median();
    println!("                          median latency   calls a second   against the copy");
    for way in &mut ways {
        let median = way.median();
        println!(
            "{:<24} {:>12} µs {:>16.0} {:>18.2}",
            way.name,
            median.as_micros(),
            (ROUNDS * CALLS) as f64 / way.together.as_secs_f64(),
            median.as_secs_f64() / plain.as_secs_f64(),
        );
    }
    println!("{printed} bytes were printed");
    Ok(())
}

impl Way {
    fn median(&mut self) -> Duration {
        self.latencies.sort();
        self.latencies[self.latencies.len() / 2]
    }
}

async fn measure(way: &mut Way) -> Result<(), Box<dyn Error>> {
    for _ in 0..CALLS {
        let begin = Instant::now();
        call(way.greeter.clone()).await?;
        way.latencies.push(begin.elapsed());
    }
    let begin = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..AT_ONCE {
        let greeter = way.greeter.clone();
        calls.spawn(async move {
            for _ in 0..CALLS / AT_ONCE + 1 {
                call(greeter.clone()).await?;
            }
            Ok::<_, tonic::Status>(())
        });
    }
    while let Some(done) = calls.join_next().await {
        done??;
    }
    // As many calls as one after the other, but for the last of each task.
    let made = AT_ONCE * (CALLS / AT_ONCE + 1);
    way.together += begin.elapsed().mul_f64(CALLS as f64 / made as f64);
    Ok(())
}

async fn call(mut greeter: Client) -> Result<(), tonic::Status> {
    greeter.say_hello(ann()).await?;
    Ok(())
}

/// A proxy that does nothing but copy.
async fn copy(server: String) -> Result<std::net::SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await?;
                client.set_nodelay(true)?;
                server.set_nodelay(true)?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    Ok(address)
}

/// Starts the program itself, and returns where it listens.
fn program(server: &str, file: &std::path::Path) -> Result<(Child, String), Box<dyn Error>> {
    let child = Command::new(env!("CARGO_BIN_EXE_wire"))
        .args(["--listen", "127.0.0.1:0", "--to", server])
        .stdout(Stdio::from(File::create(file)?))
        .spawn()?;
    for _ in 0..1000 {
        let mut first = String::new();
        BufReader::new(File::open(file)?).read_line(&mut first)?;
        let address = first
            .strip_prefix("listening on ")
            .and_then(|rest| rest.split_once(','));
        if let Some((address, _)) = address {
            return Ok((child, format!("http://{address}")));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err("the program did not start".into())
}
