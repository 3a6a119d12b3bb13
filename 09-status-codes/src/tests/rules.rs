//! The archive's own rules: which code, and what a client can do about it.

use tokio_stream::once;

use super::*;
use crate::archive::Word;
use crate::provoke::{correction, document, page};
use crate::table::TABLE;

async fn read_page(archive: &mut Stub, title: &str, number: u32) -> Code {
    ending(archive.read_page(with_card(page(title, number))).await).code()
}

async fn order(archive: &mut Stub, title: &str) -> Code {
    ending(archive.order(with_card(document(title))).await).code()
}

#[tokio::test]
async fn invalid_argument_failed_precondition_and_out_of_range_are_told_apart() {
    let mut archive = stub().await;
    // No state of the archive makes this right.
    for title in ["codex", "letters", "atlas"] {
        assert_eq!(
            read_page(&mut archive, title, 0).await,
            Code::InvalidArgument
        );
    }
    // Another state would: here a longer document, there one that has been ordered.
    assert_eq!(read_page(&mut archive, "codex", 4).await, Code::OutOfRange);
    let code = read_page(&mut archive, "letters", 1).await;
    assert_eq!(code, Code::FailedPrecondition);
    while order(&mut archive, "letters").await != Code::Ok {}
    assert_eq!(read_page(&mut archive, "letters", 1).await, Code::Ok);
    assert_eq!(
        read_page(&mut archive, "letters", 2).await,
        Code::OutOfRange
    );
}

#[tokio::test]
async fn unavailable_aborted_and_failed_precondition_are_told_apart() {
    let mut archive = stub().await;
    // UNAVAILABLE: the same call again, and nothing else.
    assert_eq!(order(&mut archive, "letters").await, Code::Unavailable);
    assert_eq!(order(&mut archive, "letters").await, Code::Ok);

    // ABORTED: the same call again never helps, but reading and deciding again does.
    let first = correction("codex", 1, "Ann's text");
    archive.correct(with_card(first)).await.unwrap();
    let mut second = correction("codex", 1, "Bob's text");
    for _ in 0..3 {
        let status = ending(archive.correct(with_card(second.clone())).await);
        assert_eq!(status.code(), Code::Aborted);
    }
    let now = archive
        .read_page(with_card(page("codex", 1)))
        .await
        .unwrap();
    second.version = now.into_inner().version;
    archive.correct(with_card(second)).await.unwrap();

    // FAILED_PRECONDITION: neither helps, until something else has been done.
    archive
        .send_back(with_card(document("letters")))
        .await
        .unwrap();
    for _ in 0..3 {
        let code = read_page(&mut archive, "letters", 1).await;
        assert_eq!(code, Code::FailedPrecondition);
    }
}

#[tokio::test]
async fn unauthenticated_permission_denied_and_not_found_are_told_apart() {
    let mut archive = stub().await;
    let mut read = async |card: Option<&'static str>, title| {
        let mut request = tonic::Request::new(page(title, 1));
        if let Some(card) = card {
            request.metadata_mut().insert("card", card.parse().unwrap());
        }
        ending(archive.read_page(request).await).code()
    };
    // Who are you?
    assert_eq!(read(None, "secret").await, Code::Unauthenticated);
    assert_eq!(read(Some("forged"), "secret").await, Code::Unauthenticated);
    assert_eq!(read(None, "atlas").await, Code::Unauthenticated);
    // You are known, and may not.
    assert_eq!(read(Some("reader"), "secret").await, Code::PermissionDenied);
    // Nobody may, for there is no such thing.
    assert_eq!(read(Some("reader"), "atlas").await, Code::NotFound);
    assert_eq!(read(Some("archivist"), "atlas").await, Code::NotFound);
    // An archivist may; the sealed document has no pages yet.
    assert_eq!(read(Some("archivist"), "secret").await, Code::OutOfRange);
}

#[tokio::test]
async fn a_title_can_be_taken_and_a_page_lost() {
    let mut archive = stub().await;
    let mut register = async |title| ending(archive.register(with_card(document(title))).await);
    assert_eq!(register("").await.code(), Code::InvalidArgument);
    assert_eq!(register("codex").await.code(), Code::AlreadyExists);
    assert_eq!(register("atlas").await.code(), Code::Ok);
    assert_eq!(register("atlas").await.code(), Code::AlreadyExists);
    assert_eq!(read_page(&mut archive, "codex", 2).await, Code::DataLoss);
}

#[tokio::test]
async fn the_shelves_can_be_full() {
    let mut archive = stub().await;
    let mut registered = 0;
    let status = loop {
        let title = document(&format!("document {registered}"));
        match archive.register(with_card(title)).await {
            Ok(_) => registered += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(registered, 1000 - 5, "five are there from the beginning");
    assert_eq!(status.code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_search_answers_word_by_word() {
    let mut archive = stub().await;
    let words = once(Word {
        word: "lift".to_owned(),
    });
    let hits = archive.search(with_card(words)).await.unwrap();
    let mut hits = hits.into_inner();
    let first = hits.message().await.unwrap().unwrap();
    assert_eq!(first.pages, [page("codex", 1)]);
    assert_eq!(hits.message().await.unwrap(), None);
}

/// `statuscodes.md` promises it, so that a client knows who speaks. tonic alone breaks the promise.
#[test]
fn seven_codes_are_never_made_by_grpc_itself() {
    let never = [
        Code::InvalidArgument,
        Code::NotFound,
        Code::AlreadyExists,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::DataLoss,
    ];
    let broken = TABLE.map(|row| row.tonic);
    assert!(TABLE.iter().all(|row| !never.contains(&row.corrected)));
    assert!(broken.contains(&Code::OutOfRange));
}
