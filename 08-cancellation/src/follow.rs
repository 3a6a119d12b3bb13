//! Follows the bank's journal from afar, so that a caller can hang up at one certain point.

use tokio_util::sync::CancellationToken;
use tonic::{Response, Status, Streaming};

use crate::bank::Line;
use crate::hang_up::unless_cancelled;

/// The server's journal, as it is written. To drop it is to stop following.
#[derive(Debug)]
pub struct Follower(Streaming<Line>);

impl Follower {
    /// Follows what `Bank.Journal` has answered.
    pub fn new(journal: Response<Streaming<Line>>) -> Self {
        Self(journal.into_inner())
    }

    /// What stands after `start` in the next line that begins with it.
    ///
    /// # Errors
    ///
    /// What the journal ends with; DATA_LOSS if it ends with OK.
    pub async fn after(&mut self, start: &str) -> Result<String, Status> {
        while let Some(Line { text }) = self.0.message().await? {
            if let Some(end) = text.strip_prefix(start) {
                return Ok(end.to_owned());
            }
        }
        Err(Status::data_loss("the journal has ended"))
    }

    /// Makes a call, hangs up when the journal has come to `line`, and returns what the call ended with.
    ///
    /// # Errors
    ///
    /// What the journal ends with, if it ends before that line.
    pub async fn hang_up_at<T>(
        &mut self,
        line: &str,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<Result<T, Status>, Status> {
        let token = CancellationToken::new();
        let (result, followed) = tokio::join!(unless_cancelled(&token, call), async {
            let followed = self.after(line).await;
            token.cancel();
            followed
        });
        followed.map(|_| result)
    }
}
