//! What the archive has, where it lies, and who may see it.

use std::collections::BTreeMap;

use tonic::Status;

use super::Card;
use crate::archive::PageNumber;

/// So many documents the shelves can hold.
const SHELVES: usize = 1000;

#[derive(Debug)]
pub(super) struct Catalogue {
    documents: BTreeMap<String, Entry>,
    lift_is_up: bool,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    pages: Vec<Leaf>,
    is_sealed: bool,
    pub(super) is_in_the_room: bool,
    pub(super) is_in_the_cellar: bool,
}

/// One page. Its text can be lost.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) text: Option<String>,
    pub(super) version: u32,
}

impl Catalogue {
    /// The document with this title, if there is one and this reader may see it.
    pub(super) fn find(&mut self, card: Card, title: &str) -> Result<&mut Entry, Status> {
        if title.is_empty() {
            return Err(Status::invalid_argument("no document is without a title"));
        }
        let entry = self.documents.get_mut(title);
        let entry = entry.ok_or_else(|| Status::not_found("the catalogue has no such title"))?;
        if entry.is_sealed && card != Card::Archivist {
            return Err(Status::permission_denied("sealed: for archivists only"));
        }
        Ok(entry)
    }

    /// A page of a document that lies in the reading room.
    pub(super) fn leaf(&mut self, card: Card, title: &str, page: u32) -> Result<&mut Leaf, Status> {
        // Whatever the archive holds, today or ever: no page has this number.
        let index = (page as usize)
            .checked_sub(1)
            .ok_or_else(|| Status::invalid_argument("pages are counted from 1"))?;
        let entry = self.find(card, title)?;
        if !entry.is_in_the_room {
            return Err(Status::failed_precondition("in the depot: order it first"));
        }
        let last = entry.pages.len();
        // A document can grow: this page may be there one day.
        let leaf = entry.pages.get_mut(index);
        leaf.ok_or_else(|| Status::out_of_range(format!("the last page is {last}")))
    }

    /// Brings a document up, if the lift is there to bring it.
    pub(super) fn bring(&mut self, card: Card, title: &str) -> Result<(), Status> {
        if self.find(card, title)?.is_in_the_room {
            return Ok(());
        }
        if !self.lift_is_up {
            self.lift_is_up = true;
            return Err(Status::unavailable("the lift is on its way: ask again"));
        }
        self.lift_is_up = false;
        self.find(card, title)?.is_in_the_room = true;
        Ok(())
    }

    pub(super) fn register(&mut self, title: &str) -> Result<(), Status> {
        if title.is_empty() {
            return Err(Status::invalid_argument("no document is without a title"));
        }
        if self.documents.contains_key(title) {
            return Err(Status::already_exists("this title is taken"));
        }
        if self.documents.len() >= SHELVES {
            return Err(Status::resource_exhausted("the shelves are full"));
        }
        self.documents.insert(title.to_owned(), Entry::default());
        Ok(())
    }

    /// The pages in the reading room that hold `word`. Sealed documents are left out for all.
    pub(super) fn search(&self, word: &str) -> Vec<PageNumber> {
        let mut hits = Vec::new();
        for (title, entry) in &self.documents {
            if !entry.is_in_the_room || entry.is_sealed {
                continue;
            }
            for (leaf, page) in entry.pages.iter().zip(1..) {
                if leaf.text.as_ref().is_some_and(|text| text.contains(word)) {
                    let title = title.clone();
                    hits.push(PageNumber { title, page });
                }
            }
        }
        hits
    }
}

/// What the archive holds when it opens.
impl Default for Catalogue {
    fn default() -> Self {
        let leaf = |text: Option<&str>| Leaf {
            text: text.map(str::to_owned),
            version: 0,
        };
        let codex = Entry {
            pages: vec![
                leaf(Some("In the beginning was a lift.")),
                leaf(None),
                leaf(Some("")),
            ],
            is_in_the_room: true,
            ..Entry::default()
        };
        let letters = Entry {
            pages: vec![leaf(Some("Dear reader, this letter lay in the depot."))],
            ..Entry::default()
        };
        let map = Entry {
            pages: vec![leaf(Some(&"~".repeat(5 * 1024 * 1024)))],
            is_in_the_room: true,
            ..Entry::default()
        };
        let secret = Entry {
            is_sealed: true,
            is_in_the_room: true,
            ..Entry::default()
        };
        let scrolls = Entry {
            is_in_the_cellar: true,
            ..Entry::default()
        };
        let documents = [
            ("codex", codex),
            ("letters", letters),
            ("map", map),
            ("secret", secret),
            ("scrolls", scrolls),
        ];
        Self {
            documents: documents
                .map(|(title, entry)| (title.to_owned(), entry))
                .into(),
            lift_is_up: false,
        }
    }
}
