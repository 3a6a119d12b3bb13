//! A running maximum and a chat room: many requests and many replies in one call.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tokio::task;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming, transport};

use self::proto::calculator::Number;
use self::proto::calculator::calculator_server::{Calculator, CalculatorServer};
use self::proto::chat::Line;
use self::proto::chat::chat_server::{Chat, ChatServer};
use self::room::{Room, Seat};

pub mod guest;
pub mod proto;
mod room;

#[cfg(test)]
mod tests;

/// Serves the calculator and one chat room on `listener`, for as long as the future is polled. Says
/// on `log` who joins the room and who leaves it.
///
/// # Errors
///
/// If the listener fails.
pub async fn serve(listener: TcpListener, log: Sender<String>) -> Result<(), transport::Error> {
    let room = Arc::new(Room::new(log));
    conform::server::builder()
        // A guest whose laptop is shut leaves after 10 silent seconds and 10 for an answer.
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(CalculatorServer::new(Abacus))
        .add_service(ChatServer::new(Host { room }))
        .serve_with_incoming(conform::server::incoming(listener))
        .await
}

struct Abacus;

#[tonic::async_trait]
impl Calculator for Abacus {
    async fn maximum(
        &self,
        request: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        let mut largest = f64::NEG_INFINITY;
        let maxima = request.into_inner().map(move |number| {
            let Number { value } = number?;
            if value.is_nan() {
                return Err(Status::invalid_argument("NaN can't be compared"));
            }
            largest = largest.max(value);
            Ok(Number { value: largest })
        });
        Ok(Response::new(Box::pin(maxima)))
    }

    async fn sort(
        &self,
        _: Request<Streaming<Number>>,
    ) -> Result<Response<BoxStream<Number>>, Status> {
        Err(Status::unimplemented("exercise 1"))
    }
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
        let mut said = request.into_inner();
        let Some(first) = said.message().await? else {
            return Err(Status::invalid_argument("the first line says who you are"));
        };
        let (seat, heard) = self.room.join(first.speaker)?;
        // A task of its own: a guest who doesn't listen is still heard.
        let talking = tokio::spawn(pass_on(said, seat));
        // The last item is the error that ended what the guest said, if there was one.
        let end = stream::once(talking).filter_map(async |end| match end {
            Ok(end) => end.err().map(Err),
            Err(_panic) => Some(Err(Status::unknown("the room failed"))),
        });
        let heard = ReceiverStream::new(heard).map(Ok);
        Ok(Response::new(Box::pin(heard.chain(end))))
    }
}

/// Passes on what a guest says until that ends. Then the seat is dropped: the guest has left.
async fn pass_on(mut said: Streaming<Line>, seat: Seat) -> Result<(), Status> {
    while let Some(line) = said.message().await? {
        seat.say(&line)?;
        // Many lines may have come at once. Between two of them, everyone may listen.
        task::yield_now().await;
    }
    Ok(())
}
