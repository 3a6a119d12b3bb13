//! Ends calls in all 17 ways: by the archive's rules, and by what gRPC itself makes of trouble.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::iter;
use std::process::ExitCode;

use status_codes::archive::Correction;
use status_codes::archive::archive_client::ArchiveClient;
use status_codes::provoke::{correction, document, ending, page, provoke, with_card};
use status_codes::retry::advice;
use status_codes::table::TABLE;
use status_codes::{Connection, corrected};
use tonic::codegen::StdError;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

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

async fn run(url: &str) -> Result<(), StdError> {
    let server = Endpoint::from_shared(url.to_owned())?;
    // If there is no server, say so here. Below, every failure is what we want to see.
    server.connect().await?;
    let mut seen = BTreeSet::new();

    println!("   code                again?     by the rules of the archive");
    by_rules(&mut ArchiveClient::new(corrected(&server)), &mut seen).await?;
    println!("   code                again?     by gRPC itself");
    for row in TABLE {
        let status = provoke(row.case, &server, corrected).await?;
        print(&status, row.words, &mut seen);
    }
    println!("{} of 17 codes", seen.len());
    Ok(())
}

async fn by_rules(
    archive: &mut ArchiveClient<Connection>,
    seen: &mut BTreeSet<i32>,
) -> Result<(), StdError> {
    for (request, words) in [
        (with_card(page("codex", 1)), "page 1 of the codex"),
        (with_card(page("codex", 0)), "page 0, which nothing has"),
        (with_card(page("codex", 9)), "page 9, while there are 3"),
        (
            with_card(page("letters", 1)),
            "a page that lies in the depot",
        ),
        (
            Request::new(page("secret", 1)),
            "a sealed document, without a card",
        ),
        (
            with_card(page("secret", 1)),
            "the same, with a reader's card",
        ),
        (with_card(page("atlas", 1)), "a title that nobody knows"),
        (with_card(page("codex", 2)), "page 2, which mice have eaten"),
    ] {
        let status = ending(archive.read_page(request).await);
        print(&status, words, seen);
    }
    let status = ending(archive.register(with_card(document("codex"))).await);
    print(&status, "a new document with a title that is taken", seen);

    for words in ["an order, while the lift is down", "the same order again"] {
        let status = ending(archive.order(with_card(document("letters"))).await);
        print(&status, words, seen);
    }
    archive.send_back(with_card(document("letters"))).await?;

    let now = archive.read_page(with_card(page("codex", 1))).await?;
    let correction = Correction {
        version: now.into_inner().version,
        ..correction("codex", 1, "In the beginning there was a lift.")
    };
    for words in [
        "a correction to a page just read",
        "another one, without reading again",
    ] {
        let status = ending(archive.correct(with_card(correction.clone())).await);
        print(&status, words, seen);
    }
    Ok(())
}

fn print(status: &Status, words: &str, seen: &mut BTreeSet<i32>) {
    let code = status.code();
    let (number, again) = (code as i32, advice(code));
    println!(
        "{number:>2} {:<19} {again:<10} {words}",
        format!("{code:?}")
    );
    seen.insert(number);
}

/// The first cause of an error. What tonic says itself is no more than "transport error".
fn reason<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    iter::successors(Some(error), |&error| error.source())
        .last()
        .unwrap_or(error)
}
