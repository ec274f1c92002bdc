//! Where producers and consumers meet: every topic's sequence, last value, history and freshness,
//! and the broadcast channels out. Nothing here awaits, so a slow client can never delay a
//! publish.
//!
//! An *outlet* is one broadcast channel; each delivery shard reads one. A topic sends only to the
//! outlets that registered interest in it, so that an update that nobody wants costs its encoding
//! alone.

mod ageing;
mod config;
mod freshness;
mod health;
mod intake;
mod interest;
mod issued;
mod metrics;
mod outlet;
mod ring;
mod slot;
mod untold;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicIsize, AtomicU32, Ordering},
    },
};

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};

pub use config::Config;
pub use freshness::{Standing, Transition, Trouble};
pub use health::{BudgetReport, ErrorReport, FeedHealth, FeedReport, Transport};
pub use intake::{Intake, Receipt, Refusal, Rejection, Submission, Taken};
pub use interest::Interest;
pub use issued::Issued;
pub use outlet::{Batch, Inbox};
pub use slot::{Head, Joined, Outcome, Slot};

use self::{
    ageing::Ageing,
    outlet::Outlets,
    slot::{Common, Reliance},
};
use crate::{
    market::{Epoch, Pattern, Source, Tick, Topic},
    telemetry::Telemetry,
    units::Micros,
};

/// Number of a topic in a hub: small, dense, never reused.
pub type TopicId = u32;

/// The most outlets a hub has: one bit each.
pub const OUTLETS_MAX: usize = 64;

/// What comes out of an outlet.
#[derive(Debug, Clone)]
pub enum Event {
    /// A numbered update.
    Update(Arc<Issued>),
    /// A topic's freshness has changed.
    Status(Arc<StatusChange>),
}

/// A change of freshness, and whose.
#[derive(Debug)]
pub struct StatusChange {
    /// Whose.
    pub slot: Arc<Slot>,
    /// 1, 2, 3… per topic: which of its changes this is.
    pub number: u64,
    /// What has changed.
    pub transition: Transition,
}

/// The topics and the ways out.
#[derive(Debug)]
pub struct Hub {
    topics: DashMap<Topic, Arc<Slot>>,
    /// The same in order, for patterns. Locked after one of `topics`, if with it.
    by_name: RwLock<BTreeMap<Topic, Arc<Slot>>>,
    next_id: AtomicU32,
    epoch: Epoch,
    common: Common,
    config: Config,
    history_bytes: AtomicIsize,
    trimming: Mutex<()>,
    interest: Interest,
    metrics: metrics::Metrics,
}

impl Hub {
    /// A hub without topics, with `outlets` ways out (at most [`OUTLETS_MAX`]), that numbers under
    /// `epoch`.
    pub fn new(config: Config, outlets: usize, epoch: Epoch, telemetry: &Telemetry) -> Self {
        let outlets = outlets.clamp(1, OUTLETS_MAX);
        Self {
            topics: DashMap::new(),
            by_name: RwLock::default(),
            next_id: AtomicU32::new(0),
            epoch,
            common: Common { outlets: Outlets::new(outlets), ageing: Ageing::default() },
            config,
            history_bytes: AtomicIsize::new(0),
            trimming: Mutex::new(()),
            interest: Interest::default(),
            metrics: metrics::Metrics::new(telemetry),
        }
    }

    /// The numbering under which topics begin.
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// What is subscribed.
    pub fn interest(&self) -> &Interest {
        &self.interest
    }

    /// Number of outlets.
    pub fn outlets(&self) -> usize {
        self.common.outlets.len()
    }

    /// Opens an outlet: what is sent from now on comes out. `None` when there is no such outlet.
    pub fn open(&self, outlet: usize) -> Option<Inbox> {
        self.common.outlets.open(outlet)
    }

