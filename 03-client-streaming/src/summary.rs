//! A summary that grows reading by reading, and takes the same few bytes however many there are.

use tonic::Status;

use crate::proto::Summary;

/// Begin with `Summary::default()`, the summary of nothing.
impl Summary {
    /// Takes in one more reading.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if it is not a finite number.
    pub fn add(&mut self, reading: f64) -> Result<(), Status> {
        if !reading.is_finite() {
            let number = self.count + 1;
            let why = format!("reading {number} is {reading}, not a finite number");
            return Err(Status::invalid_argument(why));
        }
        if self.count == 0 {
            (self.minimum, self.maximum) = (reading, reading);
        }
        self.count += 1;
        self.minimum = self.minimum.min(reading);
        self.maximum = self.maximum.max(reading);
        // Neither the sum of all readings nor `reading - self.mean`: both can overflow.
        let count = self.count as f64;
        self.mean += reading / count - self.mean / count;
        Ok(())
    }

    /// The summary of at least one reading.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if there were none.
    pub fn finish(self) -> Result<Self, Status> {
        if self.count == 0 {
            return Err(Status::invalid_argument("no readings, no summary"));
        }
        Ok(self)
    }
}
