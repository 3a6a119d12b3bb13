//! For programs whose stubs connect by themselves, so that no layer stands between.

use std::any::Any;
use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::sync::Once;
use std::task::Poll;

use tonic::Status;

/// What `call` returns, or INTERNAL if it makes tonic panic over malformed details.
///
/// For a client that has no layers, because its stub connects by itself
/// (`GreeterClient::connect(url)`): what the error was is lost, but the program goes on. With a
/// channel of your own, [`SanitizeDetailsLayer`](super::SanitizeDetailsLayer) keeps the error.
///
/// Covers what `call` polls itself, not the tasks that it spawns. So that nothing is printed of
/// such a panic, the first call of this function puts a hook in front of the process's
/// [panic hook](panic::set_hook). All other panics go on as they were. With `panic = "abort"`
/// nothing is caught.
///
/// # Errors
///
/// That of `call`, or INTERNAL.
///
/// ```no_run
/// use conform::error_details::catch_malformed;
/// use greeter::Name;
/// use greeter::greeter_client::GreeterClient;
///
/// async fn greet(url: String) -> Result<(), Box<dyn std::error::Error>> {
///     let mut greeter = GreeterClient::connect(url).await?;
///     greeter.greet(Name::default()).await?;
///     Ok(())
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// catch_malformed(greet("http://127.0.0.1:50051".to_owned())).await?;
/// # Ok(())
/// # }
/// ```
pub async fn catch_malformed<T, E: From<Status>>(
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !(CATCHING.get() && is_malformed(panic.payload())) {
                print(panic);
            }
        }));
    });
    let mut call = pin!(call);
    poll_fn(|context| {
        let outer = CATCHING.replace(true);
        // The call is dropped after a panic: nobody sees what that has left half-done.
        let poll = panic::catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context)));
        CATCHING.set(outer);
        match poll {
            Ok(poll) => poll,
            Err(panic) if is_malformed(&*panic) => {
                let status = Status::internal("an error came with malformed details");
                Poll::Ready(Err(status.into()))
            }
            Err(panic) => panic::resume_unwind(panic),
        }
    })
    .await
}

thread_local! {
    /// Whether this thread is polling a call that is watched.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is the panic in `Status::from_header_map`.
fn is_malformed(panic: &(dyn Any + Send)) -> bool {
    let message = panic.downcast_ref::<String>();
    message.is_some_and(|message| message.starts_with("Invalid status header, expected base64"))
}
