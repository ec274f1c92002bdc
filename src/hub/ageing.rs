//! Which topics time will change, and when.
//!
//! A topic is looked at when its moment comes and not before: with ten thousand of them, looking at
//! each four times a second took more than publishing did. While a value is confirmed its moment
//! moves out, and is found to have done so when the former one comes. Topics are counted by state
//! when they change it.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::{
        Arc,
        atomic::{self, AtomicU32},
    },
};

use parking_lot::Mutex;

use super::Slot;
use crate::{market::State, units::Micros};

/// When to look at which topic, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Ageing {
    moments: Mutex<BinaryHeap<Reverse<Moment>>>,
    counts: [AtomicU32; State::ALL.len()],
}

/// When a topic may change by itself.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) at: Micros,
    pub(super) slot: Arc<Slot>,
}

impl Ageing {
    /// A topic is new.
    pub(super) fn born(&self) {
        self.count(State::Down).fetch_add(1, atomic::Ordering::Relaxed);
    }

    /// A topic has changed its state.
    pub(super) fn changed(&self, from: State, to: State) {
        self.count(from).fetch_sub(1, atomic::Ordering::Relaxed);
        self.count(to).fetch_add(1, atomic::Ordering::Relaxed);
    }

    /// Topics in each state.
    pub(super) fn counts(&self) -> [u32; State::ALL.len()] {
        State::ALL.map(|state| self.count(state).load(atomic::Ordering::Relaxed))
    }

    /// A topic wants to be looked at.
    pub(super) fn watch(&self, moment: Moment) {
        self.moments.lock().push(Reverse(moment));
    }

    /// The next topic whose moment has come by `now`.
    pub(super) fn next(&self, now: Micros) -> Option<Moment> {
        let mut moments = self.moments.lock();
        moments.peek().filter(|Reverse(next)| next.at <= now)?;
        moments.pop().map(|Reverse(next)| next)
    }

    fn count(&self, state: State) -> &AtomicU32 {
        let [live, stale, down] = &self.counts;
        match state {
            State::Live => live,
            State::Stale => stale,
            State::Down => down,
        }
    }
}

impl Moment {
    fn order(&self) -> (Micros, u32) {
        (self.at, self.slot.id())
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Moment {}
