//! What writing to some clients adds to the server's figures, gathered so that the lines of memory
//! that all threads count into are fetched once for them all. Pure.

use super::{
    run::{Bulk, Moments},
    tally::Tally,
    view::Letter,
};
use crate::{telemetry::LatencyBatch, units::Micros};

/// Figures that are not in the metrics yet.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) tally: Tally,
    pub(super) delivery: LatencyBatch,
    pub(super) end_to_end: LatencyBatch,
    now: Micros,
}

impl Account {
    /// The kernel has just taken something: what is said to be delivered next was in it.
    pub(super) fn written(&mut self, now: Micros) {
        self.now = now;
    }

    /// The kernel took the last byte of `letter`.
    pub(super) fn delivered(&mut self, letter: &Letter) {
        self.tally.delivered += 1;
        self.delivery.record(self.now.saturating_sub(letter.rx));
        if let Some(ts) = letter.ts {
            self.end_to_end.record(self.now.saturating_sub(ts));
        }
    }

    /// The same of all updates of a run.
    pub(super) fn delivered_run(&mut self, bulk: &Bulk) {
        self.tally.delivered += bulk.rx.all.len() as u64;
        note(&mut self.delivery, self.now, &bulk.rx);
        note(&mut self.end_to_end, self.now, &bulk.ts);
    }
}

fn note(batch: &mut LatencyBatch, now: Micros, moments: &Moments) {
    let Ok(count) = u32::try_from(moments.all.len()) else { return };
    let most = now.saturating_sub(moments.first);
    let sum = most.saturating_mul(count.into()).saturating_sub(moments.spread);
    let alike = [now.saturating_sub(moments.last), most, sum];
    if count > 0 && !batch.record_alike(count, alike) {
        moments.all.iter().for_each(|moment| batch.record(now.saturating_sub(*moment)));
    }
}
