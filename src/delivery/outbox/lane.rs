//! The little that the short way needs to know of a topic, close together: a view and a subscription
//! lie on several lines of memory each, which for each of many clients are no longer at hand. Filters
//! are beside it, of those clients that have any.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use slab::Slab;

use super::{Outbox, Subscription};
use crate::{
    delivery::{filter::Filter, run::Run, turns::Mark, view::View},
    hub::Slot,
    protocol::params::Mode,
};

/// Lanes that can be reached without the client's lock: with the head of their memory, two lines.
const NEAR: usize = 10;
/// Set where nothing of the topic is refused, replaced or held back.
const WHOLE: u32 = 1 << 31;
/// Updates after which the ledger is brought up to date.
const DIRECT_MAX: u32 = 1 << 31;

/// A topic of which a client gets every update as it is, or not.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::delivery) struct Lane {
    /// Updates that were offered and delivered at once, not in the ledger yet.
    pub(in crate::delivery) direct: u32,
    /// Whose they are, and [`WHOLE`].
    owner: u32,
}

/// The lanes of a client, by view.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Lanes {
    near: Arc<Near>,
    far: Vec<Lane>,
    /// Filters that are all that stands between a topic and the client, by view; none of a client
    /// that has no filters.
    filters: Vec<Option<Arc<Filter>>>,
}

/// The first of a client's lanes. They are changed under its lock alone, and apart from what that
/// guards only so that they can be fetched before it is taken.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Near([AtomicU64; NEAR]);

impl Near {
    /// Has their memory fetched: see [`crate::delivery::SocketWriter::approach`].
    pub(in crate::delivery) fn approach(&self) {
        let ends = [self.0.first(), self.0.last()];
        black_box(ends.map(|lane| lane.map(|lane| lane.load(Ordering::Relaxed))));
    }

    /// Notes that runs were offered and delivered at once. True when the ledgers should be brought
    /// up to date.
    pub(in crate::delivery) fn delivered(&self, marks: &[Mark], runs: &Slab<Run>) -> bool {
        let mut is_due = false;
        for mark in marks {
            if let (Some(mut lane), Some(run)) = (self.get(mark.view), runs.get(mark.run as usize))
            {
                lane.delivered(run.len());
                self.set(mark.view, lane);
                is_due |= lane.direct >= DIRECT_MAX;
            }
        }
        is_due
    }

    /// The lane of a topic, where it is one of these.
    pub(super) fn get(&self, view: u32) -> Option<Lane> {
        self.0.get(view as usize).map(|lane| Lane::unpack(lane.load(Ordering::Relaxed)))
    }

    fn set(&self, view: u32, lane: Lane) {
        if let Some(place) = self.0.get(view as usize) {
            place.store(lane.pack(), Ordering::Relaxed);
        }
    }
}

impl Lanes {
    /// The first of them.
    pub(in crate::delivery) fn near(&self) -> &Arc<Near> {
        &self.near
    }

    pub(super) fn get(&self, view: u32) -> Option<Lane> {
        let far = || self.far.get((view as usize).checked_sub(NEAR)?).copied();
        self.near.get(view).or_else(far)
    }

    fn set(&mut self, view: u32, lane: Lane) {
        let Some(place) = (view as usize).checked_sub(NEAR) else {
            return self.near.set(view, lane);
        };
        if self.far.len() <= place {
            self.far.resize(place + 1, Lane::default());
        }
        if let Some(known) = self.far.get_mut(place) {
            *known = lane;
        }
    }

    fn set_filter(&mut self, view: u32, filter: Option<Arc<Filter>>) {
        let place = view as usize;
        if self.filters.len() <= place && filter.is_some() {
            self.filters.resize(place + 1, None);
        }
        if let Some(known) = self.filters.get_mut(place) {
            *known = filter;
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(NEAR + self.far.len()).unwrap_or(u32::MAX)
    }

    /// Notes that a run was offered and delivered at once.
    pub(super) fn delivered(&mut self, view: u32, run: &Run, subs: &mut Slab<Subscription>) {
        let Some(mut lane) = self.get(view) else { return };
        lane.delivered(run.len());
        if lane.direct >= DIRECT_MAX {
            lane.post(subs);
        }
        self.set(view, lane);
    }

    fn post(&mut self, view: u32, subs: &mut Slab<Subscription>) {
        if let Some(mut lane) = self.get(view).filter(|lane| lane.direct > 0) {
            lane.post(subs);
            self.set(view, lane);
        }
    }
}

impl Outbox {
    /// Adds a topic that reaches the client under `sub`. Returns the number of the view.
    pub(in crate::delivery) fn insert_view(&mut self, slot: Arc<Slot>, sub: u32) -> Option<u32> {
        let view = u32::try_from(self.views.vacant_key()).ok()?;
        self.views.insert(View::new(slot, sub));
        self.set_lane(view);
        Some(view)
    }

