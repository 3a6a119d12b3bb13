//! What a call holds on to until its deadline, whoever polls it.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;
use tonic::body::Body;

use super::Deadline;
use crate::upload::{Breakable, Upload};

/// The bodies of one call. They are dropped at its deadline even if nobody polls them: hyper polls
/// none while it waits for the reader to open the window, and a client need not read.
///
/// One task watches over both, as long as one of them is there.
pub(super) struct Held {
    upload: Breakable,
    reply: Mutex<Reply>,
    watch: OnceLock<AbortHandle>,
}

/// The response's body.
enum Reply {
    /// It's still to come.
    Awaited,
    Open(Body),
    /// It has ended, or the deadline has passed.
    Over,
}

impl Held {
    /// A call of which `body` is sent from here.
    pub(super) fn upload(body: Body, deadline: Deadline) -> (Arc<Self>, Body) {
        let held = Self::new(Breakable::open(body), Reply::Awaited, deadline);
        let upload = Body::new(Upload::new(held.clone()));
        (held, upload)
    }

    /// A call of which only the response's body is left.
    pub(super) fn reply(body: Body, deadline: Deadline) -> Arc<Self> {
        Self::new(Breakable::over(), Reply::Open(body), deadline)
    }

    fn new(upload: Breakable, reply: Reply, deadline: Deadline) -> Arc<Self> {
        let held = Arc::new(Self {
            upload,
            reply: Mutex::new(reply),
            watch: OnceLock::new(),
        });
        if let Ok(runtime) = Handle::try_current() {
            // Weak, so that bodies that nobody wants any more are dropped then.
            let weak = Arc::downgrade(&held);
            let task = runtime.spawn(async move {
                sleep_until(deadline.instant()).await;
                if let Some(held) = weak.upgrade() {
                    held.upload.break_off();
                    held.end_reply();
                }
            });
            let _ = held.watch.set(task.abort_handle());
        }
        held
    }

    /// The response is there. If the deadline was faster, its body goes at once.
    pub(super) fn answered(&self, body: Body) {
        let mut reply = self.lock();
        let late = match &*reply {
            Reply::Over => Some(body),
            Reply::Awaited | Reply::Open(_) => {
                *reply = Reply::Open(body);
                None
            }
        };
        drop(reply);
        drop(late);
    }

    /// What `look` makes of the response's body; `None` if it's over.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Body) -> T) -> Option<T> {
        match &mut *self.lock() {
            Reply::Open(body) => Some(look(body)),
            Reply::Awaited | Reply::Over => None,
        }
    }

    pub(super) fn end_reply(&self) {
        let reply = mem::replace(&mut *self.lock(), Reply::Over);
        // What dropping the body does must not run under the lock.
        drop(reply);
    }

    fn lock(&self) -> MutexGuard<'_, Reply> {
        // Poisoned if a body has panicked. Its reader saw the panic.
        self.reply.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<Breakable> for Held {
    fn as_ref(&self) -> &Breakable {
        &self.upload
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.watch.get().into_iter().for_each(AbortHandle::abort);
    }
}
