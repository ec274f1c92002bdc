//! The short way to the socket, for a client for whom nothing waits: what it gets is gathered in one
//! packet and written without a place in the queue, which takes only what the kernel did not. What
//! the account says is what it would say after the long way.

use std::{sync::Arc, time::Instant};

use slab::Slab;

use super::{Near, Outbox, Partial, wire::Next};
use crate::{
    delivery::{
        account::Account,
        offer::{Offer, Variant},
        run::Run,
        turns::Mark,
        view::Letter,
    },
    protocol::params::Mode,
};

/// Bytes after which a packet is written.
const PACKET_BYTES: usize = 64 * 1024;

/// What is written at once. Kept from client to client for its memory.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Packet {
    parts: Vec<Part>,
    len: usize,
    bytes: Vec<u8>,
}

/// A part of a packet: what it is, whose it is.
#[derive(Debug)]
struct Part {
    view: u32,
    sub: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Every update of a run, as the hub made their frames.
    Run(u32),
    /// An update of mode `every`.
    Every(Arc<Letter>),
    /// The newest update of a `latest` topic.
    Latest(Arc<Letter>),
}

impl Packet {
    /// What is to be written; nothing where all was refused or held back.
    pub(in crate::delivery) fn bytes<'a>(&'a mut self, runs: &'a Slab<Run>) -> &'a [u8] {
        // One part is written from where it is.
        if let [part] = &self.parts[..] {
            return part.what.bytes(runs);
        }
        self.bytes.clear();
        for part in &self.parts {
            self.bytes.extend_from_slice(part.what.bytes(runs));
        }
        &self.bytes
    }

    /// Forgets what was gathered for a client that has failed.
    pub(in crate::delivery) fn clear(&mut self) {
        self.parts.clear();
        self.len = 0;
    }

    /// Whether it should be written before more is added.
    fn is_full(&self) -> bool {
        self.len >= PACKET_BYTES
    }

    /// Adds a run that goes out as it is.
    fn push_run(&mut self, view: u32, sub: u32, run: u32, len: usize) {
        self.push(view, sub, What::Run(run), len);
    }

    /// All that is marked in one piece, where it goes out as it is and is not too much at once: for a
    /// client of whom `near` are the first lanes and for whom nothing waits in `outbox`.
    pub(in crate::delivery) fn whole<'a>(
        &'a mut self,
        marks: &[Mark],
        runs: &'a Slab<Run>,
        near: &Near,
        outbox: &Outbox,
    ) -> Option<&'a [u8]> {
        let piece = |mark: &Mark| {
            let (lane, run) = (near.get(mark.view)?, runs.get(mark.run as usize)?);
            let goes = lane.is_whole() || outbox.lets_through(mark.view, run);
            goes.then(|| &run.bulk().bytes[..])
        };
        let (first, others) = marks.split_first()?;
        let first = piece(first)?;
        if others.is_empty() {
            // Written from where it is.
            return (first.len() < PACKET_BYTES).then_some(first);
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(first);
        for mark in others {
            self.bytes.extend_from_slice(piece(mark)?);
            if self.bytes.len() >= PACKET_BYTES {
                return None;
            }
        }
        Some(&self.bytes)
    }

    /// Gathers what [`Packet::whole`] gave, of which not all was written.
    pub(in crate::delivery) fn gather_whole(
        &mut self,
        marks: &[Mark],
        runs: &Slab<Run>,
        near: &Near,
        account: &mut Account,
    ) {
        for mark in marks {
            if let (Some(run), Some(lane)) = (runs.get(mark.run as usize), near.get(mark.view)) {
                account.offered_run(run, 1);
                self.push_run(mark.view, lane.sub(), mark.run, run.bulk().bytes.len());
            }
        }
    }

    fn push(&mut self, view: u32, sub: u32, what: What, len: usize) {
        self.len += len;
        self.parts.push(Part { view, sub, what });
    }

    /// Puts a newer update of a `latest` topic in the place of one.
    fn replace(&mut self, place: u32, letter: Arc<Letter>) -> bool {
        let Some(Part { what: What::Latest(older), .. }) = self.parts.get_mut(place as usize)
        else {
            return false;
        };
        self.len = self.len + letter.frame.len() - older.frame.len();
        *older = letter;
        true
    }
}

impl What {
    fn bytes<'a>(&'a self, runs: &'a Slab<Run>) -> &'a [u8] {
        match self {
            Self::Run(run) => runs.get(*run as usize).map_or(&[], |run| &run.bulk().bytes),
            Self::Every(letter) | Self::Latest(letter) => &letter.frame,
        }
    }
}

impl Outbox {
    /// Whether what comes next may go to the socket at once.
    pub(in crate::delivery) fn is_idle(&self) -> bool {
        !self.closed && self.is_empty()
    }

    /// Gathers what is marked into `packet`, until that is full. Returns how many marks that were.
    pub(in crate::delivery) fn gather(
        &mut self,
        marks: &[Mark],
        runs: &Slab<Run>,
        packet: &mut Packet,
        account: &mut Account,
        now: Instant,
    ) -> usize {
        let mut done = 0;
        for mark in marks {
            if packet.is_full() {
                break;
            }
            done += 1;
            if let Some(run) = runs.get(mark.run as usize) {
                self.gather_run(mark, run, packet, account, now);
            }
        }
        done
    }

