//! From the queues to the socket: what is next, and what the kernel took of it.

use std::{io::IoSlice, sync::Arc, time::Instant};

use bytes::Bytes;

use super::{Outbox, WINDOW};
use crate::{
    delivery::{
        offer::Variant,
        view::{Item, Latest, Token},
    },
    hub::Issued,
    market::Update,
    protocol::event,
    units::Micros,
};

/// A frame of which the kernel has taken a part.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) frame: Bytes,
    pub(super) written: usize,
    pub(super) credit: Option<(u32, Arc<Issued>)>,
}

impl Partial {
    fn update(item: Item, sub: u32) -> Self {
        Self { frame: item.frame().clone(), written: 0, credit: Some((sub, item.issued)) }
    }
}

impl Outbox {
    /// Reads from history and encodes what is next in the order.
    pub(in crate::delivery) fn prepare(&mut self, now: Micros) {
        if self.lazy == 0 {
            return;
        }
        self.read_history();
        for place in 0..self.order.len().min(WINDOW) {
            let Some(token) = self.order.get(place).filter(|token| token.is_lazy()) else {
                continue;
            };
            let (view, sub) = match token {
                Token::Replay { .. } => continue,
                Token::Snapshot { view, sub, .. } => (*view, Some(*sub)),
                Token::Gap { view, gap } => (*view, Some(gap.sub)),
                token => (token.view(), None),
            };
            let frame = self.encode(place, now);
            if let Some(token) = self.order.get_mut(place) {
                *token = Token::Ready { view, sub, frame };
                self.lazy -= 1;
            }
        }
    }

    fn encode(&mut self, place: usize, now: Micros) -> Bytes {
        let Some(token) = self.order.get(place) else { return Bytes::new() };
        let Some(topic) = self.views.get_mut(token.view() as usize) else { return Bytes::new() };
        let format = self.format;
        match token {
            Token::Snapshot { sub, issued, .. } => {
                topic.snapshot = false;
                let options = self.subs.get(*sub as usize).map(|sub| &sub.options);
                let projection = options.and_then(|options| options.projection.as_deref());
                let state = topic.slot.head(now).status.state;
                let variant = Variant { format, projection };
                variant.frame(&issued.update, |out, update| event::snapshot(out, update, state))
            }
            Token::Gap { gap, .. } => {
                self.tally.gaps += 1;
                let (topic, from, to) = (topic.slot.topic().as_str(), gap.from, gap.to);
                let (dropped, reason) = (gap.dropped, gap.reason);
                format.message(&event::Gap { topic, from, to, dropped, reason })
            }
            Token::Status { .. } => {
                let Some(change) = topic.status.take() else { return Bytes::new() };
                let status = &change.transition;
                format.message(&event::Status {
                    topic: topic.slot.topic().as_str(),
                    state: status.state,
                    age_ms: status.age_ms,
                    source: status.source.as_deref(),
                    reason: status.reason,
                    retry_at: status.retry_at,
                })
            }
            _ => Bytes::new(),
        }
    }

    /// The next frames to write, in `out`; returns how many there are. Call [`Outbox::prepare`]
    /// first and tell [`Outbox::taken`] how many bytes of them the kernel took.
    pub(in crate::delivery) fn slices<'a>(&'a self, out: &mut [IoSlice<'a>; WINDOW]) -> usize {
        let partial = self.partial.iter().filter_map(|part| part.frame.get(part.written..));
        let control = self.control.iter().map(|frame| &frame[..]);
        let order = self.order.iter().map_while(|token| self.frame_of(token));
        let mut count = 0;
        for (place, frame) in out.iter_mut().zip(partial.chain(control).chain(order)) {
            *place = IoSlice::new(frame);
            count += 1;
        }
        count
    }

    /// Nothing for what was not prepared, and what stands behind it must wait.
    fn frame_of<'a>(&'a self, token: &'a Token) -> Option<&'a [u8]> {
        match token {
            Token::Update { item, .. } => Some(item.frame()),
            Token::Latest { view } => {
                let topic = self.views.get(*view as usize)?;
                topic.latest.as_ref().map(|latest| &latest.item.frame()[..])
            }
            Token::Ready { frame, .. } => Some(frame),
            Token::Snapshot { .. }
            | Token::Gap { .. }
            | Token::Status { .. }
            | Token::Replay { .. } => None,
        }
    }

    /// The kernel took `bytes` of what [`Outbox::slices`] gave. `delivered` is called for each
    /// update whose last byte was among them.
    pub(in crate::delivery) fn taken(
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
            return Some(Partial { frame, written: 0, credit: None });
        }
        match self.order.pop_front()? {
            Token::Update { sub, item, history: true, .. } => Some(Partial::update(item, sub)),
            Token::Update { view, sub, item, .. } => {
                self.queued_updates -= 1;
                self.queued_bytes -= item.frame().len();
                if let Some(topic) = self.views.get_mut(view as usize) {
                    topic.waiting -= 1;
                }
                Some(Partial::update(item, sub))
            }
            Token::Latest { view } => {
                let topic = self.views.get_mut(view as usize)?;
                let Latest { item, sub, .. } = topic.latest.take()?;
                let interval =
                    self.subs.get(topic.sub as usize).and_then(|sub| sub.options.interval);
                topic.next_allowed = interval.map(|interval| now + interval);
                Some(Partial::update(item, sub))
            }
            Token::Ready { frame, .. } => Some(Partial { frame, written: 0, credit: None }),
            lazy => {
                self.order.push_front(lazy);
                None
            }
        }
    }
}
