//! How often a token is fetched, and when.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, advance, sleep};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A cache whose tokens are `token 1`, `token 2` and so on, and how many there were.
fn counted(valid_for: Duration, takes: Duration) -> (TokenCache, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let cache = TokenCache::new(move || {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            sleep(takes).await;
            Ok(FetchedToken::new(format!("token {number}"), valid_for))
        }
    });
    (cache, count)
}

async fn ask(cache: &TokenCache) -> Result<MetadataMap, Status> {
    let call = CallInfo {
        service_url: String::new(),
        method: String::new(),
    };
    cache.metadata(&call).await
}

async fn token(cache: &TokenCache) -> String {
    let metadata = ask(cache).await.unwrap();
    metadata
        .get("authorization")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_at_once_fetch_one_token() {
    let (cache, count) = counted(HOUR, Duration::from_secs(1));
    let begin = Instant::now();
    let tokens = join_all((0..100).map(|_| token(&cache))).await;
    assert_eq!(tokens, ["Bearer token 1"; 100]);
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "they wait together"
    );
    let clone = cache.clone();
    assert_eq!(token(&clone).await, "Bearer token 1");
    // Nor is another one on its way.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_expires_and_nobody_waits_for_it() {
    let (cache, count) = counted(HOUR, Duration::from_secs(1));
    token(&cache).await;
    advance(HOUR - RENEW_BEFORE - Duration::from_secs(2)).await;
    assert_eq!(token(&cache).await, "Bearer token 1");
    assert_eq!(count.load(Ordering::SeqCst), 1, "too early");
    advance(Duration::from_secs(2)).await;
    let begin = Instant::now();
    assert_eq!(token(&cache).await, "Bearer token 1");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(token(&cache).await, "Bearer token 2");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_never_sent() {
    let (cache, _) = counted(HOUR, Duration::from_secs(1));
    token(&cache).await;
    advance(HOUR).await;
    assert_eq!(token(&cache).await, "Bearer token 2");
}

#[tokio::test(start_paused = true)]
async fn a_short_lived_token_is_renewed_at_half_of_its_time() {
    let (cache, count) = counted(Duration::from_secs(20), Duration::ZERO);
    token(&cache).await;
    advance(Duration::from_secs(9)).await;
    token(&cache).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
    advance(Duration::from_secs(2)).await;
    token(&cache).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn how_early_it_is_renewed_can_be_set() {
    let (cache, count) = counted(HOUR, Duration::ZERO);
    // Also by a clone: there's one cache.
    let _ = cache.clone().renew_before(Duration::from_secs(600));
    assert!(format!("{cache:?}").contains("renew_before: 600s"));
    token(&cache).await;
    advance(HOUR - Duration::from_secs(599)).await;
    token(&cache).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_may_be_valid_for_ever() {
    let (cache, count) = counted(Duration::MAX, Duration::ZERO);
    assert_eq!(token(&cache).await, "Bearer token 1");
    // Which is a year.
    advance(HOUR * 24 * 364).await;
    assert_eq!(token(&cache).await, "Bearer token 1");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_all_who_wait_and_is_not_asked_for_again_at_once() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let cache = TokenCache::new(move || {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            sleep(Duration::from_millis(10)).await;
            match number {
                1 => Err(Status::unavailable("the desk is closed")),
                _ => Ok(FetchedToken::new("token", HOUR)),
            }
        }
    });
    let answers = join_all((0..100).map(|_| ask(&cache))).await;
    for answer in answers {
        assert_eq!(answer.unwrap_err().message(), "the desk is closed");
    }
    // A flood of calls doesn't become a flood at the desk.
    for _ in 0..100 {
        assert!(ask(&cache).await.is_err());
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    advance(PAUSE).await;
    assert_eq!(token(&cache).await, "Bearer token");
}

#[tokio::test(start_paused = true)]
async fn while_a_token_is_valid_a_failure_to_renew_it_fails_no_call() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let cache = TokenCache::new(move || {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            match number {
                0 => Ok(FetchedToken::new("token", HOUR)),
                _ => Err(Status::unavailable("the desk is closed")),
            }
        }
    });
    token(&cache).await;
    advance(HOUR - Duration::from_secs(10)).await;
    for _ in 0..3 {
        assert_eq!(token(&cache).await, "Bearer token");
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
    advance(Duration::from_secs(10)).await;
    assert!(ask(&cache).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn fetching_is_bounded_in_time() {
    let (cache, _) = counted(HOUR, HOUR);
    let begin = Instant::now();
    let status = ask(&cache).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "fetching a token took too long");
    let took = begin.elapsed();
    assert!(
        took >= FETCH_TIMEOUT && took < FETCH_TIMEOUT * 2,
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_token_that_is_no_header_are_errors() {
    let cache = TokenCache::new(|| async { panic!("on purpose") });
    let status = ask(&cache).await.unwrap_err();
    assert_eq!(status.message(), "fetching a token panicked");
    let cache = TokenCache::new(|| async { Ok(FetchedToken::new("a\nb", HOUR)) });
    let status = ask(&cache).await.unwrap_err();
    assert_eq!(status.message(), "a token has to be printable ASCII");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cancelled_while_it_waits_stops_nothing() {
    let (cache, count) = counted(HOUR, Duration::from_secs(5));
    let waits = tokio::time::timeout(Duration::from_secs(1), token(&cache));
    waits.await.unwrap_err();
    sleep(Duration::from_secs(5)).await;
    let begin = Instant::now();
    assert_eq!(token(&cache).await, "Bearer token 1");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_fetched_once_more_and_not_for_ever() {
    let (cache, count) = counted(HOUR, Duration::ZERO);
    let first = ask(&cache).await.unwrap();
    assert!(cache.refused(&first));
    assert!(cache.refused(&first), "another call has heard the same");
    let second = ask(&cache).await.unwrap();
    assert_eq!(second.get("authorization").unwrap(), "Bearer token 2");
    assert!(cache.refused(&first), "there is a newer one already");
    assert_eq!(ask(&cache).await.unwrap().as_ref(), second.as_ref());
    // A server that refuses everything doesn't make each call a visit to the desk.
    for _ in 0..100 {
        assert!(!cache.refused(&second));
        ask(&cache).await.unwrap();
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
    advance(PAUSE).await;
    assert!(cache.refused(&second));
    assert_eq!(token(&cache).await, "Bearer token 3");
}

#[tokio::test(start_paused = true)]
async fn its_token_is_in_no_debug_output() {
    let (cache, _) = counted(HOUR, Duration::ZERO);
    let metadata = ask(&cache).await.unwrap();
    let fetched = FetchedToken::new("secret", HOUR);
    let shown = format!("{cache:?} {metadata:?} {fetched:?}");
    assert!(
        !shown.contains("token 1") && !shown.contains("secret"),
        "{shown}"
    );
}
