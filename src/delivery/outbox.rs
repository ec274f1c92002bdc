//! What waits for one client, and the account of it. Pure: no I/O, no clock.
//!
//! Data waits in one order over all topics; answers and control frames have a queue of their own
//! that goes first. Nothing is copied: an `every` update is a reference to the shared frame, a
//! `latest` topic has one place whatever happens to it, a snapshot is encoded when its turn comes.
//!
//! Bounds: `every` updates are bounded in number and bytes for the whole client; when they are
//! full, the topic with most waiting loses its oldest and a gap takes the place. Everything else
//! has at most one place for each topic and kind. The control queue is bounded by its user, which
//! reads no further request while [`Outbox::control_bytes`] is high.

mod direct;
mod fresh;
mod lane;
mod loss;
mod replay;
mod wire;

#[cfg(not(test))]
use std::collections::VecDeque as Queue;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
#[cfg(not(test))]
use slab::Slab;

#[cfg(test)]
use super::tests::visits::{Queue, Slab};
use super::{
    ledger::Ledger,
    offer::{Offer, Variant},
    options::Options,
    stage::Passage,
    tally::Tally,
    view::{Latest, Letter, Place, Token, View},
};
use crate::{
    market::Pattern,
    protocol::{encoding::Format, event::Notice, params::Mode},
};
pub(super) use direct::Packet;
use lane::Lanes;
pub(super) use lane::Near;
use wire::Partial;

/// The most frames that are written at once.
pub(super) const WINDOW: usize = 64;

/// Bounds of the `every` updates that wait for one client.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Number.
    pub updates: usize,
    /// Bytes.
    pub bytes: usize,
}

/// One subscription string and its account.
#[derive(Debug)]
pub(super) struct Subscription {
    /// In canonical form.
    pub(super) pattern: Pattern,
    pub(super) options: Options,
    /// How many topics the pattern matched when it was subscribed; 0 for a topic.
    pub(super) matched: usize,
    pub(super) ledger: Ledger,
    /// Whether the client was told that the filter fails.
    pub(super) failure_told: bool,
}

/// What waits for one client.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) lanes: Lanes,
    pub(super) format: Format,
    bounds: Bounds,
    pub(super) subs: Slab<Subscription>,
    pub(super) views: Slab<View>,
    order: Queue<Token>,
    /// Places in the order that must be encoded before they can be written.
    lazy: usize,
    control: VecDeque<Bytes>,
    control_bytes: usize,
    partial: Option<Box<Partial>>,
    queued_updates: usize,
    queued_bytes: usize,
    /// Topics that `max_rate` holds back, by when that ends.
    held: BTreeSet<(Instant, u32)>,
    closed: bool,
    pub(super) tally: Tally,
}

/// Why updates that waited will not be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    Overflow,
    Lag,
    Unsubscribed,
    Closed,
}

impl Outbox {
    pub(super) fn new(bounds: Bounds, format: Format) -> Self {
        Self {
            bounds,
            format,
            // Most clients of a large server have one subscription: room for four would be most
            // of what such a client costs.
            subs: Slab::with_capacity(1),
            views: Slab::with_capacity(1),
            lanes: Lanes::default(),
            order: Queue::new(),
            lazy: 0,
            control: VecDeque::new(),
            control_bytes: 0,
            partial: None,
            queued_updates: 0,
            queued_bytes: 0,
            held: BTreeSet::new(),
            closed: false,
            tally: Tally::default(),
        }
    }

    /// Queues an answer or a control frame.
    pub(super) fn push_control(&mut self, frame: Bytes) {
        self.control_bytes += frame.len();
        self.control.push_back(frame);
    }

    /// How many answers and control frames wait.
    pub(super) fn control_len(&self) -> usize {
        self.control.len()
    }

    /// Queues an answer ahead of what has been queued since `place` of them waited.
    pub(super) fn insert_control(&mut self, place: usize, frame: Bytes) {
        self.control_bytes += frame.len();
        self.control.insert(place.min(self.control.len()), frame);
    }

    /// Bytes of answers and control frames that wait.
    pub(super) fn control_bytes(&self) -> usize {
        self.control_bytes
    }

    /// Bytes of `every` updates that wait.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// True when nothing waits to be written now; `max_rate` may still hold something back.
    pub(super) fn is_empty(&self) -> bool {
        self.partial.is_none() && self.control.is_empty() && self.order.is_empty()
    }

    /// When `max_rate` next lets something through.
    pub(super) fn next_held(&self) -> Option<Instant> {
        self.held.first().map(|(due, _)| *due)
    }

    /// How the topic of `view` is delivered.
    pub(super) fn mode_of(&self, view: u32) -> Option<Mode> {
        let sub = self.views.get(view as usize)?.sub;
        self.subs.get(sub as usize).map(|sub| sub.options.mode)
    }

    /// Offers an update of the topic of `view`.
    pub(super) fn offer(&mut self, view: u32, offer: &Offer, now: Instant) {
        if self.closed {
            return;
        }
        let Some(topic) = self.views.get_mut(view as usize) else { return };
        let Some(sub) = self.subs.get_mut(topic.sub as usize) else { return };
        sub.ledger.published += 1;
        sub.ledger.queued += 1;
        self.tally.offered += 1;
        let mode = sub.options.mode;
        if let Some(cursor) = topic.cursor.as_mut().filter(|cursor| cursor.cut.is_none()) {
            cursor.end = offer.issued.update.seq;
            return;
        }
        let (key, allowed) = (topic.sub, sub.options.interval.and(topic.next_allowed));
        let Some(letter) = self.pass(view, key, offer) else { return };
        match mode {
            Mode::Every => self.enqueue(view, key, letter),
            Mode::Latest => self.replace(view, key, letter, allowed, now),
        }
    }

