//! The archive's rules: eleven codes, each for a reason that a reader understands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_stream::StreamExt;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use self::catalogue::{Catalogue, Leaf};
use crate::archive::archive_server::Archive;
use crate::archive::{Copies, Correction, Document, Hits, Page, PageNumber, PageRange, Word};

mod catalogue;

/// The metadata by which a caller says who it is.
pub const CARD: &str = "card";

/// How long it takes to fetch a document from the deepest cellar.
const CLIMB: Duration = Duration::from_secs(3600);

/// The service. All calls share one catalogue.
#[derive(Debug, Default)]
pub struct ReadingRoom {
    catalogue: Arc<Mutex<Catalogue>>,
}

impl ReadingRoom {
    fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        open(&self.catalogue)
    }
}

fn open(catalogue: &Mutex<Catalogue>) -> MutexGuard<'_, Catalogue> {
    // No handler panics while it holds the catalogue.
    catalogue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tonic::async_trait]
impl Archive for ReadingRoom {
    async fn read_page(&self, request: Request<PageNumber>) -> Result<Response<Page>, Status> {
        let card = Card::of(&request)?;
        let PageNumber { title, page } = request.into_inner();
        let Leaf { text, version } = self.catalogue().leaf(card, &title, page)?.clone();
        let text = text.ok_or_else(|| Status::data_loss("mice have eaten this page"))?;
        Ok(Response::new(paint(&text, version)))
    }

    async fn order(&self, request: Request<Document>) -> Result<Response<Document>, Status> {
        let card = Card::of(&request)?;
        let Document { title } = request.into_inner();
        if self.catalogue().find(card, &title)?.is_in_the_cellar {
            sleep(CLIMB).await;
        }
        self.catalogue().bring(card, &title)?;
        Ok(Response::new(Document { title }))
    }

    async fn send_back(&self, request: Request<Document>) -> Result<Response<Document>, Status> {
        let card = Card::of(&request)?;
        let Document { title } = request.into_inner();
        self.catalogue().find(card, &title)?.is_in_the_room = false;
        Ok(Response::new(Document { title }))
    }

    async fn correct(&self, request: Request<Correction>) -> Result<Response<Page>, Status> {
        let card = Card::of(&request)?;
        let correction = request.into_inner();
        if correction.text.is_empty() {
            return Err(Status::invalid_argument("a page cannot be without text"));
        }
        let mut catalogue = self.catalogue();
        let leaf = catalogue.leaf(card, &correction.title, correction.page)?;
        if leaf.version != correction.version {
            return Err(Status::aborted("the page has been changed: read it again"));
        }
        leaf.version += 1;
        leaf.text = Some(correction.text);
        let Leaf { text, version } = leaf.clone();
        drop(catalogue);
        Ok(Response::new(paint(&text.unwrap_or_default(), version)))
    }

    async fn register(&self, request: Request<Document>) -> Result<Response<Document>, Status> {
        Card::of(&request)?;
        let Document { title } = request.into_inner();
        self.catalogue().register(&title)?;
        Ok(Response::new(Document { title }))
    }

    async fn search(
        &self,
        request: Request<Streaming<Word>>,
    ) -> Result<Response<BoxStream<Hits>>, Status> {
        Card::of(&request)?;
        let catalogue = self.catalogue.clone();
        let hits = request.into_inner().map(move |word| {
            let pages = open(&catalogue).search(&word?.word);
            Ok(Hits { pages })
        });
        Ok(Response::new(Box::pin(hits)))
    }

    async fn copy_pages(&self, _: Request<PageRange>) -> Result<Response<Copies>, Status> {
        Err(Status::unimplemented("exercise 1"))
    }
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    Reader,
    Archivist,
}

impl Card {
    fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let card = request.metadata().get(CARD).map(|card| card.as_bytes());
        match card {
            Some(b"reader") => Ok(Self::Reader),
            Some(b"archivist") => Ok(Self::Archivist),
            Some(_) => Err(Status::unauthenticated("this card is not known here")),
            None => Err(Status::unauthenticated("a card is needed")),
        }
    }
}

/// A bug for the lesson to find: whoever wrote this had never seen a page without text.
fn paint(text: &str, version: u32) -> Page {
    let (first_letter, rest) = text.split_at(1);
    Page {
        first_letter: first_letter.to_owned(),
        rest: rest.to_owned(),
        version,
    }
}
