//! Reads a file chunk by chunk, and notices when it is no longer the file that was opened.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::time::SystemTime;

use crc32fast::Hasher;
use server_streaming::produce::Replies;
use tonic::Status;

use crate::CHUNK;
use crate::files::part::Content;
use crate::files::{Opened, Part};

/// A file that was opened to be sent.
#[derive(Debug)]
pub struct Document {
    file: File,
    size: u64,
    modified: Option<SystemTime>,
}

impl Document {
    /// Takes a file as it is now.
    ///
    /// # Errors
    ///
    /// If the system cannot tell its size.
    pub fn new(file: File) -> io::Result<Self> {
        let now = file.metadata()?;
        Ok(Self {
            size: now.len(),
            modified: now.modified().ok(),
            file,
        })
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Checks that it can be sent from byte `offset` on. From its end on there is nothing to send, and no error.
    ///
    /// # Errors
    ///
    /// OUT_OF_RANGE if it is shorter.
    pub fn check(&self, offset: u64) -> Result<(), Status> {
        if offset > self.size {
            let size = self.size;
            let message = format!("the file ends at {size}, before {offset}");
            return Err(Status::out_of_range(message));
        }
        Ok(())
    }

    /// Sends it from byte `offset` on, as the download with this ticket. Returns the CRC-32 of the whole.
    ///
    /// This blocks.
    ///
    /// One chunk is in memory at a time, and the next is read when there is room for it.
    ///
    /// # Errors
    ///
    /// CANCELLED if the call is over, ABORTED if the file was changed meanwhile, INTERNAL if it cannot be read.
    pub fn send(
        mut self,
        offset: u64,
        ticket: u64,
        replies: &Replies<Part>,
    ) -> Result<u32, Status> {
        let size = self.size;
        replies.send(Content::Opened(Opened { size, ticket }).into())?;
        let mut checksum = Hasher::new();
        let mut at = 0;
        while at < self.size {
            // What the client has already is read as well: the checksum is that of the whole.
            let end = if at < offset { offset } else { self.size };
            let length = (end - at).min(CHUNK as u64);
            let mut data = vec![0; length as usize];
            self.file
                .read_exact(&mut data)
                .map_err(|error| unreadable(&error))?;
            checksum.update(&data);
            at += length;
            if at <= offset {
                replies.still_wanted()?;
            } else {
                replies.send(Content::Data(data).into())?;
            }
        }
        let now = self.file.metadata().map_err(|error| unreadable(&error))?;
        if now.len() != self.size || now.modified().ok() != self.modified {
            return Err(changed());
        }
        Ok(checksum.finalize())
    }
}

/// What the system says of a file is for the operator, and not for the client.
fn unreadable(error: &io::Error) -> Status {
    match error.kind() {
        ErrorKind::UnexpectedEof => changed(),
        _ => Status::internal("the file could not be read"),
    }
}

fn changed() -> Status {
    Status::aborted("the file was changed while it was sent")
}

impl From<Content> for Part {
    fn from(content: Content) -> Self {
        let content = Some(content);
        Self { content }
    }
}
