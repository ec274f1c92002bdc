//! What a topic has at most one of waiting: its value at the moment of subscribing, and its newest
//! change of freshness. A later one supersedes it.
//!
//! Where many topics are concerned, what waits is gone through once for all of them.

use std::sync::Arc;

use super::{Outbox, WINDOW};
use crate::{
    delivery::{outbox::Subscription, view::Token},
    hub::{Issued, StatusChange},
};

impl Outbox {
    /// Queues the value at the moment of subscribing. One that still waits is superseded.
    pub(in crate::delivery) fn push_snapshot(&mut self, view: u32, issued: Arc<Issued>) {
        if self.closed {
            return;
        }
        self.promote(view);
        self.follow(view);
        self.drop_snapshots(&[view]);
        let Some(topic) = self.views.get_mut(view as usize) else {
            return;
        };
        topic.snapshot = true;
        let sub = topic.sub;
        self.push_lazy(Token::Snapshot { view, sub, issued });
    }

    /// The waiting values of these views, in order, are of use no more.
    pub(in crate::delivery) fn drop_snapshots(&mut self, views: &[u32]) {
        let mut dropped = 0;
        for view in views {
            let topic = self.views.get_mut(*view as usize);
            dropped += usize::from(topic.is_some_and(|topic| std::mem::take(&mut topic.snapshot)));
        }
        if dropped > 0 {
            let is_dropped = |view: &u32| views.binary_search(view).is_ok();
            self.order
                .retain(|token| !matches!(token, Token::Snapshot { view, .. } if is_dropped(view)));
            self.lazy -= dropped;
        }
    }

    /// Queues a change of freshness; one that still waits is superseded.
    pub(in crate::delivery) fn push_status(&mut self, view: u32, change: &Arc<StatusChange>) {
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

    /// The waiting changes of these views, in order, are not told.
    pub(in crate::delivery) fn drop_statuses(&mut self, views: &[u32]) {
        let waits = |token: &Token| match token {
            Token::Status { view } | Token::Ready { view, sub: None, .. } => {
                views.binary_search(view).is_ok()
            }
            _ => false,
        };
        let mut unencoded = false;
        for view in views {
            let topic = self.views.get_mut(*view as usize);
            unencoded |= topic.is_some_and(|topic| topic.status.take().is_some());
        }
        // What is encoded stands among the next to be written.
        if unencoded || self.order.iter().take(WINDOW).any(waits) {
            self.order.retain(|token| !waits(token));
            self.count_lazy();
        }
    }
}
