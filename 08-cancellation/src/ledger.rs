//! The book of one account. An order changes it once, however often it comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic::Status;

use crate::proto::Order;

/// A real bank writes its orders to disk, and forgets old ones in time.
pub const MAX_ORDERS: usize = 10_000;

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Debited. Whether the coins have arrived isn't known.
    Open,
    /// Debited and credited.
    Done,
}

/// The book of one account. Clones are the same book.
#[derive(Clone)]
pub struct Ledger(Arc<Mutex<Book>>);

struct Book {
    coins: i64,
    orders: HashMap<String, (Order, Step)>,
}

impl Ledger {
    pub fn new(coins: i64) -> Self {
        let orders = HashMap::new();
        Self(Arc::new(Mutex::new(Book { coins, orders })))
    }

    pub fn coins(&self) -> i64 {
        self.book().coins
    }

    /// Enters a new order, and changes the account by `change` coins. Of an order that has come
    /// before, it only says how far it has come. An error has changed nothing.
    pub fn enter(&self, order: &Order, change: i64, step: Step) -> Result<Step, Status> {
        let mut book = self.book();
        match book.orders.get(&order.id) {
            Some((known, step)) if known == order => Ok(*step),
            Some(_) => Err(Status::already_exists("the id of another order")),
            None if book.orders.len() >= MAX_ORDERS => Err(Status::resource_exhausted("full book")),
            None if book.coins + change < 0 => Err(Status::failed_precondition("too few coins")),
            None => {
                book.coins += change;
                book.orders.insert(order.id.clone(), (order.clone(), step));
                Ok(step)
            }
        }
    }

    /// The coins of an order that is open have arrived.
    pub fn close(&self, order: &Order) {
        if let Some((known, step)) = self.book().orders.get_mut(&order.id)
            && known == order
        {
            *step = Step::Done;
        }
    }

    /// Nobody has the account: the coins of an order that is open come back, and it's forgotten.
    pub fn give_back(&self, order: &Order) {
        let Book { coins, orders } = &mut *self.book();
        // It may have come back already, and its id may be another order's by now.
        let is_open = |(known, step): &(Order, Step)| known == order && *step == Step::Open;
        if orders.get(&order.id).is_some_and(is_open) {
            orders.remove(&order.id);
            *coins += i64::from(order.coins);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that holds the lock panics, so the book is in order.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bounds what callers send, and so what the bank and its branch keep and print of it.
pub fn checked(order: Order) -> Result<Order, Status> {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
    let fits = (1..=36).contains(&order.id.len()) && (1..=64).contains(&order.to.len());
    if fits && order.coins > 0 && order.id.bytes().all(is_plain) {
        return Ok(order);
    }
    Err(Status::invalid_argument("not an order: see bank.proto"))
}
