//! A resolver that is told by hand, for tests and lessons.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;

use super::{Resolver, Scheme, Target, Update, Updates};

/// A scheme whose backends are what you set: for tests, and for programs that learn of their
/// backends in a way of their own.
///
/// Clones are handles to the same. Each channel that has a target of this scheme gets the newest
/// update when it begins, and each one after that. A slow channel may miss those between.
///
/// ```
/// use conform::resolver::{Backend, Manual, Schemes, Update, UpdatesReceiver};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fleet = Manual::new("fleet");
/// let schemes = Schemes::new().with(fleet.clone());
/// let resolver = schemes.build(&schemes.target("fleet:greeter")?)?;
/// // What a channel does.
/// let mut updates = UpdatesReceiver::spawn(resolver);
///
/// fleet.set(Update::new([Backend::at("127.0.0.1:50051".parse()?)]));
/// let told = updates.next().await.ok_or("gone")?;
/// assert_eq!(told.update.backends?[0].addresses()[0].to_string(), "127.0.0.1:50051");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Manual {
    name: Arc<str>,
    newest: watch::Sender<Option<Update>>,
    asked: watch::Sender<u64>,
    refused: watch::Sender<u64>,
}

impl Manual {
    /// A scheme of this name, which says nothing until something is [`set`](Self::set).
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            newest: watch::Sender::new(None),
            asked: watch::Sender::new(0),
            refused: watch::Sender::new(0),
        }
    }

    /// Tells this to all channels, now and until the next time.
    pub fn set(&self, update: Update) {
        self.newest.send_replace(Some(update));
    }

    /// How often a channel has asked for a fresh answer, to be read or to be waited for. Nothing
    /// else comes of its asking.
    pub fn asked(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// How often a channel couldn't use what it was told, to be read or to be waited for. It isn't
    /// told the same again.
    pub fn refused(&self) -> watch::Receiver<u64> {
        self.refused.subscribe()
    }
}

impl Scheme for Manual {
    fn name(&self) -> &str {
        &self.name
    }

    fn resolver(&self, _: &Target) -> Result<Box<dyn Resolver>, String> {
        Ok(Box::new(Told {
            newest: self.newest.subscribe(),
            asked: self.asked.clone(),
            refused: self.refused.clone(),
        }))
    }
}

/// The resolver of one channel.
struct Told {
    newest: watch::Receiver<Option<Update>>,
    asked: watch::Sender<u64>,
    refused: watch::Sender<u64>,
}

impl Told {
    async fn tell(mut self, updates: &Updates) {
        // What was set before the channel began is news to it.
        self.newest.mark_changed();
        while self.newest.changed().await.is_ok() {
            let update = self.newest.borrow_and_update().clone();
            let Some(update) = update else { continue };
            if !updates.send(update).await {
                self.refused.send_modify(|times| *times += 1);
            }
        }
    }
}

impl Resolver for Told {
    fn run(self: Box<Self>, updates: Updates) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let asked = self.asked.clone();
            let count = async {
                loop {
                    updates.asked().await;
                    asked.send_modify(|times| *times += 1);
                }
            };
            tokio::select! {
                () = self.tell(&updates) => {}
                () = count => {}
            }
        })
    }
}
