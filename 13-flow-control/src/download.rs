//! The client's side of a download: it is done when the checksum is right, and can go on where it broke off.

use crc32fast::Hasher;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::files::archive_client::ArchiveClient;
use crate::files::part::Content;
use crate::files::{DownloadRequest, HandedOver, Opened, Part, Ticket};

/// What has arrived of a file: enough to go on, and to check the whole at the end.
#[derive(Clone, Debug, Default)]
pub struct Received {
    bytes: u64,
    checksum: Hasher,
}

impl Received {
    /// How many bytes, from the start of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// CRC-32 of these bytes.
    pub fn checksum(&self) -> u32 {
        self.checksum.clone().finalize()
    }

    /// Takes in the bytes that follow.
    pub fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        self.checksum.update(data);
    }
}

/// A download that is open.
#[derive(Debug)]
pub struct Download {
    parts: Streaming<Part>,
    opened: Opened,
    received: Received,
    is_done: bool,
}

impl Download {
    /// Begins to download `name`, after what was received already.
    ///
    /// # Errors
    ///
    /// What the server answers, or DATA_LOSS if it does not begin with `Opened`.
    pub async fn begin(
        archive: &mut ArchiveClient<Channel>,
        name: &str,
        received: Received,
    ) -> Result<Self, Status> {
        let request = DownloadRequest {
            name: name.to_owned(),
            offset: received.bytes,
        };
        let mut parts = archive.download(request).await?.into_inner();
        match next(&mut parts).await? {
            Some(Content::Opened(opened)) => Ok(Self {
                parts,
                opened,
                received,
                is_done: false,
            }),
            _ => Err(Status::data_loss("the download does not say what it is of")),
        }
    }

    /// How many bytes the whole file has.
    pub fn size(&self) -> u64 {
        self.opened.size
    }

    /// What has arrived so far. It outlives the download, to begin another.
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// Waits for the bytes that follow. `None` says that all have arrived, and that the checksum is right.
    ///
    /// # Errors
    ///
    /// What the server answers, or DATA_LOSS if what arrived is not the file.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Status> {
        if self.is_done {
            return Ok(None);
        }
        match next(&mut self.parts).await? {
            Some(Content::Data(data)) => {
                self.received.add(&data);
                Ok(Some(data))
            }
            Some(Content::Checksum(checksum)) => {
                // The status comes after the last message, and may still be an error.
                let is_last = next(&mut self.parts).await?.is_none();
                let is_whole = self.received.bytes == self.opened.size;
                if !(is_last && is_whole && self.received.checksum() == checksum) {
                    return Err(Status::data_loss("what arrived is not the file"));
                }
                self.is_done = true;
                Ok(None)
            }
            _ => Err(Status::data_loss("the download ended before its checksum")),
        }
    }

    /// Asks how many bytes the server has handed over that were not read here yet.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if the server is done with the download.
    pub async fn ahead(&self, archive: &mut ArchiveClient<Channel>) -> Result<u64, Status> {
        let number = self.opened.ticket;
        let HandedOver { bytes } = archive.progress(Ticket { number }).await?.into_inner();
        Ok(bytes.saturating_sub(self.received.bytes))
    }

    /// Hangs up, and waits until the server is done with the download.
    ///
    /// # Errors
    ///
    /// What the server answers.
    pub async fn hang_up(self, archive: &mut ArchiveClient<Channel>) -> Result<Received, Status> {
        let number = self.opened.ticket;
        drop(self.parts);
        loop {
            match archive.progress(Ticket { number }).await {
                Ok(_still_open) => {}
                Err(status) if status.code() == Code::NotFound => return Ok(self.received),
                Err(status) => return Err(status),
            }
        }
    }
}

async fn next(parts: &mut Streaming<Part>) -> Result<Option<Content>, Status> {
    Ok(parts.message().await?.and_then(|part| part.content))
}
