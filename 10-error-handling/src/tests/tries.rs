//! Invitations that are none: what is counted, for how long, and what the caller learns of it.

use tokio::time::advance;

use super::*;
use crate::error::SignupError;
use crate::tries::{LIMIT, PAUSE, Tries};

#[tokio::test]
async fn a_wrong_invitation_says_why_and_how_many_tries_are_left() {
    let (mut stub, _lines) = start().await;
    let guess = form("Ann", "ann@club.example", "open barley");
    let status = stub.register(guess).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (&*info.reason, &*info.domain),
        ("WRONG_INVITATION", "club.example")
    );
    assert_eq!(info.metadata["tries_left"], (LIMIT - 1).to_string());
}

#[tokio::test]
async fn too_many_tries_come_with_the_quota_and_the_delay() {
    let (mut stub, _lines) = start().await;
    let guess = form("Ann", "ann@club.example", "open barley");
    for _ in 0..LIMIT {
        let status = stub.register(guess.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    // Even the right one is not looked at, or guessing could go on.
    for form in [guess, good("Ann", "ann@club.example")] {
        let status = stub.register(form).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        let quota = status.get_details_quota_failure().unwrap();
        assert_eq!(quota.violations[0].subject, "invitations");
        let wait = crate::details::wait(&crate::details::read(&status)).unwrap();
        assert!(!wait.is_zero() && wait <= PAUSE, "{wait:?}");
    }
    // Others are not held up.
    stub.register(good("Bob", "bob@club.example"))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_as_told_is_looked_at_again() {
    let tries = Tries::default();
    for left in [1, 0] {
        let error = tries.check("ann", "open barley").unwrap_err();
        assert!(matches!(error, SignupError::Invitation { left: l } if l == left));
        advance(Duration::from_millis(100)).await;
    }
    let Err(SignupError::TooManyTries { wait }) = tries.check("ann", INVITATION) else {
        panic!("the third try is one too many");
    };
    assert_eq!(wait, PAUSE - Duration::from_millis(100));
    advance(wait - Duration::from_millis(1)).await;
    assert!(tries.check("ann", INVITATION).is_err());
    advance(Duration::from_millis(1)).await;
    tries.check("ann", INVITATION).unwrap();
    // A good invitation makes up for the tries before it.
    tries.check("ann", "open barley").unwrap_err();
    tries.check("ann", INVITATION).unwrap();
    let error = tries.check("ann", "open barley").unwrap_err();
    assert!(matches!(error, SignupError::Invitation { left: 1 }));
}
