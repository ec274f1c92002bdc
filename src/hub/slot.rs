//! One topic: its numbering, last value, history, freshness and who is interested, under one short
//! lock.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    Event, Issued, StatusChange, TopicId,
    ageing::{Ageing, Moment},
    freshness::{Freshness, Standing, Transition, Trouble},
    issued::Draft,
    metrics::Kind,
    outlet::Outlets,
    ring::Ring,
};
use crate::{
    market::{Epoch, Source, State, Tick, Topic, Update},
    protocol::event,
    units::Micros,
};

/// A topic of the hub.
#[derive(Debug)]
pub struct Slot {
    id: TopicId,
    topic: Topic,
    /// What its updates are counted as.
    kind: Kind,
    /// The constant beginning of its messages.
    head: Vec<u8>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    epoch: Epoch,
    seq: u64,
    /// The newest in it is the last value.
    ring: Ring,
    freshness: Freshness,
    /// How often freshness has changed.
    changes: u64,
    /// When it is next looked whether freshness has changed by itself.
    watched: Micros,
    /// One bit for each outlet that may have subscribers. All are set at birth: an outlet finds out
    /// by the first update whether somebody waits for this topic, and leaves if nobody does.
    interested: u64,
}

/// Where a topic stands at one moment.
#[derive(Debug, Clone)]
pub struct Head {
    /// The numbering.
    pub epoch: Epoch,
    /// The last number issued; 0 before the first.
    pub seq: u64,
    /// The last value.
    pub last: Option<Arc<Issued>>,
    /// Freshness, and what is told of it.
    pub status: Transition,
    /// The number of the last change of freshness; 0 before the first.
    pub changes: u64,
}

/// What an outlet learns when it joins or catches up.
#[derive(Debug)]
pub struct Joined {
    /// Where the topic stands.
    pub head: Head,
    /// Updates beyond the asked position that are still kept, in order and without a hole between
    /// them; the last is the head.
    pub missed: Vec<Arc<Issued>>,
}

/// What became of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was issued under this sequence number.
    Issued(u64),
    /// It equals the last value, which is hereby confirmed.
    Unchanged,
}

/// What the topics of a hub have in common: the ways out, and what lets them age.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) outlets: Outlets,
    pub(super) ageing: Ageing,
}

/// What publishing needs from the hub.
pub(super) struct Context<'a> {
    pub(super) common: &'a Common,
    pub(super) history: usize,
    pub(super) reliance: Reliance<'a>,
}

/// How far a published value can be relied on.
#[derive(Clone, Copy)]
pub(super) enum Reliance<'a> {
    /// It is confirmed, and stays live for so many µs.
    Confirmed(Micros),
    /// As somebody has worked out, now.
    Settled(&'a Standing, Micros),
}

impl Slot {
    pub(super) fn new(id: TopicId, topic: Topic, epoch: Epoch) -> Self {
        let inner = Inner {
            epoch,
            seq: 0,
            ring: Ring::default(),
            freshness: Freshness::default(),
            changes: 0,
            watched: Micros::MAX,
            interested: u64::MAX,
        };
        let head = event::update_head(topic.as_str());
        Self { id, kind: Kind::of(&topic), topic, head, inner: Mutex::new(inner) }
    }

    /// The topic's number in its hub.
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// What its updates are counted as.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Numbers, stores and sends `tick`, unless it equals the last value. Also returns by how many
    /// bytes history has grown.
    pub(super) fn publish(
        self: &Arc<Self>,
        tick: &Tick,
        source: &Source,
        rx: Micros,
        context: &Context<'_>,
    ) -> (Outcome, isize) {
        let draft = Draft::new(&tick.data, tick.ts, rx, source);
        let mut inner = self.inner.lock();
        // Where several sources back a value, whose digits these are is part of it.
        let settled = matches!(context.reliance, Reliance::Settled(..));
        let unchanged = inner.ring.newest().is_some_and(|last| {
            last.update.data == draft.data() && (!settled || last.update.source == *source)
        });
        let before = inner.freshness.state();
        let transition = match context.reliance {
            Reliance::Confirmed(stale_after) => inner.freshness.confirm(source, rx, stale_after),
            Reliance::Settled(standing, now) => inner.freshness.settle(standing, now),
        };
        self.announce(&mut inner, before, transition, context.common);
        if unchanged {
            return (Outcome::Unchanged, 0);
        }
        inner.seq += 1;
        let seq = inner.seq;
        let (frame, data) = draft.frame(&self.head, seq);
        let update = Update {
            topic: self.topic.clone(),
            epoch: inner.epoch.clone(),
            seq,
            ts: tick.ts,
            rx,
            source: source.clone(),
            data,
        };
        let issued = Arc::new(Issued::new(self.id, update, frame));
        // Before it is sent: whatever becomes of that, history has no hole.
        let bytes = inner.ring.bytes();
        inner.ring.push(issued.clone(), context.history);
        let grown = difference(bytes, inner.ring.bytes());
        // Under the lock, so that the order in every channel is the order of the sequence numbers.
        context.common.outlets.send(inner.interested, || Event::Update(issued.clone()));
        (Outcome::Issued(seq), grown)
    }

