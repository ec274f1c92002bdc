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

use std::{
    collections::{BTreeSet, VecDeque},
    io::IoSlice,
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use slab::Slab;

use super::{
    ledger::Ledger,
    options::Options,
    tally::Tally,
    view::{Gap, Latest, Place, Token, View},
};
use crate::{
    hub::{Issued, StatusChange},
    market::{Pattern, Update},
    protocol::{
        code::GapReason,
        command::Mode,
        event,
        frame::{Builder, Opcode},
    },
    units::Micros,
};

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
}

/// What waits for one client.
#[derive(Debug)]
pub(super) struct Outbox {
    bounds: Bounds,
    pub(super) subs: Slab<Subscription>,
    pub(super) views: Slab<View>,
    order: VecDeque<Token>,
    /// Places in the order that must be encoded before they can be written.
    lazy: usize,
    control: VecDeque<Bytes>,
    control_bytes: usize,
    partial: Option<Partial>,
    queued_updates: usize,
    queued_bytes: usize,
    /// Topics that `max_rate` holds back, by when that ends.
    held: BTreeSet<(Instant, u32)>,
    closed: bool,
    pub(super) tally: Tally,
}

/// A frame of which the kernel has taken a part.
#[derive(Debug)]
struct Partial {
    frame: Bytes,
    written: usize,
    credit: Option<(u32, Arc<Issued>)>,
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
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            subs: Slab::new(),
            views: Slab::new(),
            order: VecDeque::new(),
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

    /// Offers an update of the topic of `view`.
    pub(super) fn offer(&mut self, view: u32, issued: &Arc<Issued>, now: Instant) {
        if self.closed {
            return;
        }
        let Some(topic) = self.views.get_mut(view as usize) else {
            return;
        };
        let Some(sub) = self.subs.get_mut(topic.sub as usize) else {
            return;
        };
        sub.ledger.published += 1;
        sub.ledger.queued += 1;
        self.tally.offered += 1;
        let (key, allowed) = (topic.sub, sub.options.interval.and(topic.next_allowed));
        match sub.options.mode {
            Mode::Every => self.enqueue(view, key, issued),
            Mode::Latest => self.replace(view, key, issued, allowed, now),
        }
    }

    fn enqueue(&mut self, view: u32, sub: u32, issued: &Arc<Issued>) {
        self.promote(view);
        self.follow(view);
        self.order.push_back(Token::Update {
            view,
            sub,
            issued: issued.clone(),
        });
        self.queued_updates += 1;
        self.queued_bytes += issued.frame().len();
        if let Some(topic) = self.views.get_mut(view as usize) {
            topic.waiting += 1;
        }
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
        issued: &Arc<Issued>,
        allowed: Option<Instant>,
        now: Instant,
    ) {
        let Some(topic) = self.views.get_mut(view as usize) else {
            return;
        };
        if let Some(latest) = &mut topic.latest {
            if let Some(owner) = self.subs.get_mut(latest.sub as usize) {
                owner.ledger.queued -= 1;
                owner.ledger.conflated += 1;
            }
            self.tally.conflated += 1;
            latest.issued = issued.clone();
            latest.sub = sub;
            if latest.place == Place::Followed {
                latest.place = Place::Open;
                self.move_behind(view);
            }
            return;
        }
        let held = allowed.filter(|allowed| *allowed > now);
        topic.latest = Some(Latest {
            issued: issued.clone(),
            sub,
            place: held.map_or(Place::Open, Place::Held),
        });
        match held {
            Some(due) => drop(self.held.insert((due, view))),
            None => self.order.push_back(Token::Latest { view }),
        }
    }

