//! What a shard has at hand while it serves one client after another.

use std::{mem, sync::Arc};

use slab::Slab;

use super::Client;
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

/// Writes after which the clock is read: for so long a latency may be told too long, some 20 µs.
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
    got: Vec<u32>,
    writes: usize,
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

    /// Whether what clients have got should be told before `client` is served.
    pub(in crate::delivery) fn is_due(&self, client: &Client) -> bool {
        self.writes >= WRITES_PER_LOOK || !self.is_of(&client.metrics)
    }

    /// A client has got all that was marked as it is, in one write.
    pub(in crate::delivery) fn got(&mut self, marks: &[Mark], runs: &Slab<Run>) {
        self.writes += 1;
        for mark in marks {
            if runs.get(mark.run as usize).is_some_and(Run::got) {
                self.got.push(mark.run);
            }
        }
    }

    /// Accounts for what clients have got.
    pub(in crate::delivery) fn tell(&mut self, turns: &mut Turns) {
        if mem::take(&mut self.writes) == 0 {
            return;
        }
        self.account.written(now_us());
        for key in self.got.drain(..) {
            let Some(run) = turns.runs.get(key as usize) else { continue };
            let clients = run.take_got();
            self.account.offered_run(run, clients);
            self.account.delivered_run(run.bulk(), clients);
            turns.got(key, clients);
        }
    }

    /// Tells what was gathered. To be called before the shard turns to something else, and done at
    /// the latest when the desk goes.
    pub(in crate::delivery) fn report(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.report(&mut self.account);
        }
    }

    pub(super) fn turn_to(&mut self, metrics: &Arc<Metrics>) {
        if !self.is_of(metrics) {
            self.report();
            self.metrics = Some(metrics.clone());
        }
        // Left over only where the client before has failed.
        self.packet.clear();
    }

    fn is_of(&self, metrics: &Arc<Metrics>) -> bool {
        self.metrics.as_ref().is_some_and(|known| Arc::ptr_eq(known, metrics))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.report();
    }
}
