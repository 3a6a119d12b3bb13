//! The little arithmetic that the handlers need: nothing of it is about metadata.

use futures::Stream;
use server_streaming::factors::{Search, Step};
use server_streaming::produce::produce;
use tonic::Status;

use crate::calculator::{Integer, Number, Summary};

/// The value of `number`.
///
/// # Errors
///
/// INVALID_ARGUMENT for NaN, which is neither smaller nor larger than anything.
pub fn value_of(number: Number) -> Result<f64, Status> {
    if number.value.is_nan() {
        return Err(Status::invalid_argument("NaN is not a number"));
    }
    Ok(number.value)
}

/// The square root of `number`.
///
/// # Errors
///
/// INVALID_ARGUMENT if it has none.
pub fn square_root_of(number: Number) -> Result<Number, Status> {
    let value = value_of(number)?;
    if value < 0.0 {
        return Err(Status::invalid_argument(format!(
            "no real number is the square root of {value}"
        )));
    }
    let value = value.sqrt();
    Ok(Number { value })
}

/// The prime factors of `number`, in rising order. Calls `charge` for each.
///
/// # Errors
///
/// INVALID_ARGUMENT for zero, which has none.
pub fn factors_of(
    number: Integer,
    mut charge: impl FnMut() + Send + 'static,
) -> Result<impl Stream<Item = Result<Integer, Status>> + Send, Status> {
    if number.value == 0 {
        return Err(Status::invalid_argument("0 has no prime factors"));
    }
    let mut search = Search::new(number.value);
    Ok(produce(move |replies| {
        loop {
            match search.step() {
                Step::Found(value) => {
                    charge();
                    replies.send(Integer { value })?;
                }
                Step::Searching => replies.still_wanted()?,
                Step::Done => return Ok(()),
            }
        }
    }))
}

impl Summary {
    /// Takes in one more number. The summary of no numbers is all zeros.
    pub fn add(&mut self, value: f64) {
        let first = self.count == 0;
        self.count += 1;
        self.mean += (value - self.mean) / self.count as f64;
        self.minimum = if first {
            value
        } else {
            self.minimum.min(value)
        };
        self.maximum = if first {
            value
        } else {
            self.maximum.max(value)
        };
    }
}
