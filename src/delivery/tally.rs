//! What one client's deliveries add to the server's figures, gathered between two writes so that a
//! counter is touched once per write and not once per update. Pure.

use super::outbox::Loss;

/// Changes of the totals since they were last reported.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) offered: u64,
    pub(super) delivered: u64,
    pub(super) conflated: u64,
    pub(super) filtered: u64,
    pub(super) gaps: u64,
    pub(super) dropped: [u64; LOSSES.len()],
}

/// Every way to lose an update, with its metric label.
pub(super) const LOSSES: [(Loss, &str); 4] = [
    (Loss::Overflow, "overflow"),
    (Loss::Lag, "lag"),
    (Loss::Unsubscribed, "unsubscribed"),
    (Loss::Closed, "closed"),
];

impl Tally {
    /// Adds another, and empties it.
    pub(super) fn take_in(&mut self, other: &mut Self) {
        let Self { offered, delivered, conflated, filtered, gaps, dropped } = std::mem::take(other);
        self.offered += offered;
        self.delivered += delivered;
        self.conflated += conflated;
        self.filtered += filtered;
        self.gaps += gaps;
        for (sum, lost) in self.dropped.iter_mut().zip(dropped) {
            *sum += lost;
        }
    }

    pub(super) fn lose(&mut self, loss: Loss, count: u64) {
        if let Some(dropped) = self.dropped.get_mut(loss as usize) {
            *dropped += count;
        }
    }
}
