//! What a client gets, on its way to the socket.

use std::{
    hint::black_box,
    io::{self, IoSlice},
    time::Instant,
};

use slab::Slab;

use super::{Client, ClientState, Desk, Flow};
use crate::{
    delivery::{account::Account, outbox::WINDOW, run::Run, turns::Mark},
    protocol::params::Mode,
    units::now_us,
};

/// How often one flush writes before it lets others go on: 32 times the window.
const WRITES_PER_FLUSH: usize = 32;

/// How a client was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Served {
    /// It got all that was marked as it is. Neither the server's figures nor the turns have that
    /// yet: [`Desk::note`] must follow.
    AsItWas,
    /// What was marked is for later, and a flush of that has become due.
    Later,
    /// There is nothing more to do for it now.
    Done,
}

impl Client {
    /// Writes what waits, as far as the socket takes it. Whoever owns the connection is woken when
    /// there is something for it to wait for.
    pub(in crate::delivery) fn flush(&self, now: Instant) {
        let mut desk = Desk::default();
        self.serve(&[], &Slab::new(), false, &mut desk, now);
    }

    /// Offers what is marked and writes what waits, as far as the socket takes it. With `defers`,
    /// what waits may be `latest` updates alone, and then it is not written.
    pub(in crate::delivery) fn serve(
        &self,
        marks: &[Mark],
        runs: &Slab<Run>,
        defers: bool,
        desk: &mut Desk,
        now: Instant,
    ) -> Served {
        let mut state = self.look();
        let (mut rest, mut before) = (marks, Noticed::default());
        desk.turn_to(&self.metrics, runs);
        if state.outbox.has_filters() {
            // They take their time.
            desk.look(runs);
        }
        if std::mem::take(&mut state.calm)
            && let Some(bytes) = desk.packet.whole(marks, runs, &self.near, &state.outbox)
        {
            let len = bytes.len();
            let written = state.flow.note(self.writer.try_write(bytes), now);
            if written == len {
                if self.near.delivered(marks, runs) {
                    state.outbox.post();
                }
                state.calm = true;
                return Served::AsItWas;
            }
            rest = &[];
            desk.look(runs);
            let Desk { packet, account, .. } = desk;
            account.written(now_us());
            packet.gather_whole(marks, runs, &self.near, account);
            state.outbox.settle(packet, runs, written, account, now);
        } else {
            desk.look(runs);
            if state.corked.is_some() {
                state.offer(marks, runs, now);
                return Served::Done;
            }
            if defers && !state.touched && state.is_latest(marks) {
                state.offer(marks, runs, now);
                let known = std::mem::replace(&mut state.deferred, true);
                return if known { Served::Done } else { Served::Later };
            }
            (state.touched, state.deferred) = (false, false);
            before = Noticed::of(&state.flow);
            // Also while the socket takes nothing: a moment that has passed must not be waited for.
            state.outbox.release(now);
        }
        for _ in 0..WRITES_PER_FLUSH {
            if rest.is_empty() || !state.flow.takes() || !state.outbox.is_idle() {
                break;
            }
            let Desk { packet, account, .. } = desk;
            let done = state.outbox.gather(rest, runs, packet, account, now);
            rest = rest.get(done..).unwrap_or_default();
            let written = self.write_packet(&mut state, runs, desk, now);
            let Desk { packet, account, .. } = desk;
            state.outbox.settle(packet, runs, written, account, now);
        }
        state.offer(rest, runs, now);
        if state.flow.takes() {
            self.write_out(&mut state, &mut desk.account, now);
        }
        self.settle(&mut state, &mut desk.account, now);
        let after = &state.flow;
        if Noticed::of(after) != before || (after.waiting && !after.blocked) {
            self.wake();
        }
        state.calm = state.is_calm();
        Served::Done
    }

    /// Has the memory fetched that serving this client begins with: see [`SocketWriter::approach`].
    pub(in crate::delivery) fn approach(&self) {
        black_box(self.state.is_locked());
        self.writer.approach();
        self.near.approach();
    }

