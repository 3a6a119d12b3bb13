//! Sends forms that fail in every way, and prints what the office says to that.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use conform::status::escape;
use error_handling::proto::signup::Form;
use error_handling::proto::signup::signup_client::SignupClient;
use error_handling::{connect, details::wrong_fields};
use tokio::time::timeout;
use tonic::Status;
use tonic_types::StatusExt;

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let mut office = SignupClient::new(connect(url)?);
    for (what, name, email) in [
        ("no mistake", "Ann", "ann@club.example"),
        ("two mistakes", " ", "ann"),
        ("no such mailbox", "Dan", "dan@nowhere.example"),
        ("the mail server is full", "Cay", "cay@flooded.example"),
        ("it refuses the office", "Bob", "bob@overseas.example"),
        ("the database fails", "Pat O'Hara", "pat@club.example"),
    ] {
        let form = Form {
            name: name.into(),
            email: email.into(),
            year_of_birth: 1990,
        };
        match office.register(form).await {
            Ok(member) => println!("{what}:\n  card {}", escape(&member.into_inner().card)),
            // Every error of the office has details. This one comes from somewhere else.
            Err(status) if status.details().is_empty() => return Err(status.into()),
            Err(status) => show(what, &status),
        }
    }
    Ok(())
}

fn show(what: &str, status: &Status) {
    println!("{what}:\n  {}", conform::status::explain(status));
    for (field, what) in wrong_fields(status) {
        println!("    {} {}", escape(&field), escape(&what));
    }
    let details = status.get_error_details();
    if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
        println!("    try again in {delay:?}");
    }
    if let Some(info) = details.request_info() {
        println!("    ask for {}", escape(&info.request_id));
    }
}

// The rest is the same in every client.

#[tokio::main(flavor = "current_thread")] // A flood of replies can't hold up the timer then.
async fn main() -> ExitCode {
    let url = env::args().nth(1);
    let url = url.unwrap_or("http://127.0.0.1:50051".into());
    let result = if url.starts_with("http://") {
        let run = conform::error_details::catch_malformed(run(url.clone()));
        let run = timeout(Duration::from_secs(30), run).await;
        run.unwrap_or(Err("no answer within 30 seconds".into()))
    } else {
        Err("the URL must begin with http:// (https:// is for lesson 14)".into())
    };
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let cause = conform::status::explain(&*error);
    eprintln!("calling {url} failed: {cause}");
    if conform::status::may_be_wrong_server(&*error) {
        eprintln!("this client needs the server that `cargo 10 server` starts");
    }
    ExitCode::FAILURE
}
