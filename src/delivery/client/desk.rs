//! What a shard has at hand while it serves one client after another.

use std::{mem, sync::Arc};

use slab::Slab;

use crate::{
    delivery::{
        account::Account,
        metrics::Metrics,
        outbox::Packet,
        run::Run,
        turns::{Mark, Turns},
    },
    units::now_us,
};

/// Writes after which the clock is read, where nothing else is done in between: for so long a latency
/// may be told too long, some 20 µs.
const WRITES_PER_LOOK: usize = 4;

/// What is kept from client to client: memory, and figures that are not told yet.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Desk {
    pub(super) packet: Packet,
    pub(super) account: Account,
    /// Whose account it is: clients of one transport have the same.
    metrics: Option<Arc<Metrics>>,
    marks: Vec<Mark>,
    /// Runs that clients have got as they are since the clock was last read.
    fresh: Vec<u32>,
    writes: usize,
    /// Runs that are accounted for, and how many clients have got them: those do not wait for them
    /// any more.
    done: Vec<(u32, usize)>,
}

impl Desk {
    /// Room for what a client is to be offered. To be given back.
    pub(in crate::delivery) fn take_marks(&mut self) -> Vec<Mark> {
        mem::take(&mut self.marks)
    }

    pub(in crate::delivery) fn give_back(&mut self, mut marks: Vec<Mark>) {
        marks.clear();
        self.marks = marks;
    }

    /// A client has just got all that was marked as it is, in one write.
    pub(in crate::delivery) fn note(&mut self, marks: &[Mark], runs: &Slab<Run>) {
        for mark in marks {
            if runs.get(mark.run as usize).is_some_and(Run::note) {
                self.fresh.push(mark.run);
            }
        }
        self.writes += 1;
        if self.writes >= WRITES_PER_LOOK {
            self.look(runs);
        }
    }

    /// Reads the clock and accounts for what was noted. To be called before anything else is done
    /// that takes time.
    pub(super) fn look(&mut self, runs: &Slab<Run>) {
        if mem::take(&mut self.writes) == 0 {
            return;
        }
        self.account.written(now_us());
        for key in self.fresh.drain(..) {
            let Some(run) = runs.get(key as usize) else { continue };
            let clients = run.take_noted();
            self.account.offered_run(run, clients);
            self.account.delivered_run(run.bulk(), clients);
            self.done.push((key, clients));
        }
    }

    /// Tells all that was gathered. To be called before the shard turns to something else, and after
    /// a fault.
    pub(in crate::delivery) fn tell(&mut self, turns: &mut Turns) {
        self.look(&turns.runs);
        for (run, clients) in self.done.drain(..) {
            turns.leave(run, clients);
        }
        self.report();
    }

    pub(super) fn turn_to(&mut self, metrics: &Arc<Metrics>, runs: &Slab<Run>) {
        if !self.metrics.as_ref().is_some_and(|known| Arc::ptr_eq(known, metrics)) {
            self.look(runs);
            self.report();
            self.metrics = Some(metrics.clone());
        }
        // Left over only where the client before has failed.
        self.packet.clear();
    }

    fn report(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.report(&mut self.account);
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.report();
    }
}