    /// Offers what is marked without writing, for whoever needs it to be behind what was offered.
    pub(in crate::delivery) fn accept(&self, marks: &[Mark], runs: &Slab<Run>, now: Instant) {
        self.lock().offer(marks, runs, now);
    }

    /// Writes what was gathered. Returns how much the socket took.
    fn write_packet(
        &self,
        state: &mut ClientState,
        runs: &Slab<Run>,
        desk: &mut Desk,
        now: Instant,
    ) -> usize {
        let bytes = desk.packet.bytes(runs);
        let written =
            if bytes.is_empty() { 0 } else { state.flow.note(self.writer.try_write(bytes), now) };
        desk.account.written(now_us());
        written
    }

    fn write_out(&self, state: &mut ClientState, account: &mut Account, now: Instant) {
        for _ in 0..WRITES_PER_FLUSH {
            if state.outbox.is_empty() || !state.flow.takes() {
                break;
            }
            state.outbox.prepare(now_us());
            let mut slices = [IoSlice::new(&[]); WINDOW];
            let count = state.outbox.slices(&mut slices);
            if count == 0 {
                // All that was read from history was filtered; there may be more.
                continue;
            }
            let result = self.writer.try_write_vectored(slices.get(..count).unwrap_or_default());
            let written = state.flow.note(result, now);
            if written > 0 {
                account.written(now_us());
                state.outbox.taken(written, now, account);
            }
        }
    }

    /// Brings what others read of this client up to date.
    pub(super) fn settle(&self, state: &mut ClientState, account: &mut Account, now: Instant) {
        let waiting = !state.outbox.is_empty();
        if waiting && !state.flow.waiting {
            state.flow.progress = now;
        }
        state.flow.waiting = waiting;
        state.flow.next_held = state.outbox.next_held();
        state.flow.control_bytes = state.outbox.control_bytes();
        account.tally.take_in(&mut state.outbox.tally);
        let bytes = state.outbox.queued_bytes();
        if bytes != state.reported_bytes {
            let change = |from: usize, to: usize| {
                f64::from(u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX))
            };
            self.metrics.queue_bytes.increment(change(state.reported_bytes, bytes));
            self.metrics.queue_bytes.decrement(change(bytes, state.reported_bytes));
            state.reported_bytes = bytes;
        }
    }
}

/// What the owner of a connection is woken for when it changes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Noticed {
    blocked: bool,
    broken: bool,
    next_held: Option<Instant>,
}

impl Noticed {
    fn of(flow: &Flow) -> Self {
        Self { blocked: flow.blocked, broken: flow.broken, next_held: flow.next_held }
    }
}

impl ClientState {
    /// What a client that is calm has not to be asked for again. To be called when it is settled.
    fn is_calm(&self) -> bool {
        self.corked.is_none()
            && !self.touched
            && !self.deferred
            && self.flow.takes()
            && !self.flow.waiting
            && self.flow.next_held.is_none()
            && self.outbox.is_idle()
    }

    /// Puts what is marked where it waits.
    fn offer(&mut self, marks: &[Mark], runs: &Slab<Run>, now: Instant) {
        for mark in marks {
            for offer in runs.get(mark.run as usize).iter().flat_map(|run| &run.offers) {
                self.outbox.offer(mark.view, offer, now);
            }
        }
    }

    /// Whether all that is marked is of mode `latest`, and anything is.
    fn is_latest(&self, marks: &[Mark]) -> bool {
        !marks.is_empty()
            && marks.iter().all(|mark| self.outbox.mode_of(mark.view) == Some(Mode::Latest))
    }
}

impl Flow {
    /// Whether it makes sense to write.
    fn takes(&self) -> bool {
        !self.blocked && !self.broken
    }

    /// Notes what became of a write. Returns how many bytes were taken.
    fn note(&mut self, result: io::Result<usize>, now: Instant) -> usize {
        match result {
            Ok(0) => self.broken = true,
            Ok(bytes) => {
                self.progress = now;
                self.said = now;
                return bytes;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.broken = true,
        }
        0
    }
}
