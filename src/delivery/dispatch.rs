//! From a batch of events to the clients: what is simply the next update of its topic is marked for
//! everyone who gets it, and offered and written when a client's turn comes; the rest is dealt with
//! one by one.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use super::{
    client::{Client, Desk, Served},
    index::{Index, Now, Reaching, Touched},
    turns::{TURN, Turns},
};
use crate::{
    hub::{Event, Issued, StatusChange},
    market::Pattern,
};

/// Marks made before others get their turn: at some 10 ns each, what delays them stays far below a
/// millisecond.
const MARKS: usize = 16_384;
/// Clients whose memory is fetched together.
const AHEAD: usize = 16;

impl Index {
    /// Passes events on, until about `MARKS` marks were made or too many wait. Returns how many
    /// events that were.
    pub(super) fn dispatch(&mut self, events: &[Event], now: Now) -> usize {
        self.turns.close_runs();
        let (mut done, mut marks) = (0, 0);
        for event in events {
            if marks >= MARKS || self.turns.is_full() {
                break;
            }
            done += 1;
            match event {
                Event::Update(issued) => match self.mark(issued) {
                    Some(made) => marks += made,
                    None => self.dispatch_update(issued, now),
                },
                Event::Status(change) => self.dispatch_status(change, now),
            }
        }
        done
    }

    /// Marks an update for everyone who gets it, where it is the next of its topic. Returns how many
    /// marks that took.
    fn mark(&mut self, issued: &Arc<Issued>) -> Option<usize> {
        let entry = self.topics.get_mut(issued.id as usize).and_then(Option::as_mut);
        let next = entry.filter(|entry| issued.update.seq == entry.position + 1);
        let entry = next.filter(|entry| !entry.members.is_empty())?;
        let members = entry.members.len();
        if self.turns.extend(entry.open, issued, members) {
            entry.position += 1;
            return Some(0);
        }
        entry.open = self.turns.begin(issued, members)?;
        entry.position += 1;
        self.turns.mark(&entry.members, entry.open);
        Some(members)
    }

    /// Serves those whose turn it is: some of either kind, so that neither starves the other.
    pub(super) fn take_turn(&mut self, desk: &mut Desk, now: Instant) {
        for wide in [false, true] {
            for place in 0..TURN {
                if place % AHEAD == 0 {
                    let keys = self.turns.waiting(wide).take(AHEAD);
                    let clients = keys.filter_map(|key| self.clients.get(*key as usize));
                    clients.for_each(|client| client.approach());
                }
                let Some(key) = self.turns.next(wide) else { break };
                self.serve(key, desk, now);
            }
        }
        desk.tell(&mut self.turns);
    }

    fn serve(&mut self, key: u32, desk: &mut Desk, now: Instant) {
        let mut marks = desk.take_marks();
        self.turns.take(key, &mut marks);
        let served = self.clients.get(key as usize).and_then(|client| {
            let (runs, defers) = (&self.turns.runs, self.defers_latest);
            guarded(client, |client| client.serve(&marks, runs, defers, desk, now))
        });
        if served == Some(Served::AsItWas) {
            desk.note(&marks, &self.turns.runs);
        } else {
            marks.iter().for_each(|mark| self.turns.leave(mark.run, 1));
        }
        if served == Some(Served::Later) {
            self.deferred.push(key);
        }
        desk.give_back(marks);
    }

    /// Those for whom nothing but `latest` updates waits have waited long enough.
    pub(super) fn end_deferral(&mut self) {
        for key in std::mem::take(&mut self.deferred) {
            if let Some(client) = self.clients.get(key as usize) {
                client.touch();
                self.turns.touch(key, usize::MAX);
            }
        }
    }

    /// Whoever is to get something gets a turn; what touched them goes to so many.
    pub(super) fn add_turns(&mut self, touched: Touched, members: usize) {
        for key in touched.iter().filter_map(|client| client.key.get()) {
            self.turns.touch(*key, members);
        }
    }

