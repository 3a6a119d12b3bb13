//! Requests to the archive, and the card that comes with each of them.

use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

use crate::proto::{Correction, Document, PageNumber};

/// A page of a document.
pub fn page(title: &str, page: u32) -> PageNumber {
    let title = title.to_owned();
    PageNumber { title, page }
}

/// A document.
pub fn document(title: &str) -> Document {
    let title = title.to_owned();
    Document { title }
}

/// Another text for `version` of a page.
pub fn correction(title: &str, page: u32, version: u32, text: &str) -> Correction {
    Correction {
        title: title.to_owned(),
        page,
        version,
        text: text.to_owned(),
    }
}

/// An interceptor (lesson 11) that adds a reader's card to each request of a stub.
pub fn show_card(mut request: Request<()>) -> Result<Request<()>, Status> {
    let card = MetadataValue::from_static("reader");
    request.metadata_mut().insert("card", card);
    Ok(request)
}
