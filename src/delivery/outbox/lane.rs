//! The little that the short way needs to know of a topic, close together: a view and a subscription
//! lie on several lines of memory each, which for each of many clients are no longer at hand.

use std::sync::Arc;

use slab::Slab;

use super::{Outbox, Subscription};
use crate::{delivery::view::View, hub::Slot, protocol::params::Mode};

/// Set where nothing of the topic is refused, replaced or held back.
const WHOLE: u32 = 1 << 31;
/// Updates after which the ledger is brought up to date.
const DIRECT_MAX: u32 = 1 << 31;

/// A topic of which a client gets every update as it is, or not. Of eight bytes, so that the topics
/// of most clients are on one or two lines.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::delivery) struct Lane {
    /// Updates that were offered and delivered at once, not in the ledger yet.
    pub(in crate::delivery) direct: u32,
    /// Whose they are, and [`WHOLE`].
    owner: u32,
}

impl Outbox {
    /// Adds a topic that reaches the client under `sub`. Returns the number of the view.
    pub(in crate::delivery) fn insert_view(&mut self, slot: Arc<Slot>, sub: u32) -> Option<u32> {
        let view = u32::try_from(self.views.vacant_key()).ok()?;
        self.views.insert(View::new(slot, sub));
        if self.lanes.len() <= view as usize {
            self.lanes.reserve_exact(1);
            self.lanes.push(Lane::default());
        }
        self.set_lane(view);
        Some(view)
    }

    /// Brings the lane of a view up to date: its subscription or the options of that have changed,
    /// or it is gone.
    pub(super) fn set_lane(&mut self, view: u32) {
        self.post_lane(view);
        let sub = self.views.get(view as usize).map(|topic| topic.sub);
        let owner = sub.and_then(|sub| self.subs.get(sub as usize));
        let whole = owner
            .is_some_and(|owner| owner.options.mode == Mode::Every && owner.options.takes_all());
        if let Some(lane) = self.lanes.get_mut(view as usize) {
            let sub = sub.unwrap_or_default() & !WHOLE;
            *lane = Lane { direct: 0, owner: if whole { sub | WHOLE } else { sub } };
        }
    }

    /// Brings the ledgers up to date.
    pub(in crate::delivery) fn post(&mut self) {
        for lane in &mut self.lanes {
            lane.post(&mut self.subs);
        }
    }

    fn post_lane(&mut self, view: u32) {
        if let Some(lane) = self.lanes.get_mut(view as usize) {
            lane.post(&mut self.subs);
        }
    }
}

impl Lane {
    /// Whether a client gets every update of it as it is.
    pub(super) fn is_whole(self) -> bool {
        self.owner & WHOLE != 0
    }

    /// The subscription under which it reaches the client.
    pub(super) fn sub(self) -> u32 {
        self.owner & !WHOLE
    }

    /// Notes updates that were offered and delivered at once.
    pub(super) fn delivered(&mut self, count: usize, subs: &mut Slab<Subscription>) {
        // A run is never longer than what waits for turns may be.
        self.direct += u32::try_from(count).unwrap_or_default();
        if self.direct >= DIRECT_MAX {
            self.post(subs);
        }
    }

    fn post(&mut self, subs: &mut Slab<Subscription>) {
        let count = u64::from(std::mem::take(&mut self.direct));
        if let Some(owner) = subs.get_mut(self.sub() as usize).filter(|_| count > 0) {
            // An account that is faulty must not get in the way of what ends its client.
            let ledger = &mut owner.ledger;
            ledger.published = ledger.published.wrapping_add(count);
            ledger.delivered = ledger.delivered.wrapping_add(count);
        }
    }
}
