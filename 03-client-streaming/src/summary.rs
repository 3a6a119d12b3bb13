//! A summary that grows reading by reading, in the same few bytes however many there are.

use crate::calculator::Summary;

impl Summary {
    /// The summary to start from. Its minimum and maximum mean nothing before the first reading.
    pub fn of_nothing() -> Self {
        Self {
            count: 0,
            mean: 0.0,
            minimum: f64::INFINITY,
            maximum: f64::NEG_INFINITY,
        }
    }

    /// Takes in one more reading, a finite number.
    pub fn add(&mut self, reading: f64) {
        self.count += 1;
        let count = self.count as f64;
        // Neither a sum of the readings nor `reading - self.mean`: both can be too large for an f64.
        self.mean += reading / count - self.mean / count;
        self.minimum = self.minimum.min(reading);
        self.maximum = self.maximum.max(reading);
    }
}
