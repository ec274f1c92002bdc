//! The latest updates of one topic, for resume and replay. Pure.

use std::{collections::VecDeque, sync::Arc};

use super::Issued;

/// Consecutive updates of one topic and epoch, oldest first.
#[derive(Debug, Default)]
pub struct Ring {
    updates: VecDeque<Arc<Issued>>,
    bytes: usize,
}

impl Ring {
    /// Adds the next update and drops the oldest beyond `capacity`.
    pub fn push(&mut self, issued: Arc<Issued>, capacity: usize) {
        self.bytes += issued.footprint();
        self.updates.push_back(issued);
        while self.updates.len() > capacity.max(1) {
            self.pop_oldest();
        }
    }

    /// Drops the oldest update, but never the newest: it is the topic's last value.
    pub fn drop_oldest(&mut self) -> bool {
        !self.is_single() && self.pop_oldest()
    }

    /// True when there is nothing that could be dropped.
    pub fn is_single(&self) -> bool {
        self.updates.len() <= 1
    }

    fn pop_oldest(&mut self) -> bool {
        let popped = self.updates.pop_front();
        if let Some(issued) = &popped {
            self.bytes -= issued.footprint();
        }
        popped.is_some()
    }

    /// The oldest update.
    pub fn oldest(&self) -> Option<&Arc<Issued>> {
        self.updates.front()
    }

    /// The newest update, which is never dropped.
    pub fn newest(&self) -> Option<&Arc<Issued>> {
        self.updates.back()
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Updates from sequence number `from` on, as far as they are kept.
    pub fn from(&self, from: u64) -> impl Iterator<Item = &Arc<Issued>> {
        let oldest = self.oldest().map_or(from, |issued| issued.update.seq);
        let skip = usize::try_from(from.saturating_sub(oldest)).unwrap_or(usize::MAX);
        self.updates.iter().skip(skip)
    }
}
