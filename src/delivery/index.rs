//! Which clients of a shard get which topics.
//!
//! The shard has one position in each topic, which moves under this index's lock. A subscription
//! begins by bringing the topic up to its head for those who have it already and then adding the
//! newcomer there: what is in the channel up to the head is skipped for all, what is beyond goes to
//! all. So nobody gets a number twice and nobody misses one.

use std::{
    collections::HashMap,
    iter::once,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use slab::Slab;

use super::{
    client::{Client, ClientState},
    marks::{Mark, Marks},
    offer::Offer,
    view::View,
};
use crate::{
    hub::{Event, Head, Hub, Issued, Slot, StatusChange, TopicId},
    market::{Pattern, State, Topic},
    protocol::code::GapReason,
    units::Micros,
};

/// Offers made before the clients that they touched are written to: at some 30 ns each, what delays
/// others stays below a millisecond.
const OFFERS: usize = 16_384;

/// The clients and topics of one shard.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) outlet: usize,
    pub(super) hub: Arc<Hub>,
    pub(super) clients: Slab<Arc<Client>>,
    /// By topic number; a place is made when a topic is first seen.
    topics: Vec<Option<Entry>>,
    /// Who subscribes to a topic by its name, for the day it is born.
    pub(super) exact: HashMap<Topic, Vec<u32>>,
    /// Who subscribes to patterns, for the same.
    pub(super) wild: Vec<(u32, Pattern)>,
    marks: Marks,
}

/// One topic and who gets it.
#[derive(Debug)]
struct Entry {
    slot: Arc<Slot>,
    /// The last sequence number that its members were offered.
    position: u64,
    /// The last freshness that its members were told, and the number of that change: what is in
    /// the channel up to there is skipped, as updates are.
    state: State,
    changes: u64,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    client: u32,
    view: u32,
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
            wild: Vec::new(),
            marks: Marks::default(),
        }
    }

    /// Passes events on, until about `OFFERS` offers were made. Returns how many events that were.
    pub(super) fn dispatch(&mut self, events: &[Event], now: Now, touched: &mut Touched) -> usize {
        // Left over only where the last batch ended in a panic.
        self.marks.clear();
        let mut offers = Vec::with_capacity(events.len());
        let mut done = 0;
        for event in events {
            if self.marks.len() >= OFFERS {
                break;
            }
            done += 1;
            match event {
                Event::Update(issued) if self.mark(issued, offers.len()) => {
                    offers.push(Offer::new(issued));
                }
                // Whatever is not simply the next update of a topic keeps its place behind those
                // that came before it.
                _ => {
                    self.hand_over(&mut offers, now, touched);
                    self.dispatch_one(event, now, touched);
                }
            }
        }
        self.hand_over(&mut offers, now, touched);
        done
    }

    /// Marks an update for everyone who gets it, where it is the next of its topic.
    fn mark(&mut self, issued: &Issued, offer: usize) -> bool {
        let entry = self.topics.get_mut(issued.id as usize).and_then(Option::as_mut);
        let next = entry.filter(|entry| issued.update.seq == entry.position + 1);
        let Some(entry) = next.filter(|entry| !entry.members.is_empty()) else {
            return false;
        };
        let Ok(offer) = u32::try_from(offer) else { return false };
        entry.position += 1;
        for member in &entry.members {
            self.marks.push(member.client, Mark { view: member.view, offer });
        }
        true
    }

    /// Offers what was marked.
    fn hand_over(&mut self, offers: &mut Vec<Offer<'_>>, now: Now, touched: &mut Touched) {
        for key in self.marks.clients() {
            let Some(client) = self.clients.get(*key as usize) else { continue };
            let marked = self.marks.of(*key);
            let marked = marked
                .filter_map(|mark| offers.get(mark.offer as usize).map(|offer| (mark.view, offer)));
            attempt(client, touched, |client| client.offer(marked, now.instant));
        }
        self.marks.clear();
        offers.clear();
    }

    fn dispatch_one(&mut self, event: &Event, now: Now, touched: &mut Touched) {
        match event {
            Event::Update(issued) => self.dispatch_update(issued, now, touched),
            Event::Status(change) => self.dispatch_status(change, touched),
        }
    }

    fn dispatch_update(&mut self, issued: &Arc<Issued>, now: Now, touched: &mut Touched) {
        if self.entry(issued.id).is_none() {
            let Some(slot) = self.hub.topic(issued.update.topic.as_str()) else {
                return;
            };
            self.discover(&slot);
        }
        let (outlet, clients) = (self.outlet, &self.clients);
        let Some(Some(entry)) = self.topics.get_mut(issued.id as usize) else {
            return;
        };
        if entry.members.is_empty() {
            entry.slot.leave(outlet);
            entry.position = entry.position.max(issued.update.seq);
            return;
        }
        if issued.update.seq == entry.position + 1 {
            entry.offer(clients, issued, now.instant, touched);
        } else if issued.update.seq > entry.position {
            entry.catch_up(outlet, &self.hub, clients, now, touched);
        }
    }

    fn dispatch_status(&mut self, change: &Arc<StatusChange>, touched: &mut Touched) {
        if self.entry(change.slot.id()).is_none() {
            self.discover(&change.slot);
        }
        let clients = &self.clients;
        if let Some(Some(entry)) = self.topics.get_mut(change.slot.id() as usize) {
            entry.tell(clients, change, touched);
        }
    }

    /// The channel was overrun: every topic is compared with its ring.
    pub(super) fn resync(&mut self, now: Now, touched: &mut Touched) {
        let everything = Pattern::parse(">");
        for slot in everything.map(|all| self.hub.matching(&all)).unwrap_or_default() {
            if self.entry(slot.id()).is_none() {
                self.discover(&slot);
            }
        }
        let (outlet, clients) = (self.outlet, &self.clients);
        for entry in self.topics.iter_mut().flatten().filter(|entry| !entry.members.is_empty()) {
            entry.catch_up(outlet, &self.hub, clients, now, touched);
        }
    }

    fn entry(&self, id: TopicId) -> Option<&Entry> {
        self.topics.get(id as usize).and_then(Option::as_ref)
    }

    /// Makes a place for a topic that this shard has not seen: those who subscribed before it was
    /// born get it from its first update on.
    fn discover(&mut self, slot: &Arc<Slot>) {
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
            });
        }
        let name = slot.topic();
        let mut waiting: Vec<u32> = self.exact.get(name).cloned().unwrap_or_default();
        let wild = self.wild.iter().filter(|(_, pattern)| pattern.matches(name.as_str()));
        waiting.extend(wild.map(|(client, _)| *client));
        waiting.sort_unstable();
        waiting.dedup();
        for key in waiting {
            let Some(client) = self.clients.get(key as usize).cloned() else {
                continue;
            };
            let mut state = client.lock();
            if let Some(sub) = state.best_for(name.as_str()) {
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
        let (outlet, clients) = (self.outlet, &self.clients);
        let entry = self.topics.get_mut(slot.id() as usize).and_then(Option::as_mut)?;
        Some(entry.catch_up(outlet, &self.hub, clients, now, touched))
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
        if let Some(&view) = state.by_topic.get(&slot.id()) {
            state.outbox.assign(view, sub);
            return Some((view, false));
        }
        let entry = self.topics.get_mut(slot.id() as usize).and_then(Option::as_mut)?;
        let view = u32::try_from(state.outbox.views.insert(View::new(slot.clone(), sub))).ok()?;
        state.by_topic.insert(slot.id(), view);
        entry.members.push(Member { client, view });
        Some((view, true))
    }

    /// Stops `topic` from reaching the client.
    pub(super) fn detach(&mut self, client: u32, state: &mut ClientState, topic: TopicId) {
        let Some(view) = state.by_topic.remove(&topic) else {
            return;
        };
        state.outbox.remove_view(view);
        if let Some(Some(entry)) = self.topics.get_mut(topic as usize)
            && let Some(at) = entry.members.iter().position(|member| member.client == client)
        {
            entry.members.swap_remove(at);
        }
    }
}

