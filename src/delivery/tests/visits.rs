//! A slab that counts who looks through all of it. Tests put it in the place of the one that a
//! client's subscriptions and views are in: walks show in no result, and measuring time would make
//! a test fail by chance.

use std::{
    cell::Cell,
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
