//! Request bodies that a client breaks off.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http_body::{Body as HttpBody, Frame};
#[cfg(any(feature = "cancel", test))]
use tokio::runtime::Handle;
#[cfg(any(feature = "cancel", test))]
use tokio::task::AbortHandle;
use tonic::body::Body;
use tonic::codegen::{Bytes, StdError};

/// Breaks `body` off when `end` comes: hyper then resets the stream with CANCEL.
///
/// Dropping the response of a call doesn't reset it while its request body is open. This does.
/// What the body holds is dropped when `end` comes, also if nobody polls it: hyper polls none that
/// waits for the window. Such a stream is reset as soon as there is room, or the peer ends it.
#[cfg(any(feature = "cancel", test))]
pub(crate) fn until<F>(body: Body, end: F) -> Body
where
    F: Future + Send + 'static,
{
    if body.is_end_stream() {
        return body;
    }
    let shared = Arc::new(Breakable::open(body));
    // Weak, so that a body that nobody wants any more is dropped then.
    let weak = Arc::downgrade(&shared);
    let end = async move {
        end.await;
        weak.upgrade().iter().for_each(|body| body.break_off());
    };
    let end = match Handle::try_current() {
        Ok(runtime) => End::Watched(runtime.spawn(end).abort_handle()),
        Err(_) => End::Polled(Box::pin(end)),
    };
    let upload = Upload::new(shared);
    Body::new(Ending { upload, end })
}

#[cfg(any(feature = "cancel", test))]
struct Ending {
    upload: Upload<Breakable>,
    end: End,
}

#[cfg(any(feature = "cancel", test))]
enum End {
    Watched(AbortHandle),
    /// There was no runtime, so the end comes only when the body is polled.
    Polled(Pin<Box<dyn Future<Output = ()> + Send>>),
}

#[cfg(any(feature = "cancel", test))]
impl Drop for Ending {
    fn drop(&mut self) {
        if let End::Watched(task) = &self.end {
            task.abort();
        }
    }
}

#[cfg(any(feature = "cancel", test))]
impl HttpBody for Ending {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.upload).poll_frame(context);
        if let End::Polled(end) = &mut this.end
            && frame.is_pending()
            && end.as_mut().poll(context).is_ready()
        {
            return Pin::new(&mut this.upload).poll_frame(context);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.upload.is_end_stream()
    }
}

/// A request's body on its way. Whoever shares it can break it off.
pub(crate) struct Upload<T>(Arc<T>);

impl<T: AsRef<Breakable>> Upload<T> {
    pub(crate) fn new(shared: Arc<T>) -> Self {
        Self(shared)
    }
}

impl<T: AsRef<Breakable>> HttpBody for Upload<T> {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        (*self.0).as_ref().poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        match &*(*self.0).as_ref().lock() {
            State::Open(body, _) => body.is_end_stream(),
            State::BrokenOff => false,
            State::Over => true,
        }
    }
}

/// A request's body that may be taken away from under its reader.
pub(crate) struct Breakable(Mutex<State>);

enum State {
    /// And who waits for the next frame.
    Open(Body, Option<Waker>),
    /// Its reader has to be told.
    BrokenOff,
    Over,
}

impl Breakable {
    pub(crate) fn open(body: Body) -> Self {
        Self(Mutex::new(State::Open(body, None)))
    }

    /// Nothing is sent.
    #[cfg(feature = "deadline")]
    pub(crate) fn over() -> Self {
        Self(Mutex::new(State::Over))
    }

    pub(crate) fn break_off(&self) {
        let mut state = self.lock();
        if let State::Open(..) = &*state {
            let open = mem::replace(&mut *state, State::BrokenOff);
            // What dropping the body does must not run under the lock.
            drop(state);
            if let State::Open(body, reader) = open {
                drop(body);
                reader.into_iter().for_each(Waker::wake);
            }
        }
    }

    fn poll_frame(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let mut state = self.lock();
        match &mut *state {
            State::Open(body, reader) => {
                if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
                    return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
                }
                *reader = Some(context.waker().clone());
                Poll::Pending
            }
            State::Over => Poll::Ready(None),
            State::BrokenOff => {
                *state = State::Over;
                // hyper resets the stream with the reason that it finds in the error.
                Poll::Ready(Some(Err(h2::Error::from(h2::Reason::CANCEL).into())))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Poisoned if a body has panicked. Its reader saw the panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<Self> for Breakable {
    fn as_ref(&self) -> &Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use futures::stream;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::oneshot;
    use tokio::time::{advance, sleep, timeout};

    use super::*;

    /// A body that never has a frame, and hears when it is dropped.
    fn endless() -> (Body, oneshot::Receiver<()>) {
        let (held, dropped) = oneshot::channel();
        let frames = stream::once(async move {
            let _held = held;
            pending::<Result<Frame<Bytes>, tonic::Status>>().await
        });
        (Body::new(StreamBody::new(frames)), dropped)
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_body_holds_is_dropped_in_time_though_nobody_polls_it() {
        let (body, dropped) = endless();
        let mut body = until(body, sleep(millis(50)));
        let early = timeout(millis(49), dropped).await;
        assert!(early.is_err());
        let (body2, dropped) = endless();
        let unread = until(body2, sleep(millis(50)));
        timeout(millis(51), dropped).await.unwrap().unwrap_err();
        // Whoever polls then is told.
        for body in [&mut body, &mut { unread }] {
            assert!(!body.is_end_stream());
            let error = body.frame().await.unwrap().unwrap_err();
            assert!(format!("{error:?}").contains("CANCEL"), "{error:?}");
            assert!(body.is_end_stream());
            assert!(body.frame().await.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_waits_is_woken() {
        let (body, _dropped) = endless();
        let mut body = until(body, sleep(millis(50)));
        let frame = timeout(millis(51), body.frame()).await.unwrap();
        frame.unwrap().unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_nobody_wants_is_dropped_at_once_and_its_timer_too() {
        let (body, dropped) = endless();
        let (end, timer) = oneshot::channel::<()>();
        let body = until(body, async move {
            let _end = end;
            pending::<()>().await;
        });
        drop(body);
        dropped.await.unwrap_err();
        timer.await.unwrap_err();
        advance(millis(1)).await;
    }

    #[test]
    fn without_a_runtime_the_end_comes_when_the_body_is_polled() {
        let (body, _dropped) = endless();
        let (end, ended) = oneshot::channel::<()>();
        let mut body = until(body, ended);
        let context = &mut Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut body).poll_frame(context).is_pending());
        end.send(()).unwrap();
        let Poll::Ready(Some(Err(error))) = Pin::new(&mut body).poll_frame(context) else {
            panic!("not broken off");
        };
        assert!(format!("{error:?}").contains("CANCEL"), "{error:?}");
    }
}
