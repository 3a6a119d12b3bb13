//! The client's side of the chat: first says who comes, then waits for the answer.

use std::error::Error;

use conform::status::escape;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};

use crate::proto::chat::Line;
use crate::proto::chat::chat_client::ChatClient;

/// Takes a seat under `name`. Returns what speaks, and what hears. Dropping the first leaves it.
pub async fn enter(
    url: &str,
    name: &str,
) -> Result<(Sender<Line>, Streaming<Line>), Box<dyn Error>> {
    if !url.starts_with("http://") {
        return Err("the URL must begin with http:// (https:// is for lesson 14)".into());
    }
    // With room for many more short lines than this, h2 takes unread ones for an attack.
    let endpoint = Endpoint::new(url.to_owned())?.initial_stream_window_size(16 * 1024);
    let mut chat = ChatClient::new(endpoint.connect().await?);
    let (said, stream) = mpsc::channel(1);
    // Before the call, for the room doesn't answer until it knows the name.
    said.send(Line::new(name, "")).await?;
    let heard = chat.talk(ReceiverStream::new(stream)).await?.into_inner();
    Ok((said, heard))
}

/// Exercise 2: says `Hello, Bob!` when Bob joins, and so for everyone, until the call ends.
pub async fn greet(_said: Sender<Line>, _heard: Streaming<Line>) -> Result<(), Status> {
    Err(Status::unimplemented("exercise 2"))
}

impl Line {
    /// What `speaker` says. As the first line, it names the guest.
    pub fn new(speaker: &str, text: &str) -> Self {
        let (speaker, text) = (speaker.to_owned(), text.to_owned());
        Self { speaker, text }
    }

    /// As it's printed. Escaped here as well: not every server does it.
    pub fn show(&self) -> String {
        match &*self.speaker {
            "" => format!("* {}", escape(&self.text)),
            speaker => format!("{}: {}", escape(speaker), escape(&self.text)),
        }
    }
}
