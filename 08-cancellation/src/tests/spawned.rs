//! What a handler spawns: a task that goes on without it, and two that do not.

use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tonic::Request;

use super::*;
use crate::bank::Checksum;
use crate::bank::bank_server::Bank;
use crate::journal::Entry;

type Work = fn(Desks, Entry) -> BoxFuture<'static, ()>;

/// Answers every `Audit` when one prepared piece of work is done.
struct Prepared {
    work: Work,
    desks: Desks,
    journal: Journal,
}

#[tonic::async_trait]
impl Bank for Prepared {
    async fn audit(&self, _: Request<Pages>) -> Result<Response<Checksum>, Status> {
        let _handler = Entry::new(&self.journal, "handler".to_owned());
        let entry = Entry::begin(&self.journal, "work".to_owned());
        (self.work)(self.desks.clone(), entry).await;
        Ok(Response::new(Checksum::default()))
    }
}

/// The work itself: it waits for a clerk, and is then done.
async fn wait(desks: Desks, mut entry: Entry) {
    desks.clerk().await;
    entry.becomes("done");
}

/// Hangs up on `work` while it waits for a clerk, and returns the desks.
async fn hang_up_on(work: Work) -> (Desks, Lines) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap()));
    let (journal, mut lines) = mpsc::unbounded_channel();
    let desks = Desks::default();
    desks.set(false);
    let bank = Prepared {
        work,
        desks: desks.clone(),
        journal: Journal::new(journal),
    };
    let server = Server::builder().add_service(BankServer::new(bank));
    tokio::spawn(server.serve_with_incoming(incoming(listener)));
    let mut stub = Stub::new(endpoint.unwrap().connect_lazy());
    let call = stub.audit(Pages::default());
    hang_up_at(&mut lines, "work: begins", call)
        .await
        .unwrap_err();
    (desks, lines)
}

#[tokio::test]
async fn a_spawned_task_goes_on_without_its_call() {
    let (desks, mut lines) = hang_up_on(|desks, entry| {
        Box::pin(async { tokio::spawn(wait(desks, entry)).await.unwrap() })
    })
    .await;
    expect(&mut lines, &["handler: stopped"]).await;
    desks.set(true);
    expect(&mut lines, &["work: done"]).await;
}

#[tokio::test]
async fn a_task_in_a_join_set_stops_with_its_call() {
    let (_desks, mut lines) = hang_up_on(|desks, entry| {
        Box::pin(async {
            let mut tasks = JoinSet::new();
            tasks.spawn(wait(desks, entry));
            tasks.join_all().await;
        })
    })
    .await;
    expect_both(&mut lines, ["handler: stopped", "work: stopped"]).await;
}

#[tokio::test]
async fn a_task_with_a_token_stops_with_its_call() {
    let (_desks, mut lines) = hang_up_on(|desks, entry| {
        Box::pin(async {
            let token = CancellationToken::new();
            let _guard = token.clone().drop_guard();
            let work = token.run_until_cancelled_owned(wait(desks, entry));
            tokio::spawn(work).await.unwrap();
        })
    })
    .await;
    expect_both(&mut lines, ["handler: stopped", "work: stopped"]).await;
}

/// These lines come next, in either order: two tasks write them.
async fn expect_both(lines: &mut Lines, expected: [&str; 2]) {
    let mut got = [
        soon(lines.recv()).await.unwrap(),
        soon(lines.recv()).await.unwrap(),
    ];
    got.sort();
    assert_eq!(got, expected);
}
