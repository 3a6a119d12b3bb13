//! What a channel allocates for its calls it gives back, however they end.
//!
//! Client and servers share one thread, and the counter counts what that thread allocates and frees.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conform::channel::Channel;
use conform::resolver::{Backend, Manual, Update};
use futures::future::join_all;
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Request, Response, Status};

const CONFIG: &str = r#"{
    "loadBalancingConfig": [{ "outlier_detection_experimental": {
        "failurePercentageEjection": { "threshold": 100 },
        "childPolicy": [{ "least_request_experimental": {} }]
    } }],
    "methodConfig": [{
        "name": [{ "method": "Greet", "service": "greeter.v1.Greeter" }],
        "timeout": "0.03s",
        "waitForReady": true,
        "maxResponseMessageBytes": 1000,
        "retryPolicy": {
            "maxAttempts": 3,
            "initialBackoff": "0.001s",
            "maxBackoff": "0.001s",
            "backoffMultiplier": 1,
            "retryableStatusCodes": ["ABORTED"]
        }
    }]
}"#;

/// More than this is no rounding: it's bytes for each call.
const MOST_BYTES_PER_CALL: f64 = 4.0;

/// Does what the name says.
#[derive(Clone, Default)]
struct Moody {
    attempts: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Greeter for Moody {
    async fn greet(&self, request: Request<Name>) -> Result<Response<Greeting>, Status> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let text = match request.get_ref().name.as_str() {
            "abort" => return Err(Status::aborted("again")),
            "hang" => std::future::pending().await,
            "long" => "long ".repeat(1000),
            name => name.to_owned(),
        };
        Ok(Response::new(Greeting { text }))
    }
}

async fn serve(moody: Moody) -> std::io::Result<Backend> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let backend = Backend::new(listener.local_addr()?);
    tokio::spawn(
        conform::server::builder()
            .add_service(GreeterServer::new(moody))
            .serve_with_incoming(conform::server::incoming(listener)),
    );
    Ok(backend)
}

struct World {
    fleet: Manual,
    backends: Vec<Backend>,
    stub: GreeterClient<Channel>,
    calls: usize,
    /// The servers, the channel, its resolver.
    idle_tasks: usize,
}

impl World {
    /// Calls of each kind, over connections that come and go.
    async fn round(&mut self) {
        for backends in [&self.backends[..1], &self.backends[1..], &self.backends[..]] {
            self.fleet.set(Update::new(backends.to_vec()));
            let calls = ["Ann", "abort", "hang", "long"].map(|name| {
                let mut stub = self.stub.clone();
                async move {
                    let result = stub.greet(Name { name: name.into() }).await;
                    let code = result.map_or_else(|status| status.code(), |_| Code::Ok);
                    (name, code)
                }
            });
            self.calls += calls.len();
            for (name, code) in join_all(calls).await {
                let expected = match name {
                    "Ann" => Code::Ok,
                    "abort" => Code::Aborted,
                    "hang" => Code::DeadlineExceeded,
                    _ => Code::ResourceExhausted,
                };
                // It may be late on a busy machine.
                assert!(
                    code == expected || code == Code::DeadlineExceeded,
                    "{name}: {code:?}"
                );
            }
            // One that its caller breaks off.
            let mut stub = self.stub.clone();
            let call = stub.greet(Name {
                name: "hang".into(),
            });
            let _ = tokio::time::timeout(Duration::from_millis(1), call).await;
            self.calls += 1;
        }
    }
}

/// Ends without a connection, which would hold buffers.
fn rounds(runtime: &Runtime, world: &mut World, count: usize) {
    runtime.block_on(async {
        for _ in 0..count {
            world.round().await;
        }
        world.fleet.set(Update::new([]));
        let idle = async {
            while runtime.metrics().num_alive_tasks() > world.idle_tasks {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let idle = tokio::time::timeout(Duration::from_secs(20), idle).await;
        assert!(idle.is_ok(), "there are still connections");
    });
}

#[test]
fn calls_leave_nothing_behind() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let moody = Moody::default();
    let fleet = Manual::new("fleet");
    let mut world = runtime.block_on(async {
        let backends = vec![serve(moody.clone()).await?, serve(moody.clone()).await?];
        let channel = Channel::builder("fleet:test")
            .scheme(fleet.clone())
            .service_config(CONFIG)
            .connect_lazy()?;
        let stub = GreeterClient::new(channel);
        Ok::<_, Box<dyn Error>>(World {
            fleet,
            backends,
            stub,
            calls: 0,
            idle_tasks: 4,
        })
    })?;
    rounds(&runtime, &mut world, 10);
    world.calls = 0;
    let counted = allocation_counter::measure(|| rounds(&runtime, &mut world, 30));
    let per_call = counted.bytes_current as f64 / world.calls as f64;
    println!(
        "{per_call:.1} bytes a call, of {} allocated",
        counted.bytes_total
    );
    assert!(
        per_call <= MOST_BYTES_PER_CALL,
        "{per_call} bytes a call stay"
    );
    assert!(
        moody.attempts.load(Ordering::Relaxed) > world.calls,
        "some were made again"
    );
    Ok(())
}
