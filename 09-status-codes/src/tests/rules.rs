//! The archive's rules: which code, and which rule comes first.

use super::*;

#[tokio::test]
async fn each_rule_for_a_page_has_its_code() {
    let url = start(ReadingRoom::default()).await;
    let mut ann = reader(url.clone());
    for (title, number, expected) in [
        ("codex", 1, Code::Ok),
        ("codex", 2, Code::DataLoss),
        ("codex", 3, Code::Ok),
        ("codex", 4, Code::OutOfRange),
        ("codex", u32::MAX, Code::OutOfRange),
        // Page 0 is wrong whatever the archive holds, so nothing else is looked at.
        ("codex", 0, Code::InvalidArgument),
        ("atlas", 0, Code::InvalidArgument),
        ("atlas", 1, Code::NotFound),
        ("", 1, Code::NotFound),
        // Where it lies is nothing for readers who may not see it.
        ("secret", 99, Code::PermissionDenied),
        // What it holds is known only when it has been brought.
        ("letters", 99, Code::FailedPrecondition),
        ("scrolls", 1, Code::FailedPrecondition),
    ] {
        let got = code(ann.read_page(page(title, number)).await);
        assert_eq!(got, expected, "page {number} of `{title}`");
    }
}

#[tokio::test]
async fn every_method_wants_a_card_that_is_known() {
    let url = start(ReadingRoom::default()).await;
    let mut nobody = ArchiveClient::new(channel(url).unwrap());
    let forged = |request| {
        let mut request = Request::new(request);
        request
            .metadata_mut()
            .insert("card", "librarian".parse().unwrap());
        request
    };
    for got in [
        code(nobody.read_page(page("codex", 1)).await),
        code(nobody.order(document("letters")).await),
        code(nobody.order(forged(document("letters"))).await),
        code(nobody.send_back(document("codex")).await),
        code(nobody.correct(correction("codex", 1, 0, "x")).await),
        code(nobody.register(document("atlas")).await),
    ] {
        assert_eq!(got, Code::Unauthenticated);
    }
}

#[tokio::test]
async fn an_order_is_unavailable_until_the_lift_is_there() {
    let mut ann = reader(start(ReadingRoom::default()).await);
    for expected in [Code::Unavailable, Code::Ok, Code::Ok] {
        assert_eq!(code(ann.order(document("letters")).await), expected);
    }
    assert_eq!(code(ann.read_page(page("letters", 1)).await), Code::Ok);
    assert_eq!(code(ann.send_back(document("letters")).await), Code::Ok);
    let read = ann.read_page(page("letters", 1)).await;
    assert_eq!(code(read), Code::FailedPrecondition);
    // The lift has gone down with it.
    for expected in [Code::Unavailable, Code::Ok] {
        assert_eq!(code(ann.order(document("letters")).await), expected);
    }
    for title in ["atlas", "secret"] {
        assert_ne!(code(ann.send_back(document(title)).await), Code::Ok);
    }
}

#[tokio::test]
async fn a_correction_of_a_page_that_has_changed_is_aborted() {
    let mut ann = reader(start(ReadingRoom::default()).await);
    let stair = || correction("codex", 1, 0, "In the beginning was a stair.");
    let corrected = ann.correct(stair()).await.unwrap().into_inner();
    assert_eq!(corrected.version, 1);
    assert_eq!(code(ann.correct(stair()).await), Code::Aborted);
    let now = ann.read_page(page("codex", 1)).await.unwrap().into_inner();
    assert_eq!(now, corrected);
    // A page that mice have eaten can be written again.
    ann.correct(correction("codex", 2, 0, "Ça va."))
        .await
        .unwrap();
    assert_eq!(code(ann.read_page(page("codex", 2)).await), Code::Ok);
}

#[tokio::test]
async fn what_a_caller_can_make_the_archive_keep_is_bounded() {
    let mut ann = reader(start(ReadingRoom::default()).await);
    for (length, expected) in [
        (0, Code::InvalidArgument),
        (1, Code::Ok),
        (10_000, Code::Ok),
        (10_001, Code::InvalidArgument),
    ] {
        let version = ann
            .read_page(page("codex", 1))
            .await
            .unwrap()
            .into_inner()
            .version;
        let text = "x".repeat(length);
        let got = code(ann.correct(correction("codex", 1, version, &text)).await);
        assert_eq!(got, expected, "a page of {length} bytes");
    }
    for (title, expected) in [
        (String::new(), Code::InvalidArgument),
        ("é".repeat(50), Code::Ok),
        ("é".repeat(51), Code::InvalidArgument),
        ("codex".to_owned(), Code::AlreadyExists),
        ("\u{1f4dc} \u{0}".to_owned(), Code::Ok),
    ] {
        let got = code(ann.register(document(&title)).await);
        assert_eq!(got, expected, "a new title of {} bytes", title.len());
    }
    // Four documents were there at first, and two are new.
    for number in 7..=100 {
        ann.register(document(&format!("volume {number}")))
            .await
            .unwrap();
    }
    let got = code(ann.register(document("volume 101")).await);
    assert_eq!(got, Code::ResourceExhausted);
}
