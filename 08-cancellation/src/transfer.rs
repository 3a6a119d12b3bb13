//! A transfer: a debit here, a credit in the other branch, and an `.await` between the two.

use std::pin::pin;

use tonic::{Code, Response, Status};

use crate::bank::{Order, Receipt};
use crate::journal::Entry;
use crate::north::North;

/// Carries `order` out. To carry it out again, with the same id, is safe.
///
/// When this future is dropped between debit and credit the coins are gone: nobody brings them back.
///
/// # Errors
///
/// INVALID_ARGUMENT for an order without id or coins. FAILED_PRECONDITION if Ann has too few coins, NOT_FOUND
/// if nobody is called `to`, ALREADY_EXISTS for an id that stands for another order; then nothing has changed.
/// Any other code leaves in doubt whether the coins have arrived: send the order again.
pub async fn carry_out(north: North, order: Order) -> Result<Receipt, Status> {
    if order.id.is_empty() || order.coins == 0 {
        return Err(Status::invalid_argument("an order needs an id and coins"));
    }
    let id = format!("transfer {}", order.id);
    let (to, coins) = (order.to.clone(), i64::from(order.coins));
    let mut south = north.south.clone();
    // Nothing happens before it is awaited. It stands above `entry` because variables are dropped from the
    // last to the first: so the line is in the journal before the other branch hears of a cancellation.
    let credit = pin!(south.credit(order));
    let mut entry = Entry::new(&north.journal, format!("north: {id}"));

    entry.becomes("refused");
    north.ledger.book(&id, "Ann", &to, -coins)?;
    entry.becomes("stopped between debit and credit");
    match credit.await.map(Response::into_inner) {
        Ok(receipt) if receipt.again => {
            entry.becomes("booked before");
            Ok(receipt)
        }
        Ok(receipt) => {
            entry.becomes("booked");
            Ok(receipt)
        }
        // The other branch says that it did nothing. gRPC undoes nothing, so the handler has to.
        Err(status) if matches!(status.code(), Code::NotFound | Code::AlreadyExists) => {
            north.ledger.undo(&id);
            entry.becomes("undone");
            Err(passed_on(status))
        }
        Err(status) => {
            entry.becomes("in doubt");
            Err(passed_on(status))
        }
    }
}

/// What a caller may know of another server's error: what happened, not the metadata that came with it.
fn passed_on(status: Status) -> Status {
    Status::new(status.code(), status.message())
}
