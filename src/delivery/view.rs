//! One topic as one client sees it. Pure.

use std::{sync::Arc, time::Instant};

use crate::{
    hub::{Issued, Slot, StatusChange},
    protocol::code::GapReason,
};

/// A topic that reaches a client, and under which of its subscriptions.
#[derive(Debug)]
pub(super) struct View {
    pub(super) slot: Arc<Slot>,
    /// The most specific matching subscription.
    pub(super) sub: u32,
    /// `every` updates of this topic that wait.
    pub(super) waiting: u32,
    /// The one waiting update of mode `latest`.
    pub(super) latest: Option<Latest>,
    /// Whether a [`Token::Snapshot`] of it waits.
    pub(super) snapshot: bool,
    /// A change of freshness that has not been told yet. Its place is a [`Token::Status`].
    pub(super) status: Option<Arc<StatusChange>>,
    /// Before this moment `max_rate` holds updates back.
    pub(super) next_allowed: Option<Instant>,
}

/// A waiting update of mode `latest`.
#[derive(Debug)]
pub(super) struct Latest {
    pub(super) issued: Arc<Issued>,
    pub(super) sub: u32,
    pub(super) place: Place,
}

/// Where a waiting update of mode `latest` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `max_rate` holds it back until then.
    Held(Instant),
    /// It has a place in the order, which the next update takes over.
    Open,
    /// It has a place in the order and something of the same topic stands behind it: the next
    /// update replaces it, but must not overtake that.
    Followed,
}

/// Lost updates: numbers `from` to `to`, of which `dropped` were lost and the others filtered,
/// conflated or of a subscription that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) dropped: u64,
    pub(super) reason: GapReason,
    pub(super) sub: u32,
}

/// A place in the order in which a client is written to.
#[derive(Debug)]
pub(super) enum Token {
    /// An update of mode `every`.
    Update { view: u32, sub: u32, issued: Arc<Issued> },
    /// Whatever is the newest of a `latest` topic when its turn comes.
    Latest { view: u32 },
    /// A topic's value at the moment of subscribing, encoded when its turn comes.
    Snapshot { view: u32, sub: u32, issued: Arc<Issued> },
    /// Where a topic's lost updates were.
    Gap { view: u32, gap: Gap },
    /// A topic's newest change of freshness.
    Status { view: u32 },
    /// One of the last three, encoded. A status is of no subscription but of the topic.
    Ready { view: u32, sub: Option<u32>, frame: bytes::Bytes },
}

impl Token {
    pub(super) fn view(&self) -> u32 {
        match self {
            Self::Update { view, .. }
            | Self::Latest { view }
            | Self::Snapshot { view, .. }
            | Self::Gap { view, .. }
            | Self::Status { view }
            | Self::Ready { view, .. } => *view,
        }
    }

    /// Whether it must be encoded before it can be written.
    pub(super) fn is_lazy(&self) -> bool {
        matches!(self, Self::Snapshot { .. } | Self::Gap { .. } | Self::Status { .. })
    }
}

impl View {
    pub(super) fn new(slot: Arc<Slot>, sub: u32) -> Self {
        Self {
            slot,
            sub,
            waiting: 0,
            latest: None,
            snapshot: false,
            status: None,
            next_allowed: None,
        }
    }
}

impl Gap {
    /// Takes in another gap of the same subscription, with nothing to deliver between them.
    pub(super) fn join(&mut self, other: Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.dropped += other.dropped;
        self.reason = other.reason;
    }
}
