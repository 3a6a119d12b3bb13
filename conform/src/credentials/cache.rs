//! A token that is fetched once for all calls, and renewed before it expires.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::time::{Instant, timeout};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::call::{CallCredentials, CallInfo, bearer};
use super::token::Token;

/// How long fetching a token may take: 10 seconds. Then the calls that wait for it end with
/// UNAVAILABLE.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// How long before its end a token is renewed unless [`TokenCache::renew_before`] says otherwise: a
/// minute, but no more than half of the token's time.
pub const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// How long nothing is fetched after a failure, or after a token that the server refused although it
/// was new: a second. Otherwise each call would ask.
pub const PAUSE: Duration = Duration::from_secs(1);

/// Call credentials that fetch a token when it is needed. Clones share it, so one cache serves
/// all channels of a program.
///
/// * A hundred calls at once fetch it once, and wait for it together.
/// * A call shortly before the token's end uses it, and has it renewed meanwhile.
/// * When the server answers UNAUTHENTICATED, the token is fetched again, once.
/// * If fetching fails, the calls that wait fail, and the next try is [`PAUSE`] later.
#[derive(Clone)]
pub struct TokenCache(Arc<Cache>);

struct Cache {
    fetch: Box<dyn Fn() -> BoxFuture<'static, Result<FetchedToken, Status>> + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    renew_before: Duration,
    token: Option<Arc<Current>>,
    fetching: Option<Shared<BoxFuture<'static, Fetched>>>,
    /// The last failure, and until when it counts.
    failed: Option<(Status, Instant)>,
    /// Whether the token that is fetched next is in place of one that the server refused.
    after_refusal: bool,
}

type Fetched = Result<Arc<Current>, Status>;

struct Current {
    metadata: MetadataMap,
    fetched: Instant,
    renew: Instant,
    expires: Instant,
    after_refusal: bool,
}

/// A token, and how long it is valid from now: OAuth's `access_token` and `expires_in`.
#[derive(Clone, Debug)]
pub struct FetchedToken {
    token: Token,
    valid_for: Duration,
}

impl FetchedToken {
    /// A token that is valid for that long.
    pub fn new(token: impl Into<String>, valid_for: Duration) -> Self {
        let token = Token::new(token);
        Self { token, valid_for }
    }
}

impl TokenCache {
    /// A cache that calls `fetch` for a token, never twice at a time.
    pub fn new<F, R>(fetch: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<FetchedToken, Status>> + Send + 'static,
    {
        Self(Arc::new(Cache {
            fetch: Box::new(move || fetch().boxed()),
            state: Mutex::new(State {
                renew_before: RENEW_BEFORE,
                token: None,
                fetching: None,
                failed: None,
                after_refusal: false,
            }),
        }))
    }

    /// Renews the token that long before the end, but not before half of the token's time is over.
    ///
    /// All clones share this too. It counts from the next token on that is fetched.
    pub fn renew_before(self, time: Duration) -> Self {
        self.lock().renew_before = time;
        self
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = &self.0.state;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token, or what gives it.
    fn current(&self) -> Result<Arc<Current>, Shared<BoxFuture<'static, Fetched>>> {
        let now = Instant::now();
        let mut state = self.lock();
        let valid = state.token.clone().filter(|token| now < token.expires);
        if let Some(token) = &valid
            && now < token.renew
        {
            return Ok(token.clone());
        }
        let fetching = match (&state.fetching, &state.failed) {
            (Some(fetching), _) => fetching.clone(),
            (None, Some((status, until))) if now < *until => {
                let failed = Err(status.clone());
                std::future::ready(failed).boxed().shared()
            }
            (None, _) => {
                let fetching = self.clone().fetch().boxed().shared();
                state.fetching = Some(fetching.clone());
                // It goes on when the call that began it is cancelled.
                tokio::spawn(fetching.clone());
                fetching
            }
        };
        valid.ok_or(fetching)
    }

    async fn fetch(self) -> Fetched {
        let fetched = AssertUnwindSafe(async { (self.0.fetch)().await }).catch_unwind();
        let fetched = match timeout(FETCH_TIMEOUT, fetched).await {
            Ok(Ok(fetched)) => fetched,
            Ok(Err(_)) => Err(Status::internal("fetching a token panicked")),
            Err(_) => Err(Status::unavailable("fetching a token took too long")),
        };
        let now = Instant::now();
        let mut state = self.lock();
        state.fetching = None;
        let after_refusal = std::mem::take(&mut state.after_refusal);
        let current = fetched.and_then(|FetchedToken { token, valid_for }| {
            let early = state.renew_before.min(valid_for / 2);
            // A time beyond the clock's end is a long one.
            let valid_for = valid_for.min(Duration::from_secs(365 * 24 * 3600));
            Ok(Arc::new(Current {
                metadata: bearer(&token)?,
                fetched: now,
                renew: now + valid_for.saturating_sub(early),
                expires: now + valid_for,
                after_refusal,
            }))
        });
        match &current {
            Ok(current) => {
                state.token = Some(current.clone());
                state.failed = None;
            }
            Err(status) => state.failed = Some((status.clone(), now + PAUSE)),
        }
        current
    }
}

#[tonic::async_trait]
impl CallCredentials for TokenCache {
    async fn metadata(&self, _: &CallInfo) -> Result<MetadataMap, Status> {
        let current = match self.current() {
            Ok(current) => current,
            Err(fetching) => fetching.await?,
        };
        Ok(current.metadata.clone())
    }

    fn refused(&self, used: &MetadataMap) -> bool {
        let mut state = self.lock();
        let Some(token) = &state.token else {
            // Somebody else has heard it first.
            return true;
        };
        let own = token.metadata.get("authorization");
        let is_in_use = used
            .get_all("authorization")
            .iter()
            .any(|it| Some(it) == own);
        if !is_in_use {
            return true;
        }
        if token.after_refusal && token.fetched.elapsed() < PAUSE {
            return false;
        }
        state.token = None;
        state.after_refusal = true;
        true
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("renew_before", &self.lock().renew_before)
            .finish_non_exhaustive()
    }
}
