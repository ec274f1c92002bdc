//! A slab and a queue that count who looks through all of them. Tests put them in the place of those
//! that a client's subscriptions and views, and what waits for it, are in: walks show in no result,
//! and measuring time would make a test fail by chance.

use std::{
    cell::Cell,
    collections,
    ops::{Deref, DerefMut},
};

#[derive(Debug)]
pub(in crate::delivery) struct Slab<T> {
    entries: slab::Slab<T>,
    visits: Cell<usize>,
}

impl<T> Slab<T> {
    pub(in crate::delivery) fn with_capacity(capacity: usize) -> Self {
        Self { entries: slab::Slab::with_capacity(capacity), visits: Cell::new(0) }
    }

    pub(in crate::delivery) fn iter(&self) -> slab::Iter<'_, T> {
        self.visit_all();
        self.entries.iter()
    }

    /// How many entries have been come to by walks so far. One that ends early counts in full.
    pub(super) fn visits(&self) -> usize {
        self.visits.get()
    }

    fn visit_all(&self) {
        self.visits.set(self.visits.get() + self.entries.len());
    }
}

impl<T> Deref for Slab<T> {
    type Target = slab::Slab<T>;

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl<T> DerefMut for Slab<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.entries
    }
}

impl<'a, T> IntoIterator for &'a Slab<T> {
    type Item = (usize, &'a T);
    type IntoIter = slab::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut Slab<T> {
    type Item = (usize, &'a mut T);
    type IntoIter = slab::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.visit_all();
        self.entries.iter_mut()
    }
}

/// Only what goes through the queue to take something out of it is counted: elsewhere, the look ends
/// at what is looked for.
#[derive(Debug)]
pub(in crate::delivery) struct Queue<T> {
    entries: collections::VecDeque<T>,
    visits: usize,
}

impl<T> Queue<T> {
    pub(in crate::delivery) fn new() -> Self {
        Self { entries: collections::VecDeque::new(), visits: 0 }
    }

    pub(in crate::delivery) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.visits += self.entries.len();
        self.entries.retain(keep);
    }

    /// How many entries have been come to so far.
    pub(in crate::delivery) fn visits(&self) -> usize {
        self.visits
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for Queue<T> {
    type Target = collections::VecDeque<T>;

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

impl<T> DerefMut for Queue<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.entries
    }
}

impl<T> IntoIterator for Queue<T> {
    type Item = T;
    type IntoIter = collections::vec_deque::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Queue<T> {
    type Item = &'a T;
    type IntoIter = collections::vec_deque::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}
