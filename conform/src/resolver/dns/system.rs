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

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::testing::soon;

    #[tokio::test]
    async fn the_system_knows_localhost() {
        let answer = soon(System::default().lookup("localhost")).await.unwrap();
        assert!(
            answer.addresses.iter().any(|ip| ip.is_loopback()),
            "{answer:?}"
        );
        assert_eq!((answer.ttl, answer.failed), (None, None));
    }

    #[tokio::test]
    async fn a_lookup_waits_for_the_one_before_it() {
        let system = System::default();
        let turn = system.0.clone().acquire_owned().await;
        let mut second = system.lookup("localhost");
        assert!((&mut second).now_or_never().is_none());
        drop(turn);
        assert!(soon(second).await.is_ok());
        assert_eq!(system.0.available_permits(), 1);
    }

    #[tokio::test]
    async fn what_the_system_cannot_look_up_is_an_error() {
        // No name at all, so that nobody is asked.
        assert!(soon(System::default().lookup("a\0b")).await.is_err());
    }
}
