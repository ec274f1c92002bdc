//! In what order the clients of a shard are served: in turns, so that no delivery, however many
//! clients it goes to, keeps a ping, a new connection or an update of another topic waiting.
//!
//! What a client is to be offered is marked, and offered and written when its turn comes: its lock
//! and its lines of memory are fetched once, for all that came in the meantime.

use std::{collections::VecDeque, sync::Arc};

use slab::Slab;

use super::{
    marks::{Mark, Marks},
    run::Run,
};
use crate::hub::Issued;

/// Clients served before others get their turn: some 300 µs.
pub(super) const TURN: usize = 64;

/// Offers that wait for their clients' turns before no more events are taken: those stay in the
/// channel, which tells of its loss when it is full. A tenth of a second's work.
const OFFERS_MAX: usize = 262_144;
/// The same of updates, which are kept in memory for so long.
const UPDATES_MAX: usize = 16_384;

/// Clients that are to be served, and what they are to be offered.
#[derive(Debug, Default)]
pub(super) struct Turns {
    marks: Marks,
    pub(super) runs: Slab<Run>,
    /// By something of which one turn can serve all.
    narrow: VecDeque<u32>,
    /// By nothing else than what goes to more clients than that.
    wide: VecDeque<u32>,
    /// By client number.
    states: Vec<Waiting>,
    /// Runs that were begun before are not added to any more.
    batch: u64,
    offers: usize,
    updates: usize,
}

/// What of a client waits for its turn.
#[derive(Debug, Clone, Copy, Default)]
struct Waiting {
    narrow: bool,
    wide: bool,
    /// Whether there is anything to do when the turn comes.
    due: bool,
}

/// A run that may be added to, as long as nothing else has happened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Open {
    batch: u64,
    run: u32,
}

impl Turns {
    /// Nobody waits. No run that was begun before is taken for one that is begun from now on.
    pub(super) fn anew(&self) -> Self {
        Self { batch: self.batch + 1, ..Self::default() }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.narrow.is_empty() && self.wide.is_empty()
    }

    /// Whether so much waits that no more should be taken.
    pub(super) fn is_full(&self) -> bool {
        self.offers >= OFFERS_MAX || self.updates >= UPDATES_MAX
    }

    /// From now on updates begin runs of their own.
    pub(super) fn close_runs(&mut self) {
        self.batch += 1;
    }

    /// Adds an update to a run, where that may be.
    pub(super) fn extend(&mut self, open: Open, issued: &Arc<Issued>, members: usize) -> bool {
        let run = self.runs.get_mut(open.run as usize).filter(|_| open.batch == self.batch);
        let Some(run) = run else { return false };
        run.push(issued);
        self.offers += members;
        self.updates += 1;
        true
    }

    /// Begins a run that is to be offered to so many members, each of whom is to be marked.
    pub(super) fn begin(&mut self, issued: &Arc<Issued>, members: usize) -> Option<Open> {
        let run = u32::try_from(self.runs.vacant_key()).ok()?;
        self.runs.insert(Run::new(issued, members));
        self.offers += members;
        self.updates += 1;
        Some(Open { batch: self.batch, run })
    }

    /// Marks a run for a member of its topic.
    pub(super) fn mark(&mut self, client: u32, view: u32, open: Open, members: usize) {
        if self.marks.push(client, Mark { view, run: open.run }) {
            self.touch(client, members);
        } else {
            self.got(open.run);
        }
    }

    /// A client is to be served for something that goes to so many.
    pub(super) fn touch(&mut self, client: u32, members: usize) {
        let index = client as usize;
        if self.states.len() <= index {
            self.states.resize(index + 1, Waiting::default());
        }
        let Some(waiting) = self.states.get_mut(index) else { return };
        waiting.due = true;
        let (queued, queue) = if members <= TURN {
            (&mut waiting.narrow, &mut self.narrow)
        } else {
            (&mut waiting.wide, &mut self.wide)
        };
        if !std::mem::replace(queued, true) {
            queue.push_back(client);
        }
    }

    /// Who is next, of the narrow or of the wide; one who has been served since is passed over.
    pub(super) fn next(&mut self, wide: bool) -> Option<u32> {
        let queue = if wide { &mut self.wide } else { &mut self.narrow };
        while let Some(client) = queue.pop_front() {
            let Some(waiting) = self.states.get_mut(client as usize) else { continue };
            *(if wide { &mut waiting.wide } else { &mut waiting.narrow }) = false;
            if std::mem::replace(&mut waiting.due, false) {
                return Some(client);
            }
        }
        None
    }

    /// Who waits, of the narrow or of the wide, in order; some may have been served since.
    pub(super) fn waiting(&self, wide: bool) -> impl Iterator<Item = &u32> {
        (if wide { &self.wide } else { &self.narrow }).iter()
    }

    /// Moves what a client is to be offered to `out`; each must be told to be [`Turns::got`].
    pub(super) fn take(&mut self, client: u32, out: &mut Vec<Mark>) {
        self.marks.take(client, out);
    }

    /// A client has got a run.
    pub(super) fn got(&mut self, key: u32) {
        let Some(run) = self.runs.get_mut(key as usize) else { return };
        self.offers = self.offers.saturating_sub(run.len());
        if run.got() {
            self.updates = self.updates.saturating_sub(run.len());
            self.runs.remove(key as usize);
        }
    }
}

#[cfg(test)]
impl Turns {
    /// What waits, as it is counted and as it is.
    pub(super) fn counts(&self) -> [usize; 3] {
        [self.offers, self.updates, self.runs.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(turns: &mut Turns) -> Vec<u32> {
        let mut served = Vec::new();
        for wide in [false, true] {
            served.extend((0..TURN).map_while(|_| turns.next(wide)));
        }
        served
    }

    #[test]
    fn a_large_delivery_goes_on_a_turn_at_a_time_and_in_order() {
        let mut turns = Turns::default();
        (0..128).for_each(|client| turns.touch(client, 1000));
        assert_eq!(turn(&mut turns), Vec::from_iter(0..64));
        assert!(!turns.is_empty());
        assert_eq!(turn(&mut turns), Vec::from_iter(64..128));
        assert!(turns.is_empty());
    }

    #[test]
    fn a_small_delivery_need_not_wait_for_a_large_one_nor_stop_it() {
        let mut turns = Turns::default();
        (0..1000).for_each(|client| turns.touch(client, 1000));
        turn(&mut turns);
        // Two of them waited for the large one as well: they come once.
        [5000, 64, 65].into_iter().for_each(|client| turns.touch(client, 3));
        let served = turn(&mut turns);
        assert_eq!(served[..5], [5000, 64, 65, 66, 67]);
        assert_eq!(served.len(), 3 + TURN);
    }

    #[test]
    fn small_deliveries_without_end_leave_turns_to_the_large_and_are_bounded_themselves() {
        let mut turns = Turns::default();
        (0..192).for_each(|client| turns.touch(client, 1000));
        for _ in 0..3 {
            (5000..5256).for_each(|client| turns.touch(client, 64));
            let served = turn(&mut turns);
            let wide = served.iter().filter(|client| **client < 5000).count();
            assert_eq!((wide, served.len()), (TURN, 2 * TURN));
        }
    }
}
