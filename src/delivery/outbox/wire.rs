//! From the queues to the socket: what is next, and what the kernel took of it.

use std::{io::IoSlice, sync::Arc, time::Instant};

use bytes::Bytes;

use super::{Outbox, WINDOW};
use crate::{
    delivery::{
        tally::Tally,
        view::{Latest, Token, View},
    },
    hub::Issued,
    market::Update,
    protocol::{
        event,
        frame::{Builder, Opcode},
    },
    units::Micros,
};

/// A frame of which the kernel has taken a part.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) frame: Bytes,
    pub(super) written: usize,
    pub(super) credit: Option<(u32, Arc<Issued>)>,
}

impl Outbox {
    /// Encodes what is next in the order and waits to be encoded.
    pub(in crate::delivery) fn prepare(&mut self, now: Micros) {
        if self.lazy == 0 {
            return;
        }
        for token in self.order.iter_mut().take(WINDOW).filter(|token| token.is_lazy()) {
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
    pub(in crate::delivery) fn slices<'a>(&'a self, out: &mut [IoSlice<'a>; WINDOW]) -> usize {
        let partial = self.partial.iter().filter_map(|part| part.frame.get(part.written..));
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
            Token::Update { view, sub, issued } => {
                self.queued_updates -= 1;
                self.queued_bytes -= issued.frame().len();
                if let Some(topic) = self.views.get_mut(view as usize) {
                    topic.waiting -= 1;
                }
                let frame = issued.frame().clone();
                Some(Partial { frame, written: 0, credit: Some((sub, issued)) })
            }
            Token::Latest { view } => {
                let topic = self.views.get_mut(view as usize)?;
                let Latest { issued, sub, .. } = topic.latest.take()?;
                let interval =
                    self.subs.get(topic.sub as usize).and_then(|sub| sub.options.interval);
                topic.next_allowed = interval.map(|interval| now + interval);
                let frame = issued.frame().clone();
                Some(Partial { frame, written: 0, credit: Some((sub, issued)) })
            }
            Token::Ready { frame, .. } => Some(Partial { frame, written: 0, credit: None }),
            lazy => {
                self.order.push_front(lazy);
                None
            }
        }
    }
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
            let gap =
                event::Gap { topic: name, from, to, dropped: gap.dropped, reason: gap.reason };
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
