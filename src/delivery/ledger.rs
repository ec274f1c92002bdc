//! What became of every update that a subscription was offered.

use schemars::JsonSchema;
use serde::Serialize;

/// The account of one subscription. At every moment
/// `published = delivered + filtered + conflated + dropped + queued`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Ledger {
    /// Updates offered since the answer to `subscribe`.
    pub published: u64,
    /// The kernel took the last byte.
    pub delivered: u64,
    /// Refused by filter, trigger or min_change.
    pub filtered: u64,
    /// Replaced by a newer one while waiting.
    pub conflated: u64,
    /// Lost to overflow, or to lag past what history keeps.
    pub dropped: u64,
    /// Waiting, or partly written.
    pub queued: u64,
}

impl Ledger {
    /// Whether the account adds up.
    pub fn balances(&self) -> bool {
        self.published
            == self.delivered + self.filtered + self.conflated + self.dropped + self.queued
    }
}
