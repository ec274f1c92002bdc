//! What waits and will not be delivered: overflow, lag, the end of a subscription or of the client.

use super::{Loss, Outbox};
use crate::{
    delivery::view::{Gap, Place, Token},
    protocol::code::GapReason,
};

impl Outbox {
    /// Numbers `from` to `to` of the topic were lost before they could be offered.
    pub(in crate::delivery) fn lose(&mut self, view: u32, from: u64, to: u64, reason: GapReason) {
        let Some(topic) = self.views.get_mut(view as usize) else { return };
        let sub = topic.sub;
        let Some(owner) = self.subs.get_mut(sub as usize).filter(|_| !self.closed) else {
            return;
        };
        let count = to - from + 1;
        owner.ledger.published += count;
        if let Some(cursor) = topic.cursor.as_mut().filter(|cursor| cursor.cut.is_none()) {
            // What history no longer has is found missing when its turn comes.
            owner.ledger.queued += count;
            self.tally.offered += count;
            cursor.end = to;
            return;
        }
        owner.ledger.dropped += count;
        self.tally.offered += count;
        self.tally.lose(Loss::Lag, count);
        let gap = Box::new(Gap { from, to, dropped: count, reason, sub });
        // What `max_rate` holds back has a lower number: its time has come, as before a snapshot.
        self.promote(view);
        self.follow(view);
        match self.gap_before(view, sub, self.order.len()) {
            Some(earlier) => self.join_gaps(earlier, *gap),
            None => self.push_lazy(Token::Gap { view, gap }),
        }
    }

    /// The place of a gap of `view` and `sub` before `end`, when nothing of the topic that will be
    /// delivered stands between.
    fn gap_before(&self, view: u32, sub: u32, end: usize) -> Option<usize> {
        let before = (0..end).rev().zip(self.order.range(..end).rev());
        nearest_gap(before, view, sub)
    }

    fn gap_after(&self, view: u32, sub: u32, start: usize) -> Option<usize> {
        let after = (start..).zip(self.order.range(start..));
        nearest_gap(after, view, sub)
    }

    fn join_gaps(&mut self, place: usize, other: Gap) {
        if let Some(Token::Gap { gap, .. }) = self.order.get_mut(place) {
            gap.join(other);
        }
    }

    /// Makes one of the gaps before and behind `place`, where what stood between them has gone. So a
    /// topic has at most one on each side of its waiting `latest` update, however long nothing is
    /// written.
    pub(super) fn join_around(&mut self, view: u32, place: usize) {
        let mut behind = (place..).zip(self.order.range(place..));
        let Some((later, Token::Gap { gap, .. })) = behind
            .find(|(_, token)| token.view() == view && !matches!(token, Token::Status { .. }))
        else {
            return;
        };
        if let Some(earlier) = self.gap_before(view, gap.sub, later)
            && let Some(Token::Gap { gap, .. }) = self.order.remove(later)
        {
            self.lazy -= 1;
            self.join_gaps(earlier, *gap);
        }
    }

    /// The topic with most waiting loses its oldest, and a gap takes its place.
    pub(super) fn drop_oldest_of_fullest(&mut self) -> bool {
        let victim = if self.views.len() == 1 {
            // The usual slow client: no need to look for the fullest.
            self.order
                .iter()
                .position(|token| matches!(token, Token::Update { history: false, .. }))
        } else {
            self.oldest_of_fullest()
        };
        let Some(index) = victim else { return false };
        let Some(Token::Update { view, sub, letter, .. }) = self.order.get(index) else {
            return false;
        };
        let (view, sub, seq, len) = (*view, *sub, letter.seq, letter.frame.len());
        self.queued_updates -= 1;
        self.queued_bytes -= len;
        self.credit_loss(sub, Loss::Overflow);
        if let Some(topic) = self.views.get_mut(view as usize) {
            topic.waiting -= 1;
        }
        let gap = Gap { from: seq, to: seq, dropped: 1, reason: GapReason::SlowConsumer, sub };
        let place = match self.gap_before(view, sub, index) {
            Some(earlier) => {
                self.order.remove(index);
                self.join_gaps(earlier, gap);
                earlier
            }
            None => {
                if let Some(token) = self.order.get_mut(index) {
                    *token = Token::Gap { view, gap: Box::new(gap) };
                    self.lazy += 1;
                }
                index
            }
        };
        if let Some(later) = self.gap_after(view, sub, place + 1)
            && let Some(Token::Gap { gap, .. }) = self.order.remove(later)
        {
            self.lazy -= 1;
            self.join_gaps(place, *gap);
        }
        true
    }

    fn oldest_of_fullest(&self) -> Option<usize> {
        let (mut victim, mut most) = (None, 0);
        for (index, token) in self.order.iter().enumerate() {
            if let Token::Update { view, history: false, .. } = token
                && let Some(topic) = self.views.get(*view as usize)
                && topic.waiting > most
            {
                (victim, most) = (Some(index), topic.waiting);
            }
        }
        victim
    }