    fn gather_run(
        &mut self,
        mark: &Mark,
        run: &Run,
        packet: &mut Packet,
        account: &mut Account,
        now: Instant,
    ) -> Option<()> {
        let count = run.len() as u64;
        account.offered_run(run, 1);
        let lane = self.lanes.get(mark.view)?;
        // Where nothing is held back, nothing of the topic can wait either.
        let key = lane.sub();
        if self.held.is_empty() && (lane.is_whole() || self.lets_through(mark.view, run)) {
            packet.push_run(mark.view, key, mark.run, run.bulk().bytes.len());
            return Some(());
        }
        let owner = self.subs.get_mut(key as usize)?;
        owner.ledger.published += count;
        owner.ledger.queued += count;
        for offer in &run.offers {
            self.gather_one(mark.view, key, offer, packet, now);
        }
        Some(())
    }

    fn gather_one(
        &mut self,
        view: u32,
        sub: u32,
        offer: &Offer,
        packet: &mut Packet,
        now: Instant,
    ) -> Option<()> {
        let letter = self.pass(view, sub, offer)?;
        match self.subs.get(sub as usize)?.options.mode {
            Mode::Latest => self.gather_latest(view, sub, letter, packet, now),
            Mode::Every => {
                let topic = self.views.get(view as usize)?;
                if topic.waiting > 0 || topic.latest.is_some() {
                    self.enqueue(view, sub, letter);
                } else {
                    let len = letter.frame.len();
                    packet.push(view, sub, What::Every(letter), len);
                }
                Some(())
            }
        }
    }

    fn gather_latest(
        &mut self,
        view: u32,
        sub: u32,
        letter: Arc<Letter>,
        packet: &mut Packet,
        now: Instant,
    ) -> Option<()> {
        let topic = self.views.get_mut(view as usize)?;
        let owner = self.subs.get_mut(sub as usize)?;
        let allowed = owner.options.interval.and(topic.next_allowed);
        if let Some(place) = topic.in_packet {
            if packet.replace(place, letter) {
                owner.ledger.queued -= 1;
                owner.ledger.conflated += 1;
                self.tally.conflated += 1;
            }
        } else if topic.latest.is_some() || allowed.is_some_and(|allowed| allowed > now) {
            self.replace(view, sub, letter, allowed, now);
        } else {
            topic.in_packet = u32::try_from(packet.parts.len()).ok();
            let len = letter.frame.len();
            packet.push(view, sub, What::Latest(letter), len);
        }
        Some(())
    }

    /// The kernel took `written` bytes of the packet. What it did not take waits.
    pub(in crate::delivery) fn settle(
        &mut self,
        packet: &mut Packet,
        runs: &Slab<Run>,
        mut written: usize,
        account: &mut Account,
        now: Instant,
    ) {
        packet.len = 0;
        for Part { view, sub, what } in packet.parts.drain(..) {
            match what {
                What::Run(run) => {
                    let Some(run) = runs.get(run as usize) else { continue };
                    let bulk = run.bulk();
                    if written >= bulk.bytes.len() {
                        written -= bulk.bytes.len();
                        self.lanes.delivered(view, run, &mut self.subs);
                        account.delivered_run(bulk, 1);
                        continue;
                    }
                    if let Some(owner) = self.subs.get_mut(sub as usize) {
                        owner.ledger.published += run.len() as u64;
                        owner.ledger.queued += run.len() as u64;
                    }
                    let whole = Variant::bare(self.format);
                    for offer in &run.offers {
                        let letter = offer.letter(whole);
                        self.settle_every(view, sub, letter, &mut written, account);
                    }
                }
                What::Every(letter) => self.settle_every(view, sub, letter, &mut written, account),
                What::Latest(letter) => {
                    if let Some(topic) = self.views.get_mut(view as usize) {
                        topic.in_packet = None;
                    }
                    if written == 0 {
                        self.replace(view, sub, letter, None, now);
                        continue;
                    }
                    self.start_interval(view, now);
                    self.write_letter(sub, letter, &mut written, account);
                }
            }
        }
    }

    fn settle_every(
        &mut self,
        view: u32,
        sub: u32,
        letter: Arc<Letter>,
        written: &mut usize,
        account: &mut Account,
    ) {
        if *written == 0 {
            self.enqueue(view, sub, letter);
        } else {
            self.write_letter(sub, letter, written, account);
        }
    }

    /// Notes how much of a letter was written.
    fn write_letter(
        &mut self,
        sub: u32,
        letter: Arc<Letter>,
        written: &mut usize,
        account: &mut Account,
    ) {
        let len = letter.frame.len();
        let next = Next::Letter(letter, Some(sub));
        if *written < len {
            self.partial = Some(Box::new(Partial::new(next, *written)));
            *written = 0;
        } else {
            *written -= len;
            self.credit(&next, account);
        }
    }
}
