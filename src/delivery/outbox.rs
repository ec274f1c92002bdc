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
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
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
    view::{Latest, Token, View},
};
use crate::{
    hub::{Issued, StatusChange},
    market::{Pattern, Update},
    protocol::{
        code::GapReason,
        event,
        frame::{Builder, Opcode},
        params::Mode,
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
    held: BinaryHeap<Reverse<(Instant, u32)>>,
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
            held: BinaryHeap::new(),
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
        self.held.peek().map(|Reverse((due, _))| *due)
    }

    /// Offers an update of the topic of `view`.
    pub(super) fn offer(&mut self, view: u32, issued: &Arc<Issued>, now: Instant) {
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
        // Held back by a rate that is no longer asked for: it must not be overtaken.
        self.promote(view);
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
            return;
        }
        let held = allowed.filter(|allowed| *allowed > now);
        topic.latest = Some(Latest {
            issued: issued.clone(),
            sub,
            in_order: held.is_none(),
        });
        match held {
            Some(due) => self.held.push(Reverse((due, view))),
            None => self.order.push_back(Token::Latest { view }),
        }
    }

    /// Gives what `max_rate` holds back its place, where its time has come. True when something
    /// got one.
    pub(super) fn release(&mut self, now: Instant) -> bool {
        let mut released = false;
        while self
            .held
            .peek()
            .is_some_and(|Reverse((due, _))| *due <= now)
        {
            if let Some(Reverse((_, view))) = self.held.pop() {
                released |= self.promote(view);
            }
        }
        released
    }

    fn promote(&mut self, view: u32) -> bool {
        let held = self
            .views
            .get_mut(view as usize)
            .and_then(|topic| topic.latest.as_mut());
        let Some(latest) = held.filter(|latest| !latest.in_order) else {
            return false;
        };
        latest.in_order = true;
        self.order.push_back(Token::Latest { view });
        true
    }

    /// Makes a waiting `latest` update keep its place, so that what follows it cannot take it: what
    /// a snapshot is about to follow must not be replaced by what is newer than the snapshot.
    pub(super) fn settle(&mut self, view: u32) {
        self.promote(view);
        let Some(topic) = self.views.get_mut(view as usize) else {
            return;
        };
        let Some(latest) = topic.latest.take() else {
            return;
        };
        topic.waiting += 1;
        self.queued_updates += 1;
        self.queued_bytes += latest.issued.frame().len();
        let place = self
            .order
            .iter_mut()
            .find(|token| matches!(token, Token::Latest { view: other } if *other == view));
        if let Some(token) = place {
            *token = Token::Update {
                view,
                sub: latest.sub,
                issued: latest.issued,
            };
        }
    }

    /// Queues the value at the moment of subscribing. One that still waits is superseded.
    pub(super) fn push_snapshot(&mut self, view: u32, issued: Arc<Issued>) {
        let before = self.order.len();
        self.order.retain(
            |token| !matches!(token, Token::Snapshot { view: other, .. } if *other == view),
        );
        self.lazy -= before - self.order.len();
        self.push_lazy(Token::Snapshot { view, issued });
    }

    /// Queues a change of freshness; one that still waits is superseded.
    pub(super) fn push_status(&mut self, view: u32, change: &Arc<StatusChange>) {
        let Some(topic) = self.views.get_mut(view as usize) else {
            return;
        };
        if !self
            .subs
            .get(topic.sub as usize)
            .is_some_and(|sub| sub.options.status)
        {
            return;
        }
        if topic.status.replace(change.clone()).is_none() {
            self.push_lazy(Token::Status { view });
        }
    }

    /// Numbers `from` to `to` of the topic were lost before they could be offered.
    pub(super) fn lose(&mut self, view: u32, from: u64, to: u64, reason: GapReason) {
        let Some(topic) = self.views.get_mut(view as usize) else {
            return;
        };
        let count = to - from + 1;
        if let Some(sub) = self.subs.get_mut(topic.sub as usize) {
            sub.ledger.published += count;
            sub.ledger.dropped += count;
        }
        self.tally.offered += count;
        self.tally.lose(Loss::Lag, count);
        if topic.lose(from, to, topic.sub, reason) {
            self.push_lazy(Token::Gap { view });
        }
    }

    fn push_lazy(&mut self, token: Token) {
        self.lazy += 1;
        self.order.push_back(token);
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
        let Some(topic) = self.views.get_mut(view as usize) else {
            return false;
        };
        topic.waiting -= 1;
        if topic.lose(seq, seq, sub, GapReason::SlowConsumer) {
            self.lazy += 1;
            if let Some(token) = self.order.get_mut(index) {
                *token = Token::Gap { view };
            }
        } else {
            self.order.remove(index);
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
            let frame = match self.views.get_mut(view as usize) {
                Some(topic) => encode(token, topic, now, &mut self.tally),
                None => Bytes::new(),
            };
            *token = Token::Ready { view, frame };
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

    /// Ends `sub`: nothing of it waits any more. Its topics must have been given to others or
    /// removed by the caller afterwards, which it can tell from [`View::sub`].
    pub(super) fn cancel(&mut self, sub: u32) {
        let mut lost = 0;
        for (key, topic) in &mut self.views {
            if topic
                .latest
                .as_ref()
                .is_some_and(|latest| latest.sub == sub)
            {
                topic.latest = None;
                lost += 1;
                self.order.retain(
                    |token| !matches!(token, Token::Latest { view } if *view as usize == key),
                );
            }
        }
        let views = &mut self.views;
        let (mut updates, mut bytes) = (0, 0);
        self.order.retain(|token| {
            let topic = views.get_mut(token.view() as usize);
            match (token, topic) {
                (
                    Token::Update {
                        sub: owner, issued, ..
                    },
                    topic,
                ) if *owner == sub => {
                    updates += 1;
                    bytes += issued.frame().len();
                    if let Some(topic) = topic {
                        topic.waiting -= 1;
                    }
                    false
                }
                (Token::Update { .. } | Token::Latest { .. }, _) => true,
                (_, Some(topic)) if topic.sub == sub => {
                    topic.status = None;
                    if topic.gap.is_some_and(|gap| gap.sub == sub) {
                        topic.gap = None;
                    }
                    topic.gap.is_some() && matches!(token, Token::Gap { .. })
                }
                _ => true,
            }
        });
        self.lazy = self.order.iter().filter(|token| token.is_lazy()).count();
        self.queued_updates -= updates;
        self.queued_bytes -= bytes;
        // Its key may be given to another subscription: what is partly written must not be credited
        // to that one.
        if let Some(part) = &mut self.partial
            && part.credit.take_if(|(owner, _)| *owner == sub).is_some()
        {
            lost += 1;
        }
        for _ in 0..lost + updates {
            self.credit_loss(sub, Loss::Unsubscribed);
        }
    }

    /// The client is gone: what waits for it is lost.
    pub(super) fn close(&mut self) {
        for token in std::mem::take(&mut self.order) {
            if let Token::Update { sub, .. } = token {
                self.credit_loss(sub, Loss::Closed);
            }
        }
        let waiting: Vec<u32> = self
            .views
            .iter_mut()
            .filter_map(|(_, topic)| topic.latest.take())
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

fn encode(token: &Token, topic: &mut View, now: Micros, tally: &mut Tally) -> Bytes {
    let mut builder = Builder::with_capacity(256);
    let out = builder.payload();
    let name = topic.slot.topic().as_str();
    match token {
        Token::Snapshot { issued, .. } => {
            event::snapshot(out, &issued.update, topic.slot.head(now).status.state);
        }
        Token::Gap { .. } => {
            let Some(gap) = topic.gap.take() else {
                return Bytes::new();
            };
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