    fn credit_loss(&mut self, sub: u32, loss: Loss) {
        self.credit_losses(sub, loss, 1);
    }

    pub(super) fn credit_losses(&mut self, sub: u32, loss: Loss, count: u64) {
        if let Some(sub) = self.subs.get_mut(sub as usize) {
            sub.ledger.queued -= count;
            sub.ledger.dropped += count;
        }
        self.tally.lose(loss, count);
    }

    /// Ends subscriptions: nothing of them waits any more. What they have is in the views `among`
    /// alone; both are in order. Their topics must be given to others or removed by the caller
    /// afterwards, which it can tell from the `sub` of a view.
    pub(in crate::delivery) fn cancel(&mut self, ended: &[u32], among: &[u32]) {
        self.post_those(among.iter().copied());
        let is_ended = |sub: u32| ended.binary_search(&sub).is_ok();
        let mut lost = Vec::new();
        let (views, held) = (&mut self.views, &mut self.held);
        let (queued_updates, queued_bytes) = (&mut self.queued_updates, &mut self.queued_bytes);
        self.order.retain(|token| match token {
            Token::Update { sub, history: true, .. } if is_ended(*sub) => {
                lost.push((*sub, 1));
                false
            }
            Token::Update { view, sub, letter, .. } if is_ended(*sub) => {
                lost.push((*sub, 1));
                *queued_updates -= 1;
                *queued_bytes -= letter.frame.len();
                if let Some(topic) = views.get_mut(*view as usize) {
                    topic.waiting -= 1;
                }
                false
            }
            Token::Latest { view } => views
                .get(*view as usize)
                .and_then(|topic| topic.latest.as_ref())
                .is_some_and(|latest| !is_ended(latest.sub)),
            Token::Snapshot { view, sub, .. } if is_ended(*sub) => {
                if let Some(topic) = views.get_mut(*view as usize) {
                    topic.snapshot = false;
                }
                false
            }
            Token::Gap { gap, .. } => !is_ended(gap.sub),
            Token::Ready { sub, .. } => !sub.is_some_and(is_ended),
            Token::Replay { view } => views
                .get(*view as usize)
                .and_then(|topic| topic.cursor.as_ref())
                .is_some_and(|cursor| !is_ended(cursor.sub)),
            Token::Update { .. } | Token::Snapshot { .. } | Token::Status { .. } => true,
        });
        for view in among {
            let Some(topic) = views.get_mut(*view as usize) else { continue };
            if let Some(cursor) = topic.cursor.take_if(|cursor| is_ended(cursor.sub)) {
                lost.push((cursor.sub, cursor.left()));
            }
            if let Some(latest) = topic.latest.take_if(|latest| is_ended(latest.sub)) {
                lost.push((latest.sub, 1));
                if let Place::Held(due) = latest.place {
                    held.remove(&(due, *view));
                }
            }
        }
        self.count_lazy();
        // Its key may be given to another subscription: what is partly written must not be credited
        // to that one.
        if let Some(part) = &mut self.partial {
            lost.extend(part.forgo(is_ended).map(|sub| (sub, 1)));
        }
        for (sub, count) in lost {
            self.credit_losses(sub, Loss::Unsubscribed, count);
        }
    }

    /// The client is gone or will be told nothing more: what waits for it is lost, and nothing but
    /// answers and control frames is accepted from now on.
    pub(in crate::delivery) fn close(&mut self) {
        self.closed = true;
        for token in std::mem::take(&mut self.order) {
            if let Token::Update { sub, .. } = token {
                self.credit_loss(sub, Loss::Closed);
            }
        }
        let mut waiting = Vec::new();
        for (_, topic) in &mut self.views {
            topic.waiting = 0;
            topic.snapshot = false;
            topic.status = None;
            waiting.extend(topic.latest.take().map(|latest| (latest.sub, 1)));
            waiting.extend(topic.cursor.take().map(|cursor| (cursor.sub, cursor.left())));
        }
        for (sub, count) in waiting {
            self.credit_losses(sub, Loss::Closed, count);
        }
        if let Some(part) = &mut self.partial
            && let Some(sub) = part.forgo(|_| true)
        {
            self.credit_loss(sub, Loss::Closed);
        }
        self.lazy = 0;
        self.held.clear();
        (self.queued_updates, self.queued_bytes) = (0, 0);
    }
}

/// The first gap of `view` and `sub` in `places` that is not behind anything else of the topic; a
/// change of freshness may stand anywhere.
fn nearest_gap<'a>(
    places: impl Iterator<Item = (usize, &'a Token)>,
    view: u32,
    sub: u32,
) -> Option<usize> {
    let (place, token) = places
        .filter(|(_, token)| token.view() == view)
        .find(|(_, token)| !matches!(token, Token::Status { .. }))?;
    matches!(token, Token::Gap { gap, .. } if gap.sub == sub).then_some(place)
}
