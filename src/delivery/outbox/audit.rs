//! What must be true of an outbox between any two calls.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

impl Outbox {
    /// How many places in the order have been come to by what goes through all of them.
    pub(in crate::delivery) fn order_visits(&self) -> usize {
        self.order.visits()
    }

    /// Recounts everything that is kept as a sum.
    ///
    /// # Panics
    /// When a sum is wrong, a place has no content or content has no place.
    pub(in crate::delivery) fn audit(&self) {
        let (mut updates, mut bytes) = (0, 0);
        let mut waiting: BTreeMap<u32, u32> = BTreeMap::new();
        let mut queued: BTreeMap<u32, u64> = BTreeMap::new();
        let (mut latest, mut statuses, mut snapshots, mut replays) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for token in &self.order {
            let view = self.views.get(token.view() as usize).expect("a place of no view");
            match token {
                Token::Update { sub, history: true, .. } => *queued.entry(*sub).or_default() += 1,
                Token::Update { view, sub, letter, .. } => {
                    updates += 1;
                    bytes += letter.frame.len();
                    *waiting.entry(*view).or_default() += 1;
                    *queued.entry(*sub).or_default() += 1;
                }
                Token::Latest { view: key } => {
                    assert!(latest.insert(*key), "two places of one latest update");
                    let content = view.latest.as_ref().expect("a place of no latest update");
                    assert!(!matches!(content.place, Place::Held(_)));
                }
                Token::Status { view: key } => {
                    assert!(statuses.insert(*key) && view.status.is_some());
                }
                Token::Ready { frame, .. } => assert!(!frame.is_empty()),
                Token::Replay { view: key } => {
                    assert!(replays.insert(*key), "two places of one cursor");
                    let cursor = view.cursor.as_ref().expect("a place of no cursor");
                    assert!(cursor.left() > 0);
                    assert!(cursor.cut.is_some() || cursor.sub == view.sub);
                    *queued.entry(cursor.sub).or_default() += cursor.left();
                }
                Token::Gap { gap, .. } => assert!(gap.from <= gap.to && gap.dropped > 0),
                Token::Snapshot { view: key, .. } => {
                    assert!(snapshots.insert(*key) && view.snapshot);
                }
            }
        }
        let held = self.audit_views(&latest, &waiting, &mut queued);
        assert_eq!(held, self.held);
        let cursors = self.views.iter().filter(|(_, view)| view.cursor.is_some()).count();
        assert_eq!(cursors, replays.len());
        let flags = self.views.iter().filter(|(_, view)| view.snapshot).count();
        assert_eq!(flags, snapshots.len());
        let statuses_due = self.views.iter().filter(|(_, view)| view.status.is_some());
        assert_eq!(statuses_due.count(), statuses.len());
        if let Some(sub) = self.partial.as_ref().and_then(|part| part.credited()) {
            *queued.entry(sub).or_default() += 1;
        }
        for (key, sub) in &self.subs {
            assert!(sub.ledger.balances(), "{}: {:?}", sub.pattern, sub.ledger);
            let key = u32::try_from(key).expect("a small key");
            assert_eq!(sub.ledger.queued, queued.remove(&key).unwrap_or(0), "{}", sub.pattern);
        }
        assert!(queued.is_empty(), "something waits for a subscription that has ended");
        assert_eq!((updates, bytes), (self.queued_updates, self.queued_bytes));
        assert!(updates <= self.bounds.updates && bytes <= self.bounds.bytes);
        assert_eq!(self.lazy, self.order.iter().filter(|token| token.is_lazy()).count());
        let control: usize = self.control.iter().map(Bytes::len).sum();
        assert_eq!(control, self.control_bytes);
    }

    fn audit_views(
        &self,
        in_order: &BTreeSet<u32>,
        waiting: &BTreeMap<u32, u32>,
        queued: &mut BTreeMap<u32, u64>,
    ) -> BTreeSet<(Instant, u32)> {
        let mut held = BTreeSet::new();
        for (key, view) in &self.views {
            let key = u32::try_from(key).expect("a small key");
            assert!(self.subs.contains(view.sub as usize), "a view of no subscription");
            assert_eq!(view.waiting, waiting.get(&key).copied().unwrap_or(0));
            let Some(latest) = &view.latest else { continue };
            *queued.entry(latest.sub).or_default() += 1;
            match latest.place {
                Place::Held(due) => {
                    let options = &self.subs[view.sub as usize].options;
                    assert!(options.interval.is_some(), "held back by no rate");
                    assert!(held.insert((due, key)));
                }
                _ => assert!(in_order.contains(&key), "a latest update has no place"),
            }
        }
        held
    }
}
