//! The frames that are kept.

use std::collections::VecDeque;

use tonic::codegen::Bytes;

/// Frames in their order. The first one has its place here: most requests have no other.
#[derive(Default)]
pub(super) struct Kept {
    first: Option<Bytes>,
    others: VecDeque<Bytes>,
}

impl Kept {
    pub(super) fn len(&self) -> usize {
        self.others.len() + usize::from(self.first.is_some())
    }

    pub(super) fn get(&self, index: usize) -> Option<&Bytes> {
        match (&self.first, index) {
            (Some(first), 0) => Some(first),
            (Some(_), index) => self.others.get(index - 1),
            (None, index) => self.others.get(index),
        }
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        if self.len() == 0 {
            self.first = Some(bytes);
        } else {
            self.others.push_back(bytes);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.first.take().or_else(|| self.others.pop_front())
    }

    /// Frees the first `count` of them, and their places if there are no others.
    pub(super) fn free(&mut self, count: usize) {
        for _ in 0..count.min(self.len()) {
            self.pop();
        }
        if self.others.is_empty() {
            self.others = VecDeque::new();
        }
    }
}