    /// Lets an update that counts as queued through the stages of its subscription.
    fn pass(&mut self, view: u32, sub: u32, offer: &Offer) -> Option<Arc<Letter>> {
        let format = self.format;
        let owner = self.subs.get_mut(sub as usize)?;
        let topic = self.views.get_mut(view as usize)?;
        let passage = topic.memory.judge(&owner.options, offer);
        if passage == Passage::Through {
            let variant = Variant { format, projection: owner.options.projection.as_deref() };
            return Some(offer.letter(variant));
        }
        owner.ledger.queued -= 1;
        owner.ledger.filtered += 1;
        self.tally.filtered += 1;
        if let Passage::Failed(fault) = passage
            && !std::mem::replace(&mut owner.failure_told, true)
        {
            let notice = Notice {
                code: "filter_error",
                message: Some(&fault.to_string()),
                topic: Some(owner.pattern.as_str()),
                reconnect_after_ms: None,
            };
            let frame = format.message(&notice);
            self.push_control(frame);
        }
        None
    }

    /// Whether half of what may wait does.
    pub(super) fn is_filling(&self) -> bool {
        2 * self.queued_updates >= self.bounds.updates || 2 * self.queued_bytes >= self.bounds.bytes
    }

    fn enqueue(&mut self, view: u32, sub: u32, letter: Arc<Letter>) {
        let Some(topic) = self.views.get_mut(view as usize) else { return };
        topic.waiting += 1;
        if topic.latest.is_some() {
            self.promote(view);
            self.follow(view);
        }
        self.queued_updates += 1;
        self.queued_bytes += letter.frame.len();
        self.order.push_back(Token::Update { view, sub, letter, history: false });
        while self.queued_updates > self.bounds.updates || self.queued_bytes > self.bounds.bytes {
            if !self.drop_oldest_of_fullest() {
                break;
            }
        }
    }

    fn replace(
        &mut self,
        view: u32,
        sub: u32,
        letter: Arc<Letter>,
        allowed: Option<Instant>,
        now: Instant,
    ) {
        let Some(topic) = self.views.get_mut(view as usize) else { return };
        if let Some(latest) = &mut topic.latest {
            if let Some(owner) = self.subs.get_mut(latest.sub as usize) {
                owner.ledger.queued -= 1;
                owner.ledger.conflated += 1;
            }
            self.tally.conflated += 1;
            latest.letter = letter;
            latest.sub = sub;
            if latest.place == Place::Followed {
                latest.place = Place::Open;
                self.move_behind(view);
            }
            return;
        }
        let held = allowed.filter(|allowed| *allowed > now);
        let place = held.map_or(Place::Open, Place::Held);
        topic.latest = Some(Latest { letter, sub, place });
        match held {
            Some(due) => drop(self.held.insert((due, view))),
            None => self.order.push_back(Token::Latest { view }),
        }
    }

    /// Gives the `latest` update of `view` the last place instead of the one it has.
    fn move_behind(&mut self, view: u32) {
        let is_it = |token: &Token| matches!(token, Token::Latest { view: of } if *of == view);
        if let Some(place) = self.order.iter().position(is_it)
            && let Some(token) = self.order.remove(place)
        {
            self.order.push_back(token);
            self.join_around(view, place);
        }
    }

    /// Gives what `max_rate` holds back its place, where its time has come.
    pub(super) fn release(&mut self, now: Instant) {
        while let Some(&(due, view)) = self.held.first()
            && due <= now
        {
            self.held.pop_first();
            self.promote(view);
        }
    }

    /// Gives what `max_rate` holds back of `view` its place.
    fn promote(&mut self, view: u32) {
        if let Some(topic) = self.views.get_mut(view as usize)
            && let Some(latest) = &mut topic.latest
            && let Place::Held(due) = latest.place
        {
            latest.place = Place::Open;
            self.held.remove(&(due, view));
            self.order.push_back(Token::Latest { view });
        }
    }

    /// Something of the topic is about to stand behind its waiting `latest` update.
    fn follow(&mut self, view: u32) {
        if let Some(topic) = self.views.get_mut(view as usize)
            && let Some(latest) = &mut topic.latest
            && latest.place == Place::Open
        {
            latest.place = Place::Followed;
        }
    }

    /// From now on `sub` is whose the topic of `view` is, by options that have not applied to it
    /// before: what the former rate held back waits no longer.
    pub(super) fn assign(&mut self, view: u32, sub: u32) {
        if self.views.get(view as usize).is_some_and(|topic| topic.sub != sub) {
            self.cut(view);
        }
        if let Some(topic) = self.views.get_mut(view as usize) {
            topic.sub = sub;
            topic.next_allowed = None;
        }
        self.set_lane(view);
        self.promote(view);
        let told = |sub: &Subscription| sub.options.status;
        if !self.subs.get(sub as usize).is_some_and(told) {
            self.drop_statuses(&[view]);
        }
    }

    /// The topic of `view` reaches the client no more. What its subscriptions had waiting there
    /// went with them: [`Outbox::cancel`].
    pub(super) fn remove_view(&mut self, view: u32) {
        self.drop_statuses(&[view]);
        self.views.try_remove(view as usize);
        self.set_lane(view);
    }

    fn count_lazy(&mut self) {
        self.lazy = self.order.iter().filter(|token| token.is_lazy()).count();
    }

    fn push_lazy(&mut self, token: Token) {
        self.lazy += 1;
        self.order.push_back(token);
    }
}

#[cfg(test)]
mod audit;
