//! What a call has cost so far, in steps of calculation. The last word is the trailer `cost`.

use conform::metadata::Trailers;
use tonic::Request;

pub(crate) struct Bill {
    cost: u64,
    trailers: Trailers,
}

impl Bill {
    /// Opens the bill of the call that `request` began, at nothing.
    pub(crate) fn open<T>(request: &Request<T>) -> Self {
        let trailers = Trailers::of(request);
        let bill = Self { cost: 0, trailers };
        bill.write();
        bill
    }

    /// Adds one step.
    pub(crate) fn charge(&mut self) {
        self.cost += 1;
        self.write();
    }

    fn write(&self) {
        self.trailers.lock().insert("cost", self.cost.into());
    }
}
