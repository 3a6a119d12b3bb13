//! Ends calls with 14 of the 17 codes: by the archive's rules, and by what gRPC makes of trouble.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use status_codes::proto::archive_client::ArchiveClient;
use status_codes::requests::{correction, document, page, show_card};
use status_codes::{MESSAGE_LIMIT, channel, proto::PageRange, retry::advice};
use tokio::{net::TcpListener, time::timeout};
use tonic::{Code, Request, Response, Status};

async fn run(url: String) -> Result<(), Box<dyn Error>> {
    let mut stranger = ArchiveClient::new(channel(url.clone())?);
    let mut ann = ArchiveClient::with_interceptor(channel(url)?, show_card);
    // If there is no such server, say so here. Below, every failure is what we want to see.
    ann.read_page(page("codex", 1)).await?;

    println!("   code                advice      the archive says so");
    for (title, number, what) in [
        ("codex", 0, "page 0, which no document has"),
        ("codex", 9, "page 9, while there are 3"),
        ("atlas", 1, "a title that nobody knows"),
        ("secret", 1, "a sealed document"),
        ("letters", 1, "a page that lies in the depot"),
        ("codex", 2, "a page that mice have eaten"),
    ] {
        show(what, ann.read_page(page(title, number)).await);
    }
    show("no card", stranger.read_page(page("codex", 1)).await);
    for what in ["an order, while the lift is down", "the same order again"] {
        show(what, ann.order(document("letters")).await);
    }
    ann.send_back(document("letters")).await?;
    let outdated = correction("codex", 1, u32::MAX, "In the beginning was a stair.");
    show(
        "a page that others have changed",
        ann.correct(outdated).await,
    );
    show(
        "a title that is taken",
        ann.register(document("codex")).await,
    );

    println!("   code                advice      gRPC says so");
    let mut hurried = Request::new(document("scrolls"));
    hurried.set_timeout(Duration::from_millis(100));
    show("an hour's climb, in 100 ms", ann.order(hurried).await);
    show("no handler", ann.copy_pages(PageRange::default()).await);
    let large = document(&"x".repeat(MESSAGE_LIMIT));
    show("a request of more than 4 MiB", ann.register(large).await);
    let free = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let mut nobody = ArchiveClient::new(channel(format!("http://{free}"))?);
    show("nobody listens", nobody.order(document("letters")).await);
    Ok(())
}

fn show<T>(what: &str, result: Result<Response<T>, Status>) {
    let code = result.map_or_else(|status| status.code(), |_| Code::Ok);
    let (number, name) = (code as i32, format!("{code:?}"));
    println!("{number:>2} {name:<19} {:<11} {what}", advice(code));
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
        eprintln!("this client needs the server that `cargo 09 server` starts");
    }
    ExitCode::FAILURE
}