    /// What is published until this is dropped reaches the outlets together.
    pub fn batch(&self) -> Batch<'_> {
        self.common.outlets.batch()
    }

    /// The topic, which is created without a value where it is new.
    pub fn declare(&self, topic: &Topic) -> Arc<Slot> {
        if let Some(slot) = self.topic(topic.as_str()) {
            return slot;
        }
        let entry = self.topics.entry(topic.clone());
        let slot = entry.or_insert_with(|| {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            self.common.ageing.born();
            let slot = Arc::new(Slot::new(id, topic.clone(), self.epoch.clone()));
            self.by_name.write().insert(topic.clone(), slot.clone());
            slot
        });
        slot.clone()
    }

    /// The topic, where it is known.
    pub fn topic(&self, topic: &str) -> Option<Arc<Slot>> {
        self.topics.get(topic).map(|slot| slot.clone())
    }

    /// Topics that `pattern` means, by name.
    pub fn matching(&self, pattern: &Pattern) -> Vec<Arc<Slot>> {
        if !pattern.is_wildcard() {
            return self.topic(pattern.as_str()).into_iter().collect();
        }
        let beginning = pattern.beginning();
        let from = (Bound::Included(beginning), Bound::Unbounded);
        let by_name = self.by_name.read();
        by_name
            .range::<str, _>(from)
            .take_while(|(topic, _)| topic.as_str().starts_with(beginning))
            .filter(|(topic, _)| pattern.matches(topic.as_str()))
            .map(|(_, slot)| slot.clone())
            .collect()
    }

    /// Publishes a reading that `source` gave at `rx`; it stays live for `stale_after` µs.
    pub fn publish(
        &self,
        tick: &Tick,
        source: &Source,
        rx: Micros,
        stale_after: Micros,
    ) -> Outcome {
        self.publish_to(&self.declare(&tick.topic), tick, source, rx, stale_after)
    }

    /// As [`Hub::publish`], to a topic that the caller has looked up.
    pub fn publish_to(
        &self,
        slot: &Arc<Slot>,
        tick: &Tick,
        source: &Source,
        rx: Micros,
        stale_after: Micros,
    ) -> Outcome {
        self.issue(slot, tick, source, rx, Reliance::Confirmed(stale_after))
    }

    /// Publishes a value that several sources back, whose newest answer came at `rx`. How fresh it
    /// is, says `standing`.
    pub fn publish_settled(
        &self,
        slot: &Arc<Slot>,
        tick: &Tick,
        rx: Micros,
        standing: &Standing,
        now: Micros,
    ) -> Outcome {
        self.issue(slot, tick, &standing.source, rx, Reliance::Settled(standing, now))
    }

    /// Says how fresh a value is that several sources back, where the value is the same.
    pub fn settle(&self, slot: &Arc<Slot>, standing: &Standing, now: Micros) {
        slot.settle(standing, now, &self.common);
    }

    fn issue(
        &self,
        slot: &Arc<Slot>,
        tick: &Tick,
        source: &Source,
        rx: Micros,
        reliance: Reliance<'_>,
    ) -> Outcome {
        let context =
            slot::Context { common: &self.common, history: self.config.history, reliance };
        let (outcome, grown) = slot.publish(tick, source, rx, &context);
        if matches!(outcome, Outcome::Issued(_)) {
            self.metrics.published(slot.kind());
        }
        let total = self.history_bytes.fetch_add(grown, Ordering::Relaxed) + grown;
        if total > self.config.history_bytes.0.cast_signed() {
            self.trim();
        }
        outcome
    }

    /// Says that `source` could not confirm `topic`.
    pub fn trouble(&self, topic: &Topic, source: &Source, trouble: Trouble, now: Micros) {
        self.declare(topic).trouble(source, trouble, now, &self.common);
    }

    /// Lets time pass for the topics, and tells how many are in which state.
    pub fn sweep(&self, now: Micros) {
        let _together = self.batch();
        while let Some(moment) = self.common.ageing.next(now) {
            moment.slot.sweep(moment.at, now, &self.common);
        }
        self.metrics.topics(self.common.ageing.counts());
    }

    /// Bytes of history kept over all topics.
    pub fn history_bytes(&self) -> usize {
        self.history_bytes.load(Ordering::Relaxed).max(0).cast_unsigned()
    }

    /// Drops the oldest updates of all topics until history is 5 % below its bound, so that the
    /// walk over the topics is paid once for many updates.
    fn trim(&self) {
        let _one_at_a_time = self.trimming.lock();
        let target = self.config.history_bytes.0 - self.config.history_bytes.0 / 20;
        let mut excess = self.history_bytes().saturating_sub(target);
        if self.history_bytes() <= self.config.history_bytes.0 {
            return;
        }
        let slots: Vec<_> = self.topics.iter().map(|entry| entry.value().clone()).collect();
        let mut oldest: BinaryHeap<_> = slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| Some(Reverse((slot.oldest_rx()?, index))))
            .collect();
        while excess > 0 {
            let Some(Reverse((_, index))) = oldest.pop() else {
                break;
            };
            let Some(slot) = slots.get(index) else { break };
            let freed = slot.drop_oldest();
            self.history_bytes.fetch_sub(freed.cast_signed(), Ordering::Relaxed);
            excess = excess.saturating_sub(freed);
            if let Some(rx) = slot.oldest_rx() {
                oldest.push(Reverse((rx, index)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
