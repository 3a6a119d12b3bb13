//! The books of one branch. What has the same id is booked once, however often it comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tonic::Status;

/// The books of a branch with one account. Clones are the same books.
#[derive(Debug, Clone)]
pub struct Ledger {
    owner: &'static str,
    books: Arc<Mutex<Books>>,
}

#[derive(Debug)]
struct Books {
    coins: i64,
    /// What was booked, by id. A real bank forgets an id when no caller can still send it again.
    booked: HashMap<String, Booking>,
}

#[derive(Debug, PartialEq, Eq)]
struct Booking {
    other: String,
    change: i64,
}

/// Whether a booking is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booked {
    /// It was booked now.
    Now,
    /// It had been booked before, and nothing was done.
    Before,
}

impl Ledger {
    /// The books of a branch where `owner` has `coins`.
    pub fn of(owner: &'static str, coins: i64) -> Self {
        Self {
            owner,
            books: Arc::new(Mutex::new(Books {
                coins,
                booked: HashMap::new(),
            })),
        }
    }

    /// How many coins are in the account.
    pub fn coins(&self) -> i64 {
        self.with_books(|books| books.coins)
    }

    /// Adds `change` coins to the account of `owner`, all of it or nothing, unless that was done before.
    /// `other` is where they come from or go to.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if `owner` has no account here, FAILED_PRECONDITION if there are too few coins,
    /// ALREADY_EXISTS if something else was booked with this id.
    pub fn book(&self, id: &str, owner: &str, other: &str, change: i64) -> Result<Booked, Status> {
        if owner != self.owner {
            return Err(Status::not_found(format!("{owner} has no account here")));
        }
        let other = other.to_owned();
        let booking = Booking { other, change };
        self.with_books(|books| match books.booked.get(id) {
            Some(booked) if *booked == booking => Ok(Booked::Before),
            Some(_) => Err(Status::already_exists(format!(
                "{id} stands for something else"
            ))),
            None if books.coins + change < 0 => Err(Status::failed_precondition(format!(
                "{owner} has {} coins, which is too few",
                books.coins
            ))),
            None => {
                books.coins += change;
                books.booked.insert(id.to_owned(), booking);
                Ok(Booked::Now)
            }
        })
    }

    /// Takes back what was booked with this id, as if it had never come.
    pub fn undo(&self, id: &str) {
        self.with_books(|books| {
            if let Some(Booking { change, .. }) = books.booked.remove(id) {
                books.coins -= change;
            }
        });
    }

    fn with_books<T>(&self, work: impl FnOnce(&mut Books) -> T) -> T {
        // A panic cannot leave the books half changed, so what it leaves may be used.
        work(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
