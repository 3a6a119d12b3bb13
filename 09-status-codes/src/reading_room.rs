//! The archive's rules: each refusal has the code that tells a caller what it can do about it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tonic::{Request, Response, Status};

use crate::proto::archive_server::Archive;
use crate::proto::{Correction, Document, Page, PageNumber};

/// How many documents the catalogue can hold, and how many bytes a title or a page.
const MOST_DOCUMENTS: usize = 100;
const LONGEST_TITLE: usize = 100;
const LONGEST_PAGE: usize = 10_000;

/// How long it takes to fetch a document from the cellar.
const CLIMB: Duration = Duration::from_secs(3600);

/// The service. All calls share one catalogue.
#[derive(Debug, Default)]
pub struct ReadingRoom {
    catalogue: Mutex<Catalogue>,
}

#[tonic::async_trait]
impl Archive for ReadingRoom {
    async fn read_page(&self, request: Request<PageNumber>) -> Result<Response<Page>, Status> {
        check_card(&request)?;
        let PageNumber { title, page } = request.into_inner();
        let page = self.catalogue().page(&title, page)?.clone();
        if page.text.is_empty() {
            return Err(Status::data_loss("mice have eaten this page"));
        }
        Ok(Response::new(page))
    }

    async fn order(&self, request: Request<Document>) -> Result<Response<Document>, Status> {
        check_card(&request)?;
        let Document { title } = request.into_inner();
        if self.catalogue().find(&title)?.place == Place::Cellar {
            sleep(CLIMB).await;
        }
        self.catalogue().bring(&title)?;
        Ok(Response::new(Document { title }))
    }

    async fn send_back(&self, request: Request<Document>) -> Result<Response<Document>, Status> {
        check_card(&request)?;
        let Document { title } = request.into_inner();
        self.catalogue().find(&title)?.place = Place::Depot;
        Ok(Response::new(Document { title }))
    }

    async fn correct(&self, request: Request<Correction>) -> Result<Response<Page>, Status> {
        check_card(&request)?;
        let correction = request.into_inner();
        if correction.text.is_empty() || correction.text.len() > LONGEST_PAGE {
            let why = format!("a page has 1 to {LONGEST_PAGE} bytes");
            return Err(Status::invalid_argument(why));
        }
        let mut catalogue = self.catalogue();
        let page = catalogue.page(&correction.title, correction.page)?;
        if page.version != correction.version {
            return Err(Status::aborted("the page has been changed: read it again"));
        }
        page.text = correction.text;
        page.version = page.version.wrapping_add(1);
        Ok(Response::new(page.clone()))
    }

    async fn register(&self, request: Request<Document>) -> Result<Response<Document>, Status> {
        check_card(&request)?;
        let Document { title } = request.into_inner();
        self.catalogue().register(&title)?;
        Ok(Response::new(Document { title }))
    }
}

impl ReadingRoom {
    fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        // A handler that panics must not take the catalogue away from all others.
        self.catalogue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_card<T>(request: &Request<T>) -> Result<(), Status> {
    match request.metadata().get("card").map(|card| card.as_bytes()) {
        Some(b"reader") => Ok(()),
        Some(_) => Err(Status::unauthenticated("this card is not known here")),
        None => Err(Status::unauthenticated("a card is needed")),
    }
}

/// What the archive has, where it lies, and who may see it.
#[derive(Debug)]
struct Catalogue {
    records: BTreeMap<String, Record>,
    lift_is_up: bool,
}

#[derive(Debug)]
struct Record {
    pages: Vec<Page>,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Room,
    Depot,
    Cellar,
    Safe,
}

impl Catalogue {
    /// A page of a document that lies in the reading room.
    fn page(&mut self, title: &str, page: u32) -> Result<&mut Page, Status> {
        // Wrong, whatever the archive holds, today or ever.
        if page == 0 {
            return Err(Status::invalid_argument("pages are counted from 1"));
        }
        let record = self.find(title)?;
        // The caller can change this: order the document, then ask again.
        if record.place != Place::Room {
            return Err(Status::failed_precondition("in the depot: order it first"));
        }
        let last = record.pages.len();
        // A document can grow: this page may exist one day.
        let page = record.pages.get_mut(page as usize - 1);
        page.ok_or_else(|| Status::out_of_range(format!("the last page is {last}")))
    }

    /// The document with this title, if there is one and readers may see it.
    fn find(&mut self, title: &str) -> Result<&mut Record, Status> {
        let record = self.records.get_mut(title);
        let record = record.ok_or_else(|| Status::not_found("the catalogue has no such title"))?;
        // Everybody may know that it exists. If not even that: NOT_FOUND.
        if record.place == Place::Safe {
            return Err(Status::permission_denied("sealed: readers may not see it"));
        }
        Ok(record)
    }

    /// Brings a document up, if the lift is there to bring it.
    fn bring(&mut self, title: &str) -> Result<(), Status> {
        if matches!(self.find(title)?.place, Place::Room | Place::Safe) {
            return Ok(());
        }
        if !self.lift_is_up {
            self.lift_is_up = true;
            return Err(Status::unavailable("the lift is on its way: ask again"));
        }
        self.lift_is_up = false;
        self.find(title)?.place = Place::Room;
        Ok(())
    }

    fn register(&mut self, title: &str) -> Result<(), Status> {
        if title.is_empty() || title.len() > LONGEST_TITLE {
            let why = format!("a title has 1 to {LONGEST_TITLE} bytes");
            return Err(Status::invalid_argument(why));
        }
        if self.records.contains_key(title) {
            return Err(Status::already_exists("this title is taken"));
        }
        if self.records.len() >= MOST_DOCUMENTS {
            return Err(Status::resource_exhausted("the catalogue is full"));
        }
        self.records
            .insert(title.to_owned(), record(Place::Depot, &[]));
        Ok(())
    }
}

/// What the archive holds when it opens.
impl Default for Catalogue {
    fn default() -> Self {
        let codex = ["In the beginning was a lift.", "", "The end."];
        let records = [
            ("codex", record(Place::Room, &codex)),
            ("letters", record(Place::Depot, &["Dear reader, …"])),
            ("scrolls", record(Place::Cellar, &[])),
            ("secret", record(Place::Safe, &[])),
        ];
        Self {
            records: records.map(|(title, record)| (title.into(), record)).into(),
            lift_is_up: false,
        }
    }
}

fn record(place: Place, pages: &[&str]) -> Record {
    let (pages, version) = (pages.iter(), 0);
    let pages = pages.map(|&text| Page {
        text: text.into(),
        version,
    });
    Record {
        pages: pages.collect(),
        place,
    }
}