    /// The source could not confirm.
    pub(super) fn trouble(
        self: &Arc<Self>,
        source: &Source,
        trouble: Trouble,
        now: Micros,
        common: &Common,
    ) {
        let mut inner = self.inner.lock();
        let before = inner.freshness.state();
        let transition = inner.freshness.trouble(source, trouble, now);
        self.announce(&mut inner, before, transition, common);
    }

    /// What the value is relied on has changed, the value has not.
    pub(super) fn settle(self: &Arc<Self>, standing: &Standing, now: Micros, common: &Common) {
        let mut inner = self.inner.lock();
        let before = inner.freshness.state();
        let transition = inner.freshness.settle(standing, now);
        self.announce(&mut inner, before, transition, common);
    }

    /// Lets time pass, where the topic has waited for this moment: what has aged is announced.
    pub(super) fn sweep(self: &Arc<Self>, at: Micros, now: Micros, common: &Common) {
        let mut inner = self.inner.lock();
        // It has been given an earlier one since, which has come.
        if inner.watched != at {
            return;
        }
        inner.watched = Micros::MAX;
        let before = inner.freshness.state();
        let transition = inner.freshness.evaluate(now);
        self.announce(&mut inner, before, transition, common);
    }

    fn announce(
        self: &Arc<Self>,
        inner: &mut Inner,
        before: State,
        transition: Option<Transition>,
        common: &Common,
    ) {
        if let Some(transition) = transition {
            inner.changes += 1;
            common.ageing.changed(before, transition.state);
            let (slot, number) = (self.clone(), inner.changes);
            let change = Arc::new(StatusChange { slot, number, transition });
            common.outlets.send(inner.interested, || Event::Status(change.clone()));
        }
        let due = inner.freshness.due();
        if due < inner.watched {
            inner.watched = due;
            common.ageing.watch(Moment { at: due, slot: self.clone() });
        }
    }

    /// Where the topic stands now.
    pub fn head(&self, now: Micros) -> Head {
        self.inner.lock().head(now)
    }

    /// The last value.
    pub fn last(&self) -> Option<Arc<Issued>> {
        self.inner.lock().ring.newest().cloned()
    }

    /// Registers the interest of `outlet` and tells where the topic stands, with what the outlet
    /// has missed beyond `position`: from the moment of this call on, every later update is in the
    /// outlet's channel. `None` as position means that nothing before this moment is wanted.
    pub fn join(&self, outlet: usize, position: Option<(&Epoch, u64)>, now: Micros) -> Joined {
        let mut inner = self.inner.lock();
        inner.interested |= 1 << outlet;
        let from = match position {
            None => inner.seq + 1,
            Some((epoch, seq)) if *epoch == inner.epoch => seq + 1,
            Some(_) => 1,
        };
        let missed = inner.ring.from(from).cloned().collect();
        Joined { head: inner.head(now), missed }
    }

    /// The numbering.
    pub fn epoch(&self) -> Epoch {
        self.inner.lock().epoch.clone()
    }

    /// Withdraws the interest of `outlet`.
    pub fn leave(&self, outlet: usize) {
        self.inner.lock().interested &= !(1 << outlet);
    }

    /// At most `limit` kept updates from sequence number `from` on, and the oldest that is kept (0
    /// when there is none).
    pub fn history(&self, from: u64, limit: usize) -> (Vec<Arc<Issued>>, u64) {
        let inner = self.inner.lock();
        let oldest = inner.ring.oldest().map_or(0, |issued| issued.update.seq);
        (inner.ring.from(from).take(limit).cloned().collect(), oldest)
    }

    /// When the oldest update that could be dropped was received.
    pub(super) fn oldest_rx(&self) -> Option<Micros> {
        let inner = self.inner.lock();
        if inner.ring.is_single() {
            return None;
        }
        inner.ring.oldest().map(|issued| issued.update.rx)
    }

    /// Drops the oldest update and tells how many bytes that freed.
    pub(super) fn drop_oldest(&self) -> usize {
        let mut inner = self.inner.lock();
        let before = inner.ring.bytes();
        inner.ring.drop_oldest();
        before - inner.ring.bytes()
    }
}

impl Inner {
    fn head(&self, now: Micros) -> Head {
        Head {
            epoch: self.epoch.clone(),
            seq: self.seq,
            last: self.ring.newest().cloned(),
            status: self.freshness.view(now),
            changes: self.changes,
        }
    }
}

fn difference(before: usize, after: usize) -> isize {
    after.cast_signed() - before.cast_signed()
}
