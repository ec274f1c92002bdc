//! Which readers are to be woken, and by whom: whoever publishes wakes them at once, unless a batch is
//! being published, whose end wakes them then. Somebody who publishes while the last batch ends must
//! not leave it to an end that has passed.

use std::sync::atomic::{AtomicU64, Ordering};

/// The readers with something that they were not woken for, one bit each.
#[derive(Debug)]
pub(super) struct Untold<W = AtomicU64> {
    bits: W,
    /// How many batches are being published.
    batches: W,
}

/// An atomic number, so that every order of events can be tried on one that is not the machine's.
pub(super) trait Word {
    fn zero() -> Self;
    fn get(&self) -> u64;
    fn add(&self, number: u64) -> u64;
    fn sub(&self, number: u64) -> u64;
    fn or(&self, bits: u64) -> u64;
    fn swap(&self, number: u64) -> u64;
}

macro_rules! word {
    ($atomic:ty) => {
        impl Word for $atomic {
            fn zero() -> Self {
                Self::new(0)
            }

            fn get(&self) -> u64 {
                self.load(Ordering::Acquire)
            }

            fn add(&self, number: u64) -> u64 {
                self.fetch_add(number, Ordering::AcqRel)
            }

            fn sub(&self, number: u64) -> u64 {
                self.fetch_sub(number, Ordering::AcqRel)
            }

            fn or(&self, bits: u64) -> u64 {
                self.fetch_or(bits, Ordering::AcqRel)
            }

            fn swap(&self, number: u64) -> u64 {
                <$atomic>::swap(self, number, Ordering::AcqRel)
            }
        }
    };
}

word!(AtomicU64);

impl<W: Word> Untold<W> {
    pub(super) fn new() -> Self {
        Self { bits: W::zero(), batches: W::zero() }
    }

    /// A batch begins.
    pub(super) fn begin(&self) {
        self.batches.add(1);
    }

    /// A batch has ended. Returns who is to be woken.
    pub(super) fn end(&self) -> u64 {
        self.batches.sub(1);
        self.take()
    }

    /// Something was sent to those. Returns who is to be woken.
    pub(super) fn sent(&self, to: u64) -> u64 {
        if self.batches.get() == 0 {
            return to;
        }
        self.bits.or(to);
        // The last batch may have ended since it was looked for. If it has not by now, its end finds
        // what was noted: whichever of the two comes second to `bits` sees what the other did before.
        if self.batches.get() == 0 { self.take() } else { 0 }
    }

    /// Returns who is to be woken, who thereby counts as woken.
    pub(super) fn take(&self) -> u64 {
        self.bits.swap(0)
    }
}

#[cfg(test)]
mod tests {
    use loom::sync::{Arc, atomic::AtomicU64};

    use super::{Ordering, Untold, Word};

    word!(AtomicU64);

    /// With more than three switches between threads that could have gone on, there are too many.
    fn every_order(run: impl Fn() + Sync + Send + 'static) {
        let mut orders = loom::model::Builder::new();
        orders.preemption_bound = Some(3);
        orders.check(run);
    }

    /// In every order in which it may happen, and in which memory may show it: whoever was sent
    /// something is woken by somebody.
    #[test]
    fn nobody_is_left_asleep_whatever_comes_between() {
        every_order(|| {
            let untold = Arc::new(Untold::<AtomicU64>::new());
            let woken = Arc::new(AtomicU64::zero());
            let batch = {
                let (untold, woken) = (untold.clone(), woken.clone());
                loom::thread::spawn(move || {
                    untold.begin();
                    woken.or(untold.sent(0b01));
                    woken.or(untold.end());
                })
            };
            let other = {
                let (untold, woken) = (untold.clone(), woken.clone());
                loom::thread::spawn(move || {
                    woken.or(untold.sent(0b10));
                })
            };
            batch.join().unwrap();
            other.join().unwrap();
            assert_eq!(woken.get(), 0b11);
        });
    }

    #[test]
    fn a_batch_that_ends_beside_another_wakes_for_both() {
        every_order(|| {
            let untold = Arc::new(Untold::<AtomicU64>::new());
            let woken = Arc::new(AtomicU64::zero());
            let batches = [0b01, 0b10].map(|to| {
                let (untold, woken) = (untold.clone(), woken.clone());
                loom::thread::spawn(move || {
                    untold.begin();
                    woken.or(untold.sent(to));
                    woken.or(untold.end());
                })
            });
            batches.into_iter().for_each(|batch| batch.join().unwrap());
            assert_eq!(woken.get(), 0b11);
        });
    }
}
