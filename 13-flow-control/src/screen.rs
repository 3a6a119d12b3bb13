//! Shows how far a download is: a bar on a terminal, a few lines elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget};
use tonic::Status;

use crate::download::Download;

/// What is shown of one download.
#[derive(Debug)]
pub struct Screen {
    bar: ProgressBar,
    quarters: Quarters,
}

impl Screen {
    /// Begins where the download does.
    pub fn new(film: &Download) -> Self {
        let (size, at) = (film.size(), film.received().bytes());
        Self {
            // Hidden where the output is no terminal, and cannot be drawn over again and again.
            bar: ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stdout()),
            quarters: Quarters::new(size, at),
        }
    }

    /// Reads and shows a download up to a percentage, or to its end, and its checksum.
    ///
    /// # Errors
    ///
    /// That of [`Download::chunk`].
    pub async fn show(&mut self, film: &mut Download, until: u64) -> Result<(), Status> {
        while film.chunk().await?.is_some() {
            let at = film.received().bytes();
            self.bar.set_position(at);
            let reached = self.quarters.reach(at);
            if self.bar.is_hidden() {
                reached.iter().for_each(|it| println!("  {it} %"));
            }
            if until < 100 && reached.contains(&until) {
                self.bar.abandon();
                return Ok(());
            }
        }
        self.bar.finish();
        println!("  CRC-32 {:08x}, as promised", film.received().checksum());
        Ok(())
    }
}

/// The quarters of a whole that are not reached yet.
#[derive(Clone, Debug)]
pub struct Quarters {
    whole: u64,
    reached: u64,
}

impl Quarters {
    /// Begins at `at` of `whole`. A quarter that lies there or before was told earlier.
    pub fn new(whole: u64, at: u64) -> Self {
        let mut quarters = Self { whole, reached: 0 };
        quarters.reach(at);
        quarters
    }

    /// The percentages that were reached since the last time.
    pub fn reach(&mut self, at: u64) -> Vec<u64> {
        let before = self.reached;
        // Wide enough for a file of any size. An empty file is whole at once.
        let quarters = (u128::from(at) * 4).checked_div(u128::from(self.whole));
        self.reached = quarters.map_or(4, |it| it.min(4) as u64).max(before);
        (before + 1..=self.reached)
            .map(|quarter| quarter * 25)
            .collect()
    }
}
