//! A calculator that answers in two orders, and a chat room: many requests and many replies in one call.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{self, JoinSet};
use tonic::codegen::BoxStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Server};
use tonic::{Request, Response, Status, Streaming};

use self::abacus::Abacus;
use self::calculator::calculator_server::CalculatorServer;
use self::chat::Line;
use self::chat::chat_server::{Chat, ChatServer};
use self::room::{Room, Seat};

pub mod abacus;
pub mod guest;
pub mod room;

/// Generated from `protos/calculator.proto`.
#[allow(missing_docs)]
pub mod calculator {
    tonic::include_proto!("calculator.v1");
}

/// Generated from `protos/chat.proto`.
#[allow(missing_docs)]
pub mod chat {
    tonic::include_proto!("chat.v1");
}

#[cfg(test)]
mod tests;

/// How many bytes of a call may lie unread at its receiver, before the sender has to wait.
///
/// Both ends set it. With much more, a receiver that reads none of many short messages loses its
/// connection: h2 bounds what short frames may cost it, and counts 256 bytes for each.
pub const WINDOW: u32 = 16 * 1024;

/// The longest message that the server reads, in bytes. A longer one ends its call.
const MESSAGE: usize = 4 * 1024;

/// How long a connection may be silent before the server asks whether anyone is there, and how long it
/// then waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the calculator and one chat room on `listener`, for as long as the future is polled.
///
/// Writes a line to `journal` whenever someone joins or leaves the room.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    journal: UnboundedSender<String>,
) -> Result<(), transport::Error> {
    // tonic sets TCP_NODELAY by itself only where it binds the address itself.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let host = Host {
        room: Room::new(journal),
    };
    Server::builder()
        .initial_stream_window_size(WINDOW)
        .http2_keepalive_interval(Some(PATIENCE))
        .http2_keepalive_timeout(Some(PATIENCE))
        .add_service(CalculatorServer::new(Abacus))
        .add_service(ChatServer::new(host).max_decoding_message_size(MESSAGE))
        .serve_with_incoming(incoming)
        .await
}

struct Host {
    room: Arc<Room>,
}

#[tonic::async_trait]
impl Chat for Host {
    async fn talk(
        &self,
        request: Request<Streaming<Line>>,
    ) -> Result<Response<BoxStream<Line>>, Status> {
        let mut lines = request.into_inner();
        let Some(Line { speaker, .. }) = lines.message().await? else {
            return Err(Status::invalid_argument("the first line says who you are"));
        };
        let (seat, heard) = self.room.join(speaker)?;

        // A task of its own: who does not read is still heard. As the set belongs to the reply, the task
        // ends with the call, however that ends.
        let mut talking = JoinSet::new();
        talking.spawn(pass_on(lines, seat));
        let end = stream::once(async move { talking.join_next().await });
        let end = end.filter_map(|result| async {
            match result {
                None | Some(Ok(Ok(()))) => None,
                Some(Ok(Err(status))) => Some(Err(status)),
                Some(Err(_panic)) => Some(Err(Status::internal("the room broke down"))),
            }
        });
        Ok(Response::new(Box::pin(heard.map(Ok).chain(end))))
    }
}

/// Passes on what one client says until it has said all. Then its seat is given up.
async fn pass_on(mut lines: Streaming<Line>, seat: Seat) -> Result<(), Status> {
    while let Some(line) = lines.message().await? {
        seat.say(&line.text);
        // Many lines may have come at once. Between two of them everyone may listen.
        task::yield_now().await;
    }
    Ok(())
}
