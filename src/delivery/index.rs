//! Which clients of a shard get which topics.
//!
//! The shard has one position in each topic, which moves under this index's lock. A subscription
//! begins by bringing the topic up to its head for those who have it already and then adding the
//! newcomer there: what is in the channel up to the head is skipped for all, what is beyond goes to
//! all. So nobody gets a number twice and nobody misses one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
    time::Instant,
};

use slab::Slab;

use super::{
    client::{Client, ClientState, Reach},
    dispatch::{accept, guarded},
    offer::Offer,
    turns::{Member, Open, Turns},
};
use crate::{
    hub::{Head, Hub, Issued, Slot, StatusChange, TopicId},
    market::{Pattern, State, Topic},
    protocol::code::GapReason,
    units::Micros,
};

/// The clients and topics of one shard.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) outlet: usize,
    pub(super) hub: Arc<Hub>,
    pub(super) clients: Slab<Arc<Client>>,
    /// By topic number; a place is made when a topic is first seen.
    pub(super) topics: Vec<Option<Entry>>,
    /// Who subscribes to a topic by its name, for the day it is born.
    pub(super) exact: HashMap<Topic, BTreeSet<u32>>,
    /// Who subscribes to a pattern, for the same.
    pub(super) wild: BTreeMap<Pattern, BTreeSet<u32>>,
    pub(super) turns: Turns,
    /// Whether `latest` updates may wait longer than others before they are written.
    pub(super) defers_latest: bool,
    /// Clients for whom nothing but such updates waits.
    pub(super) deferred: Vec<u32>,
}

/// One topic and who gets it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) slot: Arc<Slot>,
    /// The last sequence number that its members were offered.
    pub(super) position: u64,
    /// The last freshness that its members were told, and the number of that change: what is in
    /// the channel up to there is skipped, as updates are.
    state: State,
    changes: u64,
    pub(super) members: Vec<Member>,
    /// The run that its next update may join.
    pub(super) open: Open,
}

/// What it takes to reach the members of a topic.
pub(super) struct Reaching<'a> {
    pub(super) clients: &'a Slab<Arc<Client>>,
    pub(super) turns: &'a mut Turns,
    pub(super) now: Instant,
    /// Whom something has reached that must be flushed.
    pub(super) touched: &'a mut Touched,
}

/// The two clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) wall: Micros,
}

/// Clients that a flush is due for.
pub(super) type Touched = Vec<Arc<Client>>;

impl Index {
    pub(super) fn new(outlet: usize, hub: Arc<Hub>) -> Self {
        Self {
            outlet,
            hub,
            clients: Slab::new(),
            topics: Vec::new(),
            exact: HashMap::new(),
            wild: BTreeMap::new(),
            turns: Turns::default(),
            defers_latest: false,
            deferred: Vec::new(),
        }
    }

    pub(super) fn entry(&self, id: TopicId) -> Option<&Entry> {
        self.topics.get(id as usize).and_then(Option::as_ref)
    }

    /// Makes a place for a topic that this shard has not seen: those who subscribed before it was
    /// born get it from its first update on.
    pub(super) fn discover(&mut self, slot: &Arc<Slot>) {
        let index = slot.id() as usize;
        if self.topics.len() <= index {
            self.topics.resize_with(index + 1, || None);
        }
        if let Some(place @ None) = self.topics.get_mut(index) {
            *place = Some(Entry {
                slot: slot.clone(),
                position: 0,
                state: State::Down,
                changes: 0,
                members: Vec::new(),
                open: Open::default(),
            });
        }
        let name = slot.topic();
        let mut waiting = self.exact.get(name).cloned().unwrap_or_default();
        let leads = |start: &str| {
            let mut next = self.wild.range::<str, _>((Bound::Included(start), Bound::Unbounded));
            next.next().is_some_and(|(pattern, _)| pattern.as_str().starts_with(start))
        };
        let mut look = |pattern: &str| {
            waiting.extend(self.wild.get(pattern).into_iter().flatten());
            None::<()>
        };
        Pattern::search(name.as_str(), &leads, &mut look);
        for key in waiting {
            let Some(client) = self.clients.get(key as usize).cloned() else {
                continue;
            };
            let mut state = client.lock();
            if let Some(sub) = state.names().best_for(name.as_str()) {
                self.attach(key, &mut state, slot, sub);
            }
        }
    }

    /// Brings the topic up to its head, for those who have it already.
    pub(super) fn reach_head(
        &mut self,
        slot: &Arc<Slot>,
        now: Now,
        touched: &mut Touched,
    ) -> Option<Head> {
        if self.entry(slot.id()).is_none() {
            self.discover(slot);
        }
        let Self { outlet, hub, clients, turns, .. } = self;
        let entry = self.topics.get_mut(slot.id() as usize).and_then(Option::as_mut)?;
        let mut reaching = Reaching { clients, turns, now: now.instant, touched };
        Some(entry.catch_up(*outlet, hub, now.wall, &mut reaching))
    }