impl Entry {
    fn for_each(
        &self,
        clients: &Slab<Arc<Client>>,
        touched: &mut Touched,
        act: impl Fn(&Client, u32) -> bool,
    ) {
        for member in &self.members {
            let Some(client) = clients.get(member.client as usize) else {
                continue;
            };
            attempt(client, touched, |client| act(client, member.view));
        }
    }

    /// Tells the members a state that they have not been told.
    fn tell(
        &mut self,
        clients: &Slab<Arc<Client>>,
        change: &Arc<StatusChange>,
        touched: &mut Touched,
    ) {
        if change.number <= self.changes {
            return;
        }
        self.changes = change.number;
        if self.state != change.transition.state {
            self.state = change.transition.state;
            self.for_each(clients, touched, |client, view| client.status(view, change));
        }
    }

    fn offer(
        &mut self,
        clients: &Slab<Arc<Client>>,
        issued: &Arc<Issued>,
        now: Instant,
        touched: &mut Touched,
    ) {
        self.position = issued.update.seq;
        let offer = Offer::new(issued);
        self.for_each(clients, touched, |client, view| client.offer(once((view, &offer)), now));
    }

    /// Offers what was missed as far as history reaches and announces a gap for the rest.
    fn catch_up(
        &mut self,
        outlet: usize,
        hub: &Hub,
        clients: &Slab<Arc<Client>>,
        now: Now,
        touched: &mut Touched,
    ) -> Head {
        let position = (!self.members.is_empty()).then_some((hub.epoch(), self.position));
        let joined = self.slot.join(outlet, position, now.wall);
        if position.is_some() {
            let from = self.position + 1;
            let kept = joined.missed.first().map_or(joined.head.seq + 1, |next| next.update.seq);
            if kept > from {
                self.for_each(clients, touched, |client, view| {
                    client.lock().outbox.lose(view, from, kept - 1, GapReason::Lag);
                    client.touch()
                });
            }
            for issued in &joined.missed {
                self.offer(clients, issued, now.instant, touched);
            }
        }
        self.position = joined.head.seq;
        let (slot, number) = (self.slot.clone(), joined.head.changes);
        let transition = joined.head.status.clone();
        self.tell(clients, &Arc::new(StatusChange { slot, number, transition }), touched);
        joined.head
    }
}

/// Does something with a client. A fault in one client's state must not end the deliveries of all.
fn attempt(client: &Arc<Client>, touched: &mut Touched, act: impl FnOnce(&Client) -> bool) {
    match catch_unwind(AssertUnwindSafe(|| act(client))) {
        Ok(true) => touched.push(client.clone()),
        Ok(false) => {}
        Err(_) => client.fail(),
    }
}

impl ClientState {
    /// The most specific of the client's subscriptions that matches `topic`.
    pub(super) fn best_for(&self, topic: &str) -> Option<u32> {
        self.outbox
            .subs
            .iter()
            .filter(|(_, sub)| sub.pattern.matches(topic))
            .max_by(|(_, a), (_, b)| a.pattern.cmp_specificity(&b.pattern))
            .and_then(|(key, _)| u32::try_from(key).ok())
    }
}