    /// Brings the lane of a view up to date: its subscription or the options of that have changed,
    /// or it is gone.
    pub(super) fn set_lane(&mut self, view: u32) {
        self.lanes.post(view, &mut self.subs);
        let sub = self.views.get(view as usize).map(|topic| topic.sub);
        let owner = sub.and_then(|sub| self.subs.get(sub as usize));
        // Where a letter is made for a client, it is made for each update.
        let owner = owner.filter(|_| self.format.is_bare());
        let whole = owner
            .is_some_and(|owner| owner.options.mode == Mode::Every && owner.options.takes_all());
        let filter = owner.and_then(|owner| owner.options.filter_alone()).cloned();
        self.lanes.set(view, Lane::new(sub.unwrap_or_default(), whole));
        self.lanes.set_filter(view, filter);
    }

    /// Whether filters have to be asked what the client gets.
    pub(in crate::delivery) fn has_filters(&self) -> bool {
        !self.lanes.filters.is_empty()
    }

    /// Whether a run goes to the client as it is, since it passes the filter that alone stands
    /// between.
    pub(super) fn lets_through(&self, view: u32, run: &Run) -> bool {
        let filter = self.lanes.filters.get(view as usize).and_then(Option::as_deref);
        let passes = |filter| run.offers.iter().all(|offer| offer.verdict(filter).passes());
        filter.is_some_and(passes)
    }

    /// Brings the ledgers up to date.
    pub(in crate::delivery) fn post(&mut self) {
        self.post_those(0..self.lanes.count());
    }

    /// The same of the topics of these views.
    pub(super) fn post_those(&mut self, views: impl IntoIterator<Item = u32>) {
        for view in views {
            self.lanes.post(view, &mut self.subs);
        }
    }
}

impl Lane {
    fn new(sub: u32, whole: bool) -> Self {
        Self { direct: 0, owner: (sub & !WHOLE) | if whole { WHOLE } else { 0 } }
    }

    fn pack(self) -> u64 {
        u64::from(self.owner) << 32 | u64::from(self.direct)
    }

    fn unpack(packed: u64) -> Self {
        let [low, high] = [packed & u64::from(u32::MAX), packed >> 32];
        let [direct, owner] = [low, high].map(|half| u32::try_from(half).unwrap_or_default());
        Self { direct, owner }
    }

    /// Whether a client gets every update of it as it is.
    pub(super) fn is_whole(self) -> bool {
        self.owner & WHOLE != 0
    }

    /// The subscription under which it reaches the client.
    pub(super) fn sub(self) -> u32 {
        self.owner & !WHOLE
    }

    fn delivered(&mut self, count: usize) {
        // A run is never longer than what waits for turns may be.
        self.direct += u32::try_from(count).unwrap_or_default();
    }

    fn post(&mut self, subs: &mut Slab<Subscription>) {
        let count = u64::from(std::mem::take(&mut self.direct));
        if let Some(owner) = subs.get_mut(self.sub() as usize) {
            // An account that is faulty must not get in the way of what ends its client.
            let ledger = &mut owner.ledger;
            ledger.published = ledger.published.wrapping_add(count);
            ledger.delivered = ledger.delivered.wrapping_add(count);
        }
    }
}

#[cfg(test)]
impl Lanes {
    /// As if so many had been delivered at once under every lane.
    pub(in crate::delivery) fn pretend(&mut self, direct: u32) {
        for view in 0..self.count() {
            if let Some(lane) = self.get(view) {
                self.set(view, Lane { direct, ..lane });
            }
        }
    }
}
