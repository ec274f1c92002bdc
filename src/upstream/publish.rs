//! From a provider's ticks to the hub: validated, published, offered to the consolidator.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    consolidate::Consolidator,
    feed::Feed,
    validate::{Fault, Validator, Way},
};
use crate::{
    hub::{Hub, Outcome, Trouble},
    market::{Reason, Tick, Topic},
    units::Micros,
};

/// Ticks that are published together. What of them says nothing new sends nothing, and must not keep
/// long what does.
const TOGETHER: usize = 128;

/// One feed's way to the hub.
pub struct Publisher {
    feed: Arc<Feed>,
    hub: Arc<Hub>,
    consolidator: Arc<Consolidator>,
    validator: Validator,
    /// Topics that the feed has declared or published.
    topics: BTreeSet<Topic>,
    /// Whether the last poll had something to quarantine, so that a burst is logged once.
    burst: bool,
}

/// What became of ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Published {
    /// Published or confirmed.
    pub accepted: usize,
    /// Of those, what said something new.
    pub changed: usize,
    /// Held back.
    pub quarantined: usize,
    /// Older than what came by a stream before, and passed over.
    pub passed_over: usize,
}

impl Publisher {
    /// A way on which nothing has gone yet.
    pub fn new(
        feed: Arc<Feed>,
        hub: Arc<Hub>,
        consolidator: Arc<Consolidator>,
        jump_max_pct: f64,
    ) -> Self {
        Self {
            feed,
            hub,
            consolidator,
            validator: Validator::new(jump_max_pct),
            topics: BTreeSet::new(),
            burst: false,
        }
    }

    /// Where it goes, for what is published together one by one.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Makes topics known before their first value.
    pub fn declare(&mut self, topics: Vec<Topic>) {
        for topic in topics {
            self.hub.declare(&topic);
            self.consolidator.declare(&topic);
            self.topics.insert(topic);
        }
    }

    /// Topics that somebody may want the feed for: its own, and those that they are part of.
    pub fn wanted(&self) -> Vec<Topic> {
        let parts = self.topics.iter().flat_map(|topic| self.consolidator.parts_of(topic));
        self.topics.iter().cloned().chain(parts).collect()
    }

    /// Publishes what is valid of `ticks`, which came with an answer at `rx`.
    pub fn publish(&mut self, ticks: &[Tick], rx: Micros) -> Published {
        self.validator.next_answer();
        self.validator.comes_by(Way::Answers);
        let mut published = Published::default();
        let hub = self.hub.clone();
        for ticks in ticks.chunks(TOGETHER) {
            let _together = hub.batch();
            ticks.iter().for_each(|tick| self.publish_answered(tick, rx, &mut published));
        }
        published
    }

    fn publish_answered(&mut self, tick: &Tick, rx: Micros, published: &mut Published) {
        if self.validator.is_behind(tick) {
            published.passed_over += 1;
            return;
        }
        match self.publish_checked(tick, rx) {
            Ok(outcome) => {
                published.accepted += 1;
                published.changed += usize::from(outcome != Outcome::Unchanged);
            }
            Err(_) => published.quarantined += 1,
        }
    }

    /// Publishes a tick that came by itself at `rx`.
    ///
    /// # Errors
    /// The fault for which it is held back.
    pub fn publish_one(&mut self, tick: &Tick, rx: Micros) -> Result<Outcome, Fault> {
        self.validator.next_answer();
        self.publish_checked(tick, rx)
    }

    /// Publishes a tick that came at `rx` by the stream's connection of number `connection`; `None`
    /// where it is passed over, since a newer one came by another connection or an answer.
    ///
    /// # Errors
    /// The fault for which it is held back.
    pub fn publish_streamed(
        &mut self,
        tick: &Tick,
        connection: u64,
        rx: Micros,
    ) -> Result<Option<Outcome>, Fault> {
        self.validator.comes_by(Way::Connection(connection));
        if self.validator.is_behind(tick) {
            return Ok(None);
        }
        self.publish_one(tick, rx).map(Some)
    }

    fn publish_checked(&mut self, tick: &Tick, rx: Micros) -> Result<Outcome, Fault> {
        let checked = self.validator.check(tick, rx);
        checked.inspect_err(|fault| self.hold_back(tick, *fault, rx))?;
        Ok(self.accept(tick, rx))
    }

    /// What was accepted before is as it was, as the upstream said at `rx`.
    pub fn confirm(&mut self, tick: &Tick, rx: Micros) {
        self.accept(tick, rx);
    }

    /// Nothing has come for `topic` so far.
    pub fn lacking(&self, topic: &Topic, now: Micros) {
        let trouble = Trouble { reason: Reason::NoData, retry_at: None, blocked: false };
        self.hub.trouble(topic, self.feed.name(), trouble, now);
    }

    fn hold_back(&mut self, tick: &Tick, fault: Fault, rx: Micros) {
        self.feed.metrics().quarantined(fault);
        if !self.burst {
            let (feed, topic, reason) = (self.feed.name(), &tick.topic, fault.as_str());
            tracing::warn!(%feed, %topic, reason, "quarantined; more is counted");
            self.burst = true;
        }
        let trouble = Trouble { reason: Reason::Quarantined, retry_at: None, blocked: false };
        self.hub.trouble(&tick.topic, self.feed.name(), trouble, rx);
    }

    fn accept(&mut self, tick: &Tick, rx: Micros) -> Outcome {
        let (name, stale_after) = (self.feed.name(), self.feed.stale_after());
        let outcome = self.hub.publish(tick, name, rx, stale_after);
        self.consolidator.offer(tick, &self.feed, rx);
        if !self.topics.contains(&tick.topic) {
            self.topics.insert(tick.topic.clone());
        }
        outcome
    }

    /// A poll has ended in which nothing was held back: the next quarantine is a burst of its own.
    pub fn clean(&mut self) {
        self.burst = false;
    }

    /// None of the feed's topics could be confirmed.
    pub fn trouble(&self, trouble: Trouble, now: Micros) {
        let _together = self.hub.batch();
        for topic in &self.topics {
            self.hub.trouble(topic, self.feed.name(), trouble, now);
            self.consolidator.trouble(topic, self.feed.name(), trouble, now);
        }
    }
}

#[cfg(test)]
mod tests;
