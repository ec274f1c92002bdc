//! When a source goes stale next, over all symbols: what the sweep sleeps until.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{units::Micros, upstream::clock::Clock};

/// The least of all times it was told since it was reset.
pub(super) struct Deadline {
    at: AtomicI64,
    /// It has become less.
    sooner: Notify,
}

impl Deadline {
    pub(super) fn new() -> Self {
        Self { at: AtomicI64::new(Micros::MAX), sooner: Notify::new() }
    }

    /// Forgets all times. Whoever goes through all sources tells theirs afterwards, so that none is
    /// lost that is told meanwhile.
    pub(super) fn reset(&self) {
        self.at.store(Micros::MAX, Ordering::Release);
    }

    /// One source goes stale at `at`.
    pub(super) fn at_most(&self, at: Micros) {
        if self.at.fetch_min(at, Ordering::AcqRel) > at {
            self.sooner.notify_one();
        }
    }

    /// Waits for the time, and for an earlier one that is told meanwhile.
    pub(super) async fn reached(&self, clock: &Clock) {
        loop {
            let left = self.at.load(Ordering::Acquire).saturating_sub(clock.now());
            let Ok(left @ 1..) = u64::try_from(left) else { return };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_micros(left)) => {}
                () = self.sooner.notified() => {}
            }
        }
    }
}
