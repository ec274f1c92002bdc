//! Updates of one topic that came together and go to the same clients: what is worked out for them
//! is worked out once, and a client that gets them all gets them as one piece.

use std::{
    cell::{Cell, OnceCell},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use smallvec::{SmallVec, smallvec};

use super::offer::Offer;
use crate::{hub::Issued, units::Micros};

/// Consecutive updates of a topic.
#[derive(Debug)]
pub(super) struct Run {
    /// Mostly one.
    pub(super) offers: SmallVec<[Offer; 1]>,
    /// Clients who have not got it yet.
    left: usize,
    /// Clients who have got it and are neither accounted for nor taken from those yet.
    noted: Cell<usize>,
    bulk: OnceCell<Bulk>,
}

/// The frames of a run as the hub made them, one behind the other, and the moments of its updates.
#[derive(Debug)]
pub(super) struct Bulk {
    pub(super) bytes: Bytes,
    /// When they were received here.
    pub(super) rx: Moments,
    /// The upstream's own time, of those that have one.
    pub(super) ts: Moments,
}

/// Moments of updates.
#[derive(Debug, Default)]
pub(super) struct Moments {
    /// Two take no more room than a pointer and a length.
    pub(super) all: SmallVec<[Micros; 2]>,
    pub(super) first: Micros,
    pub(super) last: Micros,
    /// Their distances from the first, together.
    pub(super) spread: i64,
}

impl Run {
    /// Begins with one update, for so many clients.
    pub(super) fn new(issued: &Arc<Issued>, members: usize) -> Self {
        let offers = smallvec![Offer::new(issued.clone())];
        Self { offers, left: members, noted: Cell::new(0), bulk: OnceCell::new() }
    }

    /// Adds the next update. Only before anybody has got the run.
    pub(super) fn push(&mut self, issued: &Arc<Issued>) {
        self.offers.push(Offer::new(issued.clone()));
    }

    /// Notes that a client has got it. True for the first since [`Run::take_noted`].
    pub(super) fn note(&self) -> bool {
        let before = self.noted.get();
        self.noted.set(before + 1);
        before == 0
    }

    /// How many clients were noted since this was last asked.
    pub(super) fn take_noted(&self) -> usize {
        self.noted.take()
    }

    /// So many clients need not get it any more. True when nobody is left.
    pub(super) fn leave(&mut self, clients: usize) -> bool {
        self.left = self.left.saturating_sub(clients);
        self.left == 0
    }

    /// How many updates there are.
    pub(super) fn len(&self) -> usize {
        self.offers.len()
    }

    /// All of it in one piece.
    pub(super) fn bulk(&self) -> &Bulk {
        self.bulk.get_or_init(|| {
            let updates = || self.offers.iter().map(|offer| &offer.issued.update);
            let bytes = if let [offer] = &self.offers[..] {
                offer.issued.frame().clone()
            } else {
                let frames = || self.offers.iter().map(|offer| offer.issued.frame());
                let mut bytes = BytesMut::with_capacity(frames().map(Bytes::len).sum());
                frames().for_each(|frame| bytes.extend_from_slice(frame));
                bytes.freeze()
            };
            let rx = Moments::new(updates().map(|update| update.rx).collect());
            let ts = Moments::new(updates().filter_map(|update| update.ts).collect());
            Bulk { bytes, rx, ts }
        })
    }
}

impl Moments {
    fn new(all: SmallVec<[Micros; 2]>) -> Self {
        let first = all.iter().min().copied().unwrap_or_default();
        let last = all.iter().max().copied().unwrap_or_default();
        let spread = all.iter().map(|moment| moment.saturating_sub(first)).sum();
        Self { all, first, last, spread }
    }
}
