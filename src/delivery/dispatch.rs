//! From a batch of events to the clients: what is simply the next update of its topic is marked for
//! everyone who gets it and then handed over client by client; the rest is dealt with one by one.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    client::{Client, Due},
    index::{Index, Now, Touched},
    marks::Mark,
    offer::Offer,
    turns::Spread,
};
use crate::{
    hub::{Event, Issued, StatusChange},
    market::Pattern,
};

/// Offers made before the clients that they touched are written to: at some 30 ns each, what delays
/// others stays below a millisecond.
const OFFERS: usize = 16_384;

impl Index {
    /// Passes events on, until about `OFFERS` offers were made. Returns how many events that were.
    pub(super) fn dispatch(&mut self, events: &[Event], now: Now, touched: &mut Spread) -> usize {
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
                Event::Update(issued) => {
                    if let Some(members) = self.mark(issued, offers.len()) {
                        offers.push((Offer::new(issued), members));
                        continue;
                    }
                }
                Event::Status(_) => {}
            }
            // Whatever is not simply the next update of a topic keeps its place behind those that
            // came before it.
            self.hand_over(&mut offers, now, touched);
            self.dispatch_one(event, now, touched);
        }
        self.hand_over(&mut offers, now, touched);
        done
    }

    /// Marks an update for everyone who gets it, where it is the next of its topic. Returns how many
    /// they are.
    fn mark(&mut self, issued: &Issued, offer: usize) -> Option<usize> {
        let entry = self.topics.get_mut(issued.id as usize).and_then(Option::as_mut);
        let next = entry.filter(|entry| issued.update.seq == entry.position + 1);
        let entry = next.filter(|entry| !entry.members.is_empty())?;
        let offer = u32::try_from(offer).ok()?;
        entry.position += 1;
        for member in &entry.members {
            self.marks.push(member.client, Mark { view: member.view, offer });
        }
        Some(entry.members.len())
    }

    /// Offers what was marked.
    fn hand_over(&mut self, offers: &mut Vec<(Offer<'_>, usize)>, now: Now, touched: &mut Spread) {
        for key in self.marks.clients() {
            let Some(client) = self.clients.get(*key as usize) else { continue };
            let mut fewest = usize::MAX;
            let marked = self.marks.of(*key).filter_map(|mark| {
                let (offer, members) = offers.get(mark.offer as usize)?;
                fewest = fewest.min(*members);
                Some((mark.view, offer))
            });
            let defers = self.defers_latest;
            match guarded(client, |client| client.offer(marked, defers, now.instant)) {
                Some(Due::Now) => touched.with(fewest).push(client.clone()),
                Some(Due::Later) => self.deferred.push(client.clone()),
                Some(Due::Known) | None => {}
            }
        }
        self.marks.clear();
        offers.clear();
    }

    fn dispatch_one(&mut self, event: &Event, now: Now, touched: &mut Spread) {
        match event {
            Event::Update(issued) => self.dispatch_update(issued, now, touched),
            Event::Status(change) => self.dispatch_status(change, touched),
        }
    }

    fn dispatch_update(&mut self, issued: &Arc<Issued>, now: Now, touched: &mut Spread) {
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
        let touched = touched.with(entry.members.len());
        if issued.update.seq == entry.position + 1 {
            entry.offer(clients, issued, now.instant, touched);
        } else if issued.update.seq > entry.position {
            entry.catch_up(outlet, &self.hub, clients, now, touched);
        }
    }

    fn dispatch_status(&mut self, change: &Arc<StatusChange>, touched: &mut Spread) {
        if self.entry(change.slot.id()).is_none() {
            self.discover(&change.slot);
        }
        let clients = &self.clients;
        if let Some(Some(entry)) = self.topics.get_mut(change.slot.id() as usize) {
            let touched = touched.with(entry.members.len());
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
}

/// Does something with a client, and flushes it later where that says so.
pub(super) fn attempt(
    client: &Arc<Client>,
    touched: &mut Touched,
    act: impl FnOnce(&Client) -> bool,
) {
    if guarded(client, act) == Some(true) {
        touched.push(client.clone());
    }
}

/// A fault in one client's state must not end the deliveries of all.
fn guarded<T>(client: &Client, act: impl FnOnce(&Client) -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(|| act(client)));
    if done.is_err() {
        client.fail();
    }
    done.ok()
}
