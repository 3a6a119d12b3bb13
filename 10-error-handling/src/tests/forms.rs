//! Forms in which something is wrong: everything is reported at once, and in the language of the reader.

use super::*;

#[tokio::test]
async fn three_wrong_fields_are_reported_at_once() {
    let (mut stub, mut lines) = start().await;
    let wrong = Form {
        born: 2050,
        ..good(" ", "ann")
    };
    let status = stub.register(wrong).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(wrong_fields(&status), ["name", "email", "born"]);
    let help = status.get_details_help().unwrap();
    assert_eq!(help.links[0].url, "https://club.example/form");
    assert!(lines.try_recv().is_err(), "nothing here went wrong");
}

#[tokio::test]
async fn each_field_has_its_rule() {
    let (mut stub, _lines) = start().await;
    let ann = good("Ann", "ann@club.example");
    let long = format!("ann@{}", "x".repeat(251));
    for (field, form) in [
        (
            "name",
            Form {
                name: String::new(),
                ..ann.clone()
            },
        ),
        (
            "email",
            Form {
                email: "@club".to_owned(),
                ..ann.clone()
            },
        ),
        (
            "email",
            Form {
                email: "ann@".to_owned(),
                ..ann.clone()
            },
        ),
        (
            "email",
            Form {
                email: long,
                ..ann.clone()
            },
        ),
        (
            "born",
            Form {
                born: 1899,
                ..ann.clone()
            },
        ),
        (
            "born",
            Form {
                born: 2011,
                ..ann.clone()
            },
        ),
    ] {
        let status = stub.register(form).await.unwrap_err();
        assert_eq!(wrong_fields(&status), [field]);
    }
}

#[tokio::test]
async fn every_wrong_field_of_every_form_is_reported_and_nobody_is_entered() {
    let (mut stub, mut lines) = start().await;
    let forms = vec![
        good("Ann", "ann@club.example"),
        good("", "bob"),
        good("Zoe", "zoe"),
    ];
    let status = stub.register_all(Forms { forms }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let expected = ["forms[1].name", "forms[1].email", "forms[2].email"];
    assert_eq!(wrong_fields(&status), expected);
    assert!(lines.try_recv().is_err(), "Ann has not joined");
}

#[tokio::test]
async fn people_are_told_in_their_language() {
    let (mut stub, _lines) = start().await;
    for (wish, locale, text) in [
        ("de", "de", "Zu berichtigen: 1."),
        ("en-GB, de", "en", "Entries to correct: 1."),
        ("fr, de-AT;q=0.8, en;q=0.2", "de", "Zu berichtigen: 1."),
        ("fr", "en", "Entries to correct: 1."),
    ] {
        let request = reading(wish, good("Ann", "ann"));
        let status = stub.register(request).await.unwrap_err();
        let told = status.get_details_localized_message().unwrap();
        assert_eq!((&*told.locale, &*told.message), (locale, text));
    }
    // For a program alone there is the code, and the message.
    let status = stub.register(good("Ann", "ann")).await.unwrap_err();
    assert!(status.get_details_localized_message().is_none());
}
