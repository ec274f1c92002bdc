//! From the queues to the socket: what is next, and what the kernel took of it.

use std::{collections::VecDeque, io::IoSlice, sync::Arc, time::Instant};

use bytes::Bytes;

use super::{Outbox, WINDOW};
use crate::{
    delivery::{
        account::Account,
        offer::Variant,
        view::{Latest, Letter, Token},
    },
    protocol::event,
    units::Micros,
};

/// What is next for the socket, out of its queue.
#[derive(Debug)]
pub(super) enum Next {
    /// An update, and the subscription that it is credited to; none when that has ended.
    Letter(Arc<Letter>, Option<u32>),
    /// Anything else.
    Frame(Bytes),
}

/// A frame of which the kernel has taken a part.
#[derive(Debug)]
pub(super) struct Partial {
    next: Next,
    written: usize,
}

impl Next {
    fn bytes(&self) -> &Bytes {
        match self {
            Self::Letter(letter, _) => &letter.frame,
            Self::Frame(frame) => frame,
        }
    }
}

impl Partial {
    pub(super) fn new(next: Next, written: usize) -> Self {
        Self { next, written }
    }

    /// The subscription that the frame is credited to.
    #[cfg(test)]
    pub(super) fn credited(&self) -> Option<u32> {
        match &self.next {
            Next::Letter(_, sub) => *sub,
            Next::Frame(_) => None,
        }
    }

    /// Takes the credit from a subscription of which `is_it` says so. Returns which.
    pub(super) fn forgo(&mut self, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        match &mut self.next {
            Next::Letter(_, sub) => sub.take_if(|sub| is_it(*sub)),
            Next::Frame(_) => None,
        }
    }

    fn left(&self) -> &[u8] {
        self.next.bytes().get(self.written..).unwrap_or_default()
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
                *token = Token::Ready { view, sub, frame: Box::new(frame) };
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
        let partial = self.partial.iter().map(|part| part.left());
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
            Token::Update { letter, .. } => Some(&letter.frame),
            Token::Latest { view } => {
                let topic = self.views.get(*view as usize)?;
                topic.latest.as_ref().map(|latest| &latest.letter.frame[..])
            }
            Token::Ready { frame, .. } => Some(frame),
            Token::Snapshot { .. }
            | Token::Gap { .. }
            | Token::Status { .. }
            | Token::Replay { .. } => None,
        }
    }

    /// The kernel took `bytes` of what [`Outbox::slices`] gave. Updates whose last byte was among
    /// them go to the account.
    pub(in crate::delivery) fn taken(
        &mut self,
        mut bytes: usize,
        now: Instant,
        account: &mut Account,
    ) {
        if let Some(mut part) = self.partial.take() {
            let left = part.left().len();
            if bytes < left {
                part.written += bytes;
                self.partial = Some(part);
                return;
            }
            bytes -= left;
            self.credit(&part.next, account);
        }
        while bytes > 0
            && let Some(next) = self.pop(now)
        {
            let len = next.bytes().len();
            if bytes < len {
                self.partial = Some(Box::new(Partial { next, written: bytes }));
                return;
            }
            bytes -= len;
            self.credit(&next, account);
        }
    }

    pub(super) fn credit(&mut self, next: &Next, account: &mut Account) {
        if let Next::Letter(letter, Some(sub)) = next {
            if let Some(sub) = self.subs.get_mut(*sub as usize) {
                sub.ledger.queued -= 1;
                sub.ledger.delivered += 1;
            }
            account.delivered(letter);
        }
    }

    /// Takes the next frame out of its queue.
    fn pop(&mut self, now: Instant) -> Option<Next> {
        if let Some(frame) = self.control.pop_front() {
            self.control_bytes -= frame.len();
            if self.control.is_empty() {
                // Answers are rare: room for four of them would be much of an idle client.
                self.control = VecDeque::new();
            }
            return Some(Next::Frame(frame));
        }
        match self.order.pop_front()? {
            Token::Update { view, sub, letter, history } => {
                if !history {
                    self.queued_updates -= 1;
                    self.queued_bytes -= letter.frame.len();
                    if let Some(topic) = self.views.get_mut(view as usize) {
                        topic.waiting -= 1;
                    }
                }
                Some(Next::Letter(letter, Some(sub)))
            }
            Token::Latest { view } => {
                let topic = self.views.get_mut(view as usize)?;
                let Latest { letter, sub, .. } = topic.latest.take()?;
                self.start_interval(view, now);
                Some(Next::Letter(letter, Some(sub)))
            }
            Token::Ready { frame, .. } => Some(Next::Frame(*frame)),
            lazy => {
                self.order.push_front(lazy);
                None
            }
        }
    }

    /// A `latest` update of the topic is written: the next must not be before the interval is over.
    pub(super) fn start_interval(&mut self, view: u32, now: Instant) {
        if let Some(topic) = self.views.get_mut(view as usize) {
            let owner = self.subs.get(topic.sub as usize);
            let interval = owner.and_then(|owner| owner.options.interval);
            topic.next_allowed = interval.map(|interval| now + interval);
        }
    }
}
