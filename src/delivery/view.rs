//! One topic as one client sees it. Pure.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use super::{options::Options, stage::Memory};
use crate::{
    hub::{Issued, Slot, StatusChange},
    market::Update,
    protocol::code::GapReason,
    units::Micros,
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
    /// The place of its update of mode `latest` in the packet that is being made.
    pub(super) in_packet: Option<u32>,
    /// Whether a [`Token::Snapshot`] of it waits.
    pub(super) snapshot: bool,
    /// A change of freshness that has not been told yet. Its place is a [`Token::Status`].
    pub(super) status: Option<Arc<StatusChange>>,
    /// Before this moment `max_rate` holds updates back.
    pub(super) next_allowed: Option<Instant>,
    /// Updates that are read from history when their turn comes. Their place is a
    /// [`Token::Replay`].
    pub(super) cursor: Option<Cursor>,
    /// What filter, trigger and min_change remember.
    pub(super) memory: Memory,
}

/// An update in the form in which some clients of a shard get it: made once for each update and
/// variant, and shared by their queues. What the way to the socket needs to know is in it, so that
/// the counters of references and the lines of memory that all shards share stay out of that way.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) frame: Bytes,
    pub(super) seq: u64,
    /// When it was received here.
    pub(super) rx: Micros,
    /// The upstream's own time.
    pub(super) ts: Option<Micros>,
}

/// Numbers `next` to `end` are still to be read from history. Later updates only move its end,
/// unless it is cut.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) next: u64,
    pub(super) end: u64,
    pub(super) sub: u32,
    pub(super) cut: Option<Box<Cut>>,
}

/// Something else of the topic stands behind the cursor: a snapshot, or updates of another
/// subscription or by other options. What is left to read is judged as if that were not there.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) options: Options,
    pub(super) memory: Memory,
}

/// A waiting update of mode `latest`.
#[derive(Debug)]
pub(super) struct Latest {
    pub(super) letter: Arc<Letter>,
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

/// A place in the order in which a client is written to. Small, since a slow client has hundreds:
/// what is large and rare is behind a box.
#[derive(Debug)]
pub(super) enum Token {
    /// An update of mode `every`; one that was read from `history` is not counted against the
    /// bounds, since no more than a window is read ahead.
    Update { view: u32, sub: u32, letter: Arc<Letter>, history: bool },
    /// Whatever is the newest of a `latest` topic when its turn comes.
    Latest { view: u32 },
    /// A topic's value at the moment of subscribing, encoded when its turn comes.
    Snapshot { view: u32, sub: u32, issued: Arc<Issued> },
    /// Where a topic's lost updates were.
    Gap { view: u32, gap: Box<Gap> },
    /// A topic's newest change of freshness.
    Status { view: u32 },
    /// Where updates from history come, until there are no more.
    Replay { view: u32 },
    /// A snapshot, gap or status, encoded. A status is of no subscription but of the topic.
    Ready { view: u32, sub: Option<u32>, frame: Box<Bytes> },
}

impl Token {
    pub(super) fn view(&self) -> u32 {
        match self {
            Self::Update { view, .. }
            | Self::Latest { view }
            | Self::Snapshot { view, .. }
            | Self::Gap { view, .. }
            | Self::Status { view }
            | Self::Replay { view }
            | Self::Ready { view, .. } => *view,
        }
    }

    /// Whether it must be encoded, or read from history, before it can be written.
    pub(super) fn is_lazy(&self) -> bool {
        matches!(
            self,
            Self::Snapshot { .. } | Self::Gap { .. } | Self::Status { .. } | Self::Replay { .. }
        )
    }
}

impl View {
    pub(super) fn new(slot: Arc<Slot>, sub: u32) -> Self {
        Self {
            slot,
            sub,
            waiting: 0,
            latest: None,
            in_packet: None,
            snapshot: false,
            status: None,
            next_allowed: None,
            cursor: None,
            memory: Memory::default(),
        }
    }
}

impl Letter {
    pub(super) fn new(update: &Update, frame: Bytes) -> Self {
        Self { frame, seq: update.seq, rx: update.rx, ts: update.ts }
    }
}

impl Cursor {
    /// How many are left.
    pub(super) fn left(&self) -> u64 {
        (self.end + 1).saturating_sub(self.next)
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
