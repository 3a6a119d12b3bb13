//! What the system says: `getaddrinfo`.

use std::net::ToSocketAddrs;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::resolver::{Answer, Lookup};

/// Asks the system, once at a time: a lookup that was given up goes on in its thread, so that the
/// next one waits for it.
pub(super) struct System(Arc<Semaphore>);

impl Default for System {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Lookup for System {
    fn lookup(&self, name: &str) -> BoxFuture<'static, Result<Answer, String>> {
        let one = self.0.clone();
        let name = name.to_owned();
        Box::pin(async move {
            let turn = one
                .acquire_owned()
                .await
                .map_err(|error| error.to_string())?;
            let found = spawn_blocking(move || {
                let _turn = turn;
                (name, 0).to_socket_addrs()
            });
            let found = found.await.map_err(|error| error.to_string())?;
            let addresses = found.map_err(|error| error.to_string())?;
            Ok(Answer {
                addresses: addresses.map(|address| address.ip()).collect(),
                ..Answer::default()
            })
        })
    }
}