    fn dispatch_update(&mut self, issued: &Arc<Issued>, now: Now) {
        if self.entry(issued.id).is_none() {
            let Some(slot) = self.hub.topic(issued.update.topic.as_str()) else {
                return;
            };
            self.discover(&slot);
        }
        let Self { outlet, hub, clients, turns, .. } = self;
        let Some(Some(entry)) = self.topics.get_mut(issued.id as usize) else {
            return;
        };
        if entry.members.is_empty() {
            entry.slot.leave(*outlet);
            entry.position = entry.position.max(issued.update.seq);
            return;
        }
        let (members, mut touched) = (entry.members.len(), Touched::new());
        let mut reaching = Reaching { clients, turns, now: now.instant, touched: &mut touched };
        if issued.update.seq == entry.position + 1 {
            entry.offer(issued, &mut reaching);
        } else if issued.update.seq > entry.position {
            entry.catch_up(*outlet, hub, now.wall, &mut reaching);
        }
        self.add_turns(touched, members);
    }

    fn dispatch_status(&mut self, change: &Arc<StatusChange>, now: Now) {
        if self.entry(change.slot.id()).is_none() {
            self.discover(&change.slot);
        }
        let Self { clients, turns, .. } = self;
        if let Some(Some(entry)) = self.topics.get_mut(change.slot.id() as usize) {
            let (members, mut touched) = (entry.members.len(), Touched::new());
            let mut reaching = Reaching { clients, turns, now: now.instant, touched: &mut touched };
            entry.tell(change, &mut reaching);
            self.add_turns(touched, members);
        }
    }

    /// The channel was overrun: every topic is compared with its ring.
    pub(super) fn resync(&mut self, now: Now) {
        let everything = Pattern::parse(">");
        for slot in everything.map(|all| self.hub.matching(&all)).unwrap_or_default() {
            if self.entry(slot.id()).is_none() {
                self.discover(&slot);
            }
        }
        let Self { outlet, hub, clients, turns, .. } = self;
        let mut touched = Touched::new();
        for entry in self.topics.iter_mut().flatten().filter(|entry| !entry.members.is_empty()) {
            let (now, wall) = (now.instant, now.wall);
            let mut reaching = Reaching { clients, turns, now, touched: &mut touched };
            entry.catch_up(*outlet, hub, wall, &mut reaching);
        }
        self.add_turns(touched, usize::MAX);
    }

    /// Everyone is served, whatever waits: after a fault, some may be taken for due still and would
    /// not be served for what comes next.
    pub(super) fn recover(&mut self, desk: &mut Desk, now: Now) {
        desk.tell(&mut self.turns);
        let keys = || self.clients.iter().filter_map(|(key, _)| u32::try_from(key).ok());
        let keys: Vec<_> = keys().collect();
        for key in &keys {
            self.settle(*key, now.instant);
        }
        // Runs that some were offered when the fault came would be kept for ever.
        self.turns = self.turns.anew();
        self.resync(now);
        keys.iter().for_each(|key| self.turns.touch(*key, usize::MAX));
    }

    /// Offers to a client what it is to be offered, without writing: what is done to it next comes
    /// behind that. It keeps its turn.
    pub(super) fn settle(&mut self, key: u32, now: Instant) {
        self.turns.close_runs();
        if let Some(client) = self.clients.get(key as usize) {
            accept(client, key, &mut self.turns, now);
        }
    }
}

/// As [`Index::settle`].
pub(super) fn accept(client: &Client, key: u32, turns: &mut Turns, now: Instant) {
    let mut marks = Vec::new();
    turns.take(key, &mut marks);
    if !marks.is_empty() {
        guarded(client, |client| client.accept(&marks, &turns.runs, now));
        marks.drain(..).for_each(|mark| turns.leave(mark.run, 1));
    }
}

/// A fault in one client's state must not end the deliveries of all.
pub(super) fn guarded<T>(client: &Client, act: impl FnOnce(&Client) -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(|| act(client)));
    if done.is_err() {
        client.fail();
    }
    done.ok()
}
