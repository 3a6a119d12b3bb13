//! Makes every mistake that the form allows, and calls a broken server; reads what comes back.

use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;

use error_handling::broken;
use error_handling::details::{read, wait};
use error_handling::harmless::harmless;
use error_handling::signup::signup_client::SignupClient;
use error_handling::signup::{Departure, Form, Forms, Membership};
use error_handling::tries::{INVITATION, LIMIT};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

#[tokio::main]
async fn main() -> ExitCode {
    let url = env::args()
        .nth(1)
        .unwrap_or_else(|| "http://127.0.0.1:50051".to_owned());
    match run(&url).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("calling {url} failed: {}", reason(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(url: &str) -> Result<(), Box<dyn Error>> {
    let channel = Channel::from_shared(url.to_owned())?.connect().await?;
    let mut office = SignupClient::new(harmless(channel));

    println!("three wrong fields, for a reader of German:");
    let mut request = Request::new(form(" ", "ann", ""));
    request.get_mut().born = 2050;
    let languages = "de-AT, en".parse()?;
    request.metadata_mut().insert("accept-language", languages);
    show(office.register(request).await);

    println!("guessing the invitation until told to wait:");
    for _ in 0..=LIMIT {
        let guess = form("Ann", "ann@club.example", "open barley");
        if let Err(status) = office.register(guess).await
            && let Some(pause) = wait(&read(&status))
        {
            show_error(&status);
            sleep(pause).await;
        }
    }

    println!("the right one, and three errors that are not the caller's:");
    for (name, email) in [
        ("Ann", "ann@club.example"),
        ("Pat O'Hara", "pat@club.example"),
        ("Bob", "bob@overseas.example"),
        ("Åsa", "asa@club.example"),
    ] {
        show(office.register(form(name, email, INVITATION)).await);
    }

    println!("three forms at once:");
    let forms = vec![
        form("Bob", "bob@club.example", INVITATION),
        form("Eve", "eve@club.example", "open barley"),
        form("Zoe", "zoe@club.example", INVITATION),
    ];
    show_all(office.register_all(Forms { forms }).await?).await;

    println!("a broken server:");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(broken::serve(listener));
    let mut broken = SignupClient::new(harmless(Channel::from_shared(url)?.connect_lazy()));
    show(broken.register(Form::default()).await);
    show_all(broken.register_all(Forms::default()).await?).await;
    if let Err(status) = broken.leave(Departure::default()).await {
        show_error(&status);
    }
    Ok(())
}

fn form(name: &str, email: &str, invitation: &str) -> Form {
    Form {
        name: name.to_owned(),
        email: email.to_owned(),
        born: 1990,
        invitation: invitation.to_owned(),
    }
}

fn show(answer: Result<Response<Membership>, Status>) {
    match answer {
        Ok(membership) => println!("  card {}", membership.into_inner().card),
        Err(status) => show_error(&status),
    }
}

async fn show_all(mut answers: Response<Streaming<Membership>>) {
    while let Some(answer) = answers.get_mut().message().await.transpose() {
        show(answer.map(Response::new));
    }
}

fn show_error(status: &Status) {
    println!("  {:?}: {}", status.code(), status.message());
    for line in read(status).iter().flat_map(|detail| detail.lines()) {
        println!("    {line}");
    }
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