    /// The update at the shard's position, where history still has it: what is newer than that has
    /// not been offered to anybody here.
    pub(super) fn last_offered(&self, slot: &Slot) -> Option<Arc<Issued>> {
        let position = self.entry(slot.id())?.position;
        let (kept, _) = slot.history(position, 1);
        kept.into_iter().find(|issued| issued.update.seq == position)
    }

    /// Lets `topic` reach the client under subscription `sub`, from the shard's position on. Also
    /// tells whether it did not reach it before.
    pub(super) fn attach(
        &mut self,
        client: u32,
        state: &mut ClientState,
        slot: &Arc<Slot>,
        sub: u32,
    ) -> Option<(u32, bool)> {
        if let Some(&Reach { view, .. }) = state.by_topic.get(&slot.id()) {
            state.outbox.assign(view, sub);
            return Some((view, false));
        }
        let entry = self.topics.get_mut(slot.id() as usize).and_then(Option::as_mut)?;
        let view = state.outbox.insert_view(slot.clone(), sub)?;
        let place = u32::try_from(entry.members.len()).ok()?;
        state.by_topic.insert(slot.id(), Reach { view, place });
        entry.members.push(Member { client, view });
        Some((view, true))
    }

    /// Stops `topic` from reaching the client.
    pub(super) fn detach(&mut self, client: u32, state: &mut ClientState, topic: TopicId) {
        let Some(Reach { view, place }) = state.by_topic.remove(&topic) else {
            return;
        };
        state.outbox.remove_view(view);
        let Some(Some(entry)) = self.topics.get_mut(topic as usize) else { return };
        if entry.members.get(place as usize).is_none_or(|member| member.client != client) {
            return;
        }
        entry.members.swap_remove(place as usize);
        // The last member took its place. Two clients are locked at once here alone, under the
        // index's lock.
        if let Some(moved) = entry.members.get(place as usize)
            && let Some(moved) = self.clients.get(moved.client as usize)
            && let Some(reach) = moved.lock().by_topic.get_mut(&topic)
        {
            reach.place = place;
        }
    }
}

impl Reaching<'_> {
    /// Does something with each member, behind what it was to be offered before.
    fn each(&mut self, members: &[Member], act: impl Fn(&Client, u32) -> bool) {
        // What has been handed over must not be added to.
        self.turns.close_runs();
        for member in members {
            let Some(client) = self.clients.get(member.client as usize) else { continue };
            accept(client, member.client, self.turns, self.now);
            if guarded(client, |client| act(client, member.view)) == Some(true) {
                self.touched.push(client.clone());
            }
        }
    }
}

impl Entry {
    /// Tells the members a state that they have not been told.
    pub(super) fn tell(&mut self, change: &Arc<StatusChange>, reaching: &mut Reaching<'_>) {
        if change.number <= self.changes {
            return;
        }
        self.changes = change.number;
        if self.state != change.transition.state {
            self.state = change.transition.state;
            reaching.each(&self.members, |client, view| client.status(view, change));
        }
    }

    pub(super) fn offer(&mut self, issued: &Arc<Issued>, reaching: &mut Reaching<'_>) {
        self.position = issued.update.seq;
        let (offer, now) = (Offer::new(issued.clone()), reaching.now);
        reaching.each(&self.members, |client, view| client.offer(view, &offer, now));
    }

    /// Offers what was missed as far as history reaches and announces a gap for the rest.
    pub(super) fn catch_up(
        &mut self,
        outlet: usize,
        hub: &Hub,
        wall: Micros,
        reaching: &mut Reaching<'_>,
    ) -> Head {
        let position = (!self.members.is_empty()).then_some((hub.epoch(), self.position));
        let joined = self.slot.join(outlet, position, wall);
        if position.is_some() {
            let from = self.position + 1;
            let kept = joined.missed.first().map_or(joined.head.seq + 1, |next| next.update.seq);
            if kept > from {
                reaching.each(&self.members, |client, view| {
                    client.lock().outbox.lose(view, from, kept - 1, GapReason::Lag);
                    client.touch()
                });
            }
            for issued in &joined.missed {
                self.offer(issued, reaching);
            }
        }
        self.position = joined.head.seq;
        let (slot, number) = (self.slot.clone(), joined.head.changes);
        let transition = joined.head.status.clone();
        self.tell(&Arc::new(StatusChange { slot, number, transition }), reaching);
        joined.head
    }
}
