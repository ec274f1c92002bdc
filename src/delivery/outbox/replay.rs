//! Updates from history, read at the pace of the socket: a client that resumes costs a cursor, not
//! a copy of what it has missed.

use super::{Loss, Outbox, WINDOW};
use crate::{
    delivery::{
        offer::Offer,
        options::Options,
        view::{Cursor, Cut, Gap, Token},
    },
    protocol::code::GapReason,
};

/// Updates read at one go, for one client, before others get their turn.
const READ_MAX: usize = 256;

impl Outbox {
    /// Delivers numbers `next` to `end` of the topic from history, and what follows after them.
    pub(in crate::delivery) fn replay(&mut self, view: u32, next: u64, end: u64) {
        let Some(topic) = self.views.get_mut(view as usize).filter(|_| !self.closed) else {
            return;
        };
        let cursor = Cursor { next, end, sub: topic.sub, cut: None };
        let Some(owner) = self.subs.get_mut(topic.sub as usize).filter(|_| cursor.left() > 0)
        else {
            return;
        };
        let left = cursor.left();
        owner.ledger.published += left;
        owner.ledger.queued += left;
        self.tally.offered += left;
        topic.cursor = Some(cursor);
        self.push_lazy(Token::Replay { view });
    }

    /// Counts `count` updates as offered and replaced by a newer one: what `latest` makes of history.
    pub(in crate::delivery) fn skip(&mut self, view: u32, count: u64) {
        let Some(topic) = self.views.get(view as usize).filter(|_| !self.closed) else { return };
        if let Some(owner) = self.subs.get_mut(topic.sub as usize) {
            owner.ledger.published += count;
            owner.ledger.conflated += count;
            self.tally.offered += count;
            self.tally.conflated += count;
        }
    }

    /// What is left to read of `view` stays what it was: later updates do not join it any more, and
    /// neither other options nor another subscription change it. True when there is something.
    pub(in crate::delivery) fn cut(&mut self, view: u32) -> bool {
        let Some(topic) = self.views.get_mut(view as usize) else { return false };
        let Some(cursor) = topic.cursor.as_mut().filter(|cursor| cursor.cut.is_none()) else {
            return false;
        };
        let Some(owner) = self.subs.get(cursor.sub as usize) else { return false };
        let (options, memory) = (owner.options.clone(), topic.memory);
        cursor.cut = Some(Box::new(Cut { options, memory }));
        true
    }

    /// Gives `sub` other options; it has its topics among `views`. True when they differ.
    pub(in crate::delivery) fn replace_options(
        &mut self,
        sub: u32,
        options: &Options,
        views: &[u32],
    ) -> bool {
        let known = self.subs.get(sub as usize);
        if known.is_none_or(|known| known.options == *options) {
            return false;
        }
        let is_of_sub =
            |view: &&u32| self.views.get(**view as usize).is_some_and(|it| it.sub == sub);
        let views: Vec<_> = views.iter().filter(is_of_sub).collect();
        for view in &views {
            self.cut(**view);
        }
        if let Some(known) = self.subs.get_mut(sub as usize) {
            known.options = options.clone();
            known.failure_told = false;
        }
        for view in views {
            self.set_lane(*view);
        }
        true
    }

    /// Puts updates from history where they belong among what is written next.
    pub(super) fn read_history(&mut self) {
        let is_replay = |token: &Token| matches!(token, Token::Replay { .. });
        let mut read = 0;
        while read < READ_MAX
            && let Some(place) = self.order.iter().take(WINDOW).position(is_replay)
        {
            read += self.read_chunk(place).max(1);
        }
    }

    fn read_chunk(&mut self, place: usize) -> usize {
        let Some(Token::Replay { view }) = self.order.remove(place) else { return 0 };
        self.lazy -= 1;
        let Some(topic) = self.views.get_mut(view as usize) else { return 0 };
        let Some(mut cursor) = topic.cursor.take() else { return 0 };
        let (kept, _) = topic.slot.history(cursor.next, WINDOW - place);
        let mut at = place;
        let oldest = kept.first().map_or(cursor.end + 1, |issued| issued.update.seq);
        if oldest > cursor.next {
            self.overtaken(view, &mut cursor, oldest, at);
            at += 1;
        }
        let mut read = 0;
        self.exchange_terms(view, &mut cursor);
        for issued in kept.iter().take_while(|issued| issued.update.seq <= cursor.end) {
            read += 1;
            cursor.next = issued.update.seq + 1;
            if let Some(letter) = self.pass(view, cursor.sub, &Offer::new(issued.clone())) {
                let sub = cursor.sub;
                self.order.insert(at, Token::Update { view, sub, letter, history: true });
                at += 1;
            }
        }
        self.exchange_terms(view, &mut cursor);
        if cursor.left() > 0 {
            self.resume_later(view, cursor, at);
        }
        read
    }

    /// Swaps what applies to the topic now with what applies to a cursor that was cut.
    fn exchange_terms(&mut self, view: u32, cursor: &mut Cursor) {
        if let Some(cut) = &mut cursor.cut
            && let Some(owner) = self.subs.get_mut(cursor.sub as usize)
            && let Some(topic) = self.views.get_mut(view as usize)
        {
            std::mem::swap(&mut owner.options, &mut cut.options);
            std::mem::swap(&mut topic.memory, &mut cut.memory);
        }
    }

    /// History has lost what was to be read: the client is too slow for it.
    fn overtaken(&mut self, view: u32, cursor: &mut Cursor, oldest: u64, place: usize) {
        let (from, to) = (cursor.next, (oldest - 1).min(cursor.end));
        let (dropped, sub) = (to + 1 - from, cursor.sub);
        self.credit_losses(sub, Loss::Overflow, dropped);
        let gap = Box::new(Gap { from, to, dropped, reason: GapReason::SlowConsumer, sub });
        self.order.insert(place, Token::Gap { view, gap });
        self.lazy += 1;
        cursor.next = to + 1;
    }

    fn resume_later(&mut self, view: u32, cursor: Cursor, place: usize) {
        let token = Token::Replay { view };
        self.lazy += 1;
        let Some(topic) = self.views.get_mut(view as usize) else { return };
        // Where nothing of this topic waits behind it, other topics get their turn.
        if cursor.cut.is_none() {
            self.order.push_back(token);
        } else {
            self.order.insert(place, token);
        }
        topic.cursor = Some(cursor);
    }
}
