//! Enters the chat room from outside: first says who comes, then waits for the answer.

use futures::{StreamExt, stream};
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{self, Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::WINDOW;
use crate::chat::Line;
use crate::chat::chat_client::ChatClient;

/// Connects to the server at `url`, with a [`WINDOW`] for a reader who may stop reading.
///
/// # Errors
///
/// If `url` is none, or if nobody answers there.
pub async fn connect(url: &str) -> Result<Channel, transport::Error> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    endpoint.initial_stream_window_size(WINDOW).connect().await
}

/// Takes a seat under `name`. Returns what speaks, and what hears; dropping what speaks leaves the room.
///
/// # Errors
///
/// INVALID_ARGUMENT or ALREADY_EXISTS, as the room refuses the name.
pub async fn enter(
    channel: Channel,
    name: &str,
) -> Result<(Sender<Line>, Streaming<Line>), Status> {
    let (sender, said) = mpsc::channel(1);
    // The room does not answer before it has read a name, and `talk` waits for its answer. Whoever
    // calls first, to speak as soon as the call is there, waits for ever.
    let lines = stream::iter([Line::new(name, "")]).chain(ReceiverStream::new(said));
    let heard = ChatClient::new(channel).talk(lines).await?.into_inner();
    Ok((sender, heard))
}