    /// Gives the `latest` update of `view` the last place instead of the one it has.
    fn move_behind(&mut self, view: u32) {
        let is_it = |token: &Token| matches!(token, Token::Latest { view: of } if *of == view);
        if let Some(token) = self
            .order
            .iter()
            .position(is_it)
            .and_then(|place| self.order.remove(place))
        {
            self.order.push_back(token);
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
        if let Some(topic) = self.views.get_mut(view as usize) {
            topic.sub = sub;
            topic.next_allowed = None;
        }
        self.promote(view);
        let told = |sub: &Subscription| sub.options.status;
        if !self.subs.get(sub as usize).is_some_and(told) {
            self.drop_status(view);
        }
    }

    /// The topic of `view` reaches the client no more. What its subscriptions had waiting there
    /// went with them: [`Outbox::cancel`].
    pub(super) fn remove_view(&mut self, view: u32) {
        self.drop_status(view);
        self.views.try_remove(view as usize);
    }

    fn drop_status(&mut self, view: u32) {
        let waits = |token: &Token| match token {
            Token::Status { view: of }
            | Token::Ready {
                view: of,
                sub: None,
                ..
            } => *of == view,
            _ => false,
        };
        let topic = self.views.get_mut(view as usize);
        let unencoded = topic.is_some_and(|topic| topic.status.take().is_some());
        // What is encoded stands among the next to be written.
        if unencoded || self.order.iter().take(WINDOW).any(waits) {
            self.order.retain(|token| !waits(token));
            self.count_lazy();
        }
    }

    fn count_lazy(&mut self) {
        self.lazy = self.order.iter().filter(|token| token.is_lazy()).count();
    }

    /// Queues the value at the moment of subscribing. One that still waits is superseded.
    pub(super) fn push_snapshot(&mut self, view: u32, issued: Arc<Issued>) {
        if self.closed {
            return;
        }
        self.promote(view);
        self.follow(view);
        let Some(topic) = self.views.get_mut(view as usize) else {
            return;
        };
        if std::mem::replace(&mut topic.snapshot, true) {
            self.order
                .retain(|token| !matches!(token, Token::Snapshot { view: of, .. } if *of == view));
            self.lazy -= 1;
        }
        let sub = topic.sub;
        self.push_lazy(Token::Snapshot { view, sub, issued });
    }

    /// Queues a change of freshness; one that still waits is superseded.
    pub(super) fn push_status(&mut self, view: u32, change: &Arc<StatusChange>) {
        let Some(topic) = self.views.get_mut(view as usize) else {
            return;
        };
        let told = |sub: &Subscription| sub.options.status;
        if self.closed || !self.subs.get(topic.sub as usize).is_some_and(told) {
            return;
        }
        if topic.status.replace(change.clone()).is_none() {
            self.push_lazy(Token::Status { view });
        }
    }

    /// Numbers `from` to `to` of the topic were lost before they could be offered.
    pub(super) fn lose(&mut self, view: u32, from: u64, to: u64, reason: GapReason) {
        let Some(sub) = self.views.get(view as usize).map(|topic| topic.sub) else {
            return;
        };
        let Some(owner) = self.subs.get_mut(sub as usize).filter(|_| !self.closed) else {
            return;
        };
        let count = to - from + 1;
        owner.ledger.published += count;
        owner.ledger.dropped += count;
        let replaced = owner.options.mode == Mode::Latest;
        self.tally.offered += count;
        self.tally.lose(Loss::Lag, count);
        let gap = Gap {
            from,
            to,
            dropped: count,
            reason,
            sub,
        };
        self.follow(view);
        // A waiting `latest` update will be replaced by what comes after the gap, behind it.
        match self.gap_before(view, sub, self.order.len(), replaced) {
            Some(earlier) => self.join_gaps(earlier, gap),
            None => self.push_lazy(Token::Gap { view, gap }),
        }
    }

    fn push_lazy(&mut self, token: Token) {
        self.lazy += 1;
        self.order.push_back(token);
    }

    /// The place of a gap of `view` and `sub` before `end`, when nothing of the topic that will be
    /// delivered stands between.
    fn gap_before(&self, view: u32, sub: u32, end: usize, over_latest: bool) -> Option<usize> {
        let before = (0..end).rev().zip(self.order.range(..end).rev());
        nearest_gap(before, view, sub, over_latest)
    }

    fn gap_after(&self, view: u32, sub: u32, start: usize) -> Option<usize> {
        let after = (start..).zip(self.order.range(start..));
        nearest_gap(after, view, sub, false)
    }

    fn join_gaps(&mut self, place: usize, other: Gap) {
        if let Some(Token::Gap { gap, .. }) = self.order.get_mut(place) {
            gap.join(other);
        }
    }

    /// The topic with most waiting loses its oldest, and a gap takes its place.
    fn drop_oldest_of_fullest(&mut self) -> bool {
        let (mut victim, mut most) = (None, 0);
        for (index, token) in self.order.iter().enumerate() {
            if let Token::Update { view, .. } = token
                && let Some(topic) = self.views.get(*view as usize)
                && topic.waiting > most
            {
                (victim, most) = (Some(index), topic.waiting);
            }
        }
        let Some(index) = victim else { return false };
        let Some(Token::Update { view, sub, issued }) = self.order.get(index) else {
            return false;
        };
        let (view, sub, seq, len) = (*view, *sub, issued.update.seq, issued.frame().len());
        self.queued_updates -= 1;
        self.queued_bytes -= len;
        self.credit_loss(sub, Loss::Overflow);
        if let Some(topic) = self.views.get_mut(view as usize) {
            topic.waiting -= 1;
        }
        let gap = Gap {
            from: seq,
            to: seq,
            dropped: 1,
            reason: GapReason::SlowConsumer,
            sub,
        };
        let place = match self.gap_before(view, sub, index, false) {
            Some(earlier) => {
                self.order.remove(index);
                self.join_gaps(earlier, gap);
                earlier
            }
            None => {
                if let Some(token) = self.order.get_mut(index) {
                    *token = Token::Gap { view, gap };
                    self.lazy += 1;
                }
                index
            }
        };
        if let Some(later) = self.gap_after(view, sub, place + 1)
            && let Some(Token::Gap { gap, .. }) = self.order.remove(later)
        {
            self.lazy -= 1;
            self.join_gaps(place, gap);
        }
        true
    }

    fn credit_loss(&mut self, sub: u32, loss: Loss) {
        if let Some(sub) = self.subs.get_mut(sub as usize) {
            sub.ledger.queued -= 1;
            sub.ledger.dropped += 1;
        }
        self.tally.lose(loss, 1);
    }

    /// Encodes what is next in the order and waits to be encoded.
    pub(super) fn prepare(&mut self, now: Micros) {
        if self.lazy == 0 {
            return;
        }
        for token in self
            .order
            .iter_mut()
            .take(WINDOW)
            .filter(|token| token.is_lazy())
        {
            let view = token.view();
            let sub = match token {
                Token::Snapshot { sub, .. } => Some(*sub),
                Token::Gap { gap, .. } => Some(gap.sub),
                _ => None,
            };
            let frame = match self.views.get_mut(view as usize) {
                Some(topic) => encode(token, topic, now, &mut self.tally),
                None => Bytes::new(),
            };
            *token = Token::Ready { view, sub, frame };
            self.lazy -= 1;
        }
    }

    /// The next frames to write, in `out`; returns how many there are. Call [`Outbox::prepare`]
    /// first and tell [`Outbox::taken`] how many bytes of them the kernel took.
    pub(super) fn slices<'a>(&'a self, out: &mut [IoSlice<'a>; WINDOW]) -> usize {
        let partial = self
            .partial
            .iter()
            .filter_map(|part| part.frame.get(part.written..));
        let control = self.control.iter().map(|frame| &frame[..]);
        let order = self.order.iter().map(|token| self.frame_of(token));
        let mut count = 0;
        for (place, frame) in out.iter_mut().zip(partial.chain(control).chain(order)) {
            *place = IoSlice::new(frame);
            count += 1;
        }
        count
    }

    fn frame_of<'a>(&'a self, token: &'a Token) -> &'a [u8] {
        match token {
            Token::Update { issued, .. } => issued.frame(),
            Token::Latest { view } => self
                .views
                .get(*view as usize)
                .and_then(|topic| topic.latest.as_ref())
                .map_or(&[], |latest| latest.issued.frame()),
            Token::Ready { frame, .. } => frame,
            // Beyond the window that was prepared: never among the slices.
            Token::Snapshot { .. } | Token::Gap { .. } | Token::Status { .. } => &[],
        }
    }

    /// The kernel took `bytes` of what [`Outbox::slices`] gave. `delivered` is called for each
    /// update whose last byte was among them.
    pub(super) fn taken(
        &mut self,
        mut bytes: usize,
        now: Instant,
        mut delivered: impl FnMut(&Update),
    ) {
        loop {
            let mut part = match self.partial.take() {
                Some(part) => part,
                None if bytes == 0 => return,
                None => match self.pop(now) {
                    Some(part) => part,
                    None => return,
                },
            };
            let left = part.frame.len() - part.written;
            if bytes < left {
                part.written += bytes;
                self.partial = Some(part);
                return;
            }
            bytes -= left;
            if let Some((sub, issued)) = part.credit {
                if let Some(sub) = self.subs.get_mut(sub as usize) {
                    sub.ledger.queued -= 1;
                    sub.ledger.delivered += 1;
                }
                self.tally.delivered += 1;
                delivered(&issued.update);
            }
        }
    }

    /// Takes the next frame out of its queue.
    fn pop(&mut self, now: Instant) -> Option<Partial> {
        if let Some(frame) = self.control.pop_front() {
            self.control_bytes -= frame.len();
            return Some(Partial {
                frame,
                written: 0,
                credit: None,
            });
        }
        match self.order.pop_front()? {
            Token::Update { view, sub, issued } => {
                self.queued_updates -= 1;
                self.queued_bytes -= issued.frame().len();
                if let Some(topic) = self.views.get_mut(view as usize) {
                    topic.waiting -= 1;
                }
                let frame = issued.frame().clone();
                Some(Partial {
                    frame,
                    written: 0,
                    credit: Some((sub, issued)),
                })
            }
            Token::Latest { view } => {
                let topic = self.views.get_mut(view as usize)?;
                let Latest { issued, sub, .. } = topic.latest.take()?;
                let interval = self
                    .subs
                    .get(topic.sub as usize)
                    .and_then(|sub| sub.options.interval);
                topic.next_allowed = interval.map(|interval| now + interval);
                let frame = issued.frame().clone();
                Some(Partial {
                    frame,
                    written: 0,
                    credit: Some((sub, issued)),
                })
            }
            Token::Ready { frame, .. } => Some(Partial {
                frame,
                written: 0,
                credit: None,
            }),
            lazy => {
                self.order.push_front(lazy);
                None
            }
        }
    }

    /// Ends `sub`: nothing of it waits any more. Its topics must be given to others or removed by
    /// the caller afterwards, which it can tell from [`View::sub`].
    pub(super) fn cancel(&mut self, sub: u32) {
        let mut lost = 0;
        let (views, held) = (&mut self.views, &mut self.held);
        let (queued_updates, queued_bytes) = (&mut self.queued_updates, &mut self.queued_bytes);
        self.order.retain(|token| match token {
            Token::Update {
                view,
                sub: owner,
                issued,
            } if *owner == sub => {
                lost += 1;
                *queued_updates -= 1;
                *queued_bytes -= issued.frame().len();
                if let Some(topic) = views.get_mut(*view as usize) {
                    topic.waiting -= 1;
                }
                false
            }
            Token::Latest { view } => views
                .get(*view as usize)
                .and_then(|topic| topic.latest.as_ref())
                .is_some_and(|latest| latest.sub != sub),
            Token::Snapshot {
                view, sub: owner, ..
            } if *owner == sub => {
                if let Some(topic) = views.get_mut(*view as usize) {
                    topic.snapshot = false;
                }
                false
            }
            Token::Gap { gap, .. } => gap.sub != sub,
            Token::Ready { sub: owner, .. } => *owner != Some(sub),
            Token::Update { .. } | Token::Snapshot { .. } | Token::Status { .. } => true,
        });
        for (key, topic) in views {
            if let Some(latest) = topic.latest.take_if(|latest| latest.sub == sub) {
                lost += 1;
                if let (Place::Held(due), Ok(key)) = (latest.place, u32::try_from(key)) {
                    held.remove(&(due, key));
                }
            }
        }
        self.count_lazy();
        // Its key may be given to another subscription: what is partly written must not be credited
        // to that one.
        if let Some(part) = &mut self.partial
            && part.credit.take_if(|(owner, _)| *owner == sub).is_some()
        {
            lost += 1;
        }
        for _ in 0..lost {
            self.credit_loss(sub, Loss::Unsubscribed);
        }
    }

    /// The client is gone or will be told nothing more: what waits for it is lost, and nothing but
    /// answers and control frames is accepted from now on.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for token in std::mem::take(&mut self.order) {
            if let Token::Update { sub, .. } = token {
                self.credit_loss(sub, Loss::Closed);
            }
        }
        let waiting: Vec<u32> = self
            .views
            .iter_mut()
            .filter_map(|(_, topic)| {
                topic.waiting = 0;
                topic.snapshot = false;
                topic.status = None;
                topic.latest.take()
            })
            .map(|latest| latest.sub)
            .collect();
        for sub in waiting {
            self.credit_loss(sub, Loss::Closed);
        }
        if let Some(part) = &mut self.partial
            && let Some((sub, _)) = part.credit.take()
        {
            self.credit_loss(sub, Loss::Closed);
        }
        self.lazy = 0;
        self.held.clear();
        (self.queued_updates, self.queued_bytes) = (0, 0);
        self.control.clear();
        self.control_bytes = 0;
    }
}

/// The first gap of `view` and `sub` in `places` that is not behind anything else of the topic; a
/// change of freshness may stand anywhere.
fn nearest_gap<'a>(
    places: impl Iterator<Item = (usize, &'a Token)>,
    view: u32,
    sub: u32,
    over_latest: bool,
) -> Option<usize> {
    let (place, token) = places
        .filter(|(_, token)| token.view() == view)
        .find(|(_, token)| match token {
            Token::Status { .. } => false,
            Token::Latest { .. } => !over_latest,
            _ => true,
        })?;
    matches!(token, Token::Gap { gap, .. } if gap.sub == sub).then_some(place)
}

fn encode(token: &Token, topic: &mut View, now: Micros, tally: &mut Tally) -> Bytes {
    let mut builder = Builder::with_capacity(256);
    let out = builder.payload();
    let name = topic.slot.topic().as_str();
    match token {
        Token::Snapshot { issued, .. } => {
            topic.snapshot = false;
            event::snapshot(out, &issued.update, topic.slot.head(now).status.state);
        }
        Token::Gap { gap, .. } => {
            tally.gaps += 1;
            let (from, to) = (gap.from, gap.to);
            let gap = event::Gap {
                topic: name,
                from,
                to,
                dropped: gap.dropped,
                reason: gap.reason,
            };
            event::json(out, &gap);
        }
        Token::Status { .. } => {
            let Some(change) = topic.status.take() else {
                return Bytes::new();
            };
            let status = &change.transition;
            let message = event::Status {
                topic: name,
                state: status.state,
                age_ms: status.age_ms,
                source: status.source.as_deref(),
                reason: status.reason,
                retry_at: status.retry_at,
            };
            event::json(out, &message);
        }
        _ => return Bytes::new(),
    }
    builder.finish(Opcode::Text)
}

#[cfg(test)]
mod audit;
