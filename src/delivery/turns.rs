//! In what order the clients of a shard are served: in turns, so that no delivery, however many
//! clients it goes to, keeps a ping, a new connection or an update of another topic waiting.
//!
//! What a client is to be offered is marked, and offered and written when its turn comes: its lock
//! and its lines of memory are fetched once, for all that came in the meantime.

use std::{collections::VecDeque, mem, sync::Arc};

use slab::Slab;
use smallvec::SmallVec;

use super::run::Run;
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

/// Who gets a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) client: u32,
    /// The client's view of the topic.
    pub(super) view: u32,
}

/// A run of updates that is to be offered to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The client's view of the updates' topic.
    pub(super) view: u32,
    /// The number of the run.
    pub(super) run: u32,
}

/// What of a client waits for its turn: less than a line of memory, as long as that is little.
#[derive(Debug, Default)]
struct Waiting {
    narrow: bool,
    wide: bool,
    /// Whether there is anything to do when the turn comes.
    due: bool,
    /// What it is to be offered, in order.
    marks: SmallVec<[Mark; 4]>,
}

impl Waiting {
    /// Makes it due. True where it has no place in this queue yet.
    fn enters(&mut self, wide: bool) -> bool {
        self.due = true;
        !mem::replace(if wide { &mut self.wide } else { &mut self.narrow }, true)
    }
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

    /// Marks a run for the members of its topic.
    pub(super) fn mark(&mut self, members: &[Member], open: Open) {
        let wide = members.len() > TURN;
        for member in members {
            let queue = if wide { &mut self.wide } else { &mut self.narrow };
            let Some(waiting) = waiting(&mut self.states, member.client) else { continue };
            waiting.marks.push(Mark { view: member.view, run: open.run });
            if waiting.enters(wide) {
                queue.push_back(member.client);
            }
        }
    }

    /// A client is to be served for something that goes to so many.
    pub(super) fn touch(&mut self, client: u32, members: usize) {
        let wide = members > TURN;
        let waiting = waiting(&mut self.states, client);
        if waiting.is_some_and(|waiting| waiting.enters(wide)) {
            (if wide { &mut self.wide } else { &mut self.narrow }).push_back(client);
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

    /// Moves what a client is to be offered to `out`; [`Turns::leave`] must follow for each.
    pub(super) fn take(&mut self, client: u32, out: &mut Vec<Mark>) {
        let Some(waiting) = self.states.get_mut(client as usize) else { return };
        if waiting.marks.spilled() {
            // Memory for many marks is not kept for each of many clients.
            out.extend(mem::take(&mut waiting.marks));
        } else {
            out.extend_from_slice(&waiting.marks);
            waiting.marks.clear();
        }
    }

    /// So many clients have got a run, or never will.
    pub(super) fn leave(&mut self, key: u32, clients: usize) {
        let Some(run) = self.runs.get_mut(key as usize) else { return };
        self.offers = self.offers.saturating_sub(run.len() * clients);
        if run.leave(clients) {
            self.updates = self.updates.saturating_sub(run.len());
            self.runs.remove(key as usize);
        }
    }
}

/// What of a client waits; the first time there is nothing.
fn waiting(states: &mut Vec<Waiting>, client: u32) -> Option<&mut Waiting> {
    let index = client as usize;
    if states.len() <= index {
        states.resize_with(index + 1, Waiting::default);
    }
    states.get_mut(index)
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
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_client_gets_its_marks_once_and_in_order(
            steps in prop::collection::vec(
                prop_oneof![
                    4 => (0_u32..6, 0_u32..4).prop_map(|(client, view)| (client, Some(view))),
                    1 => (0_u32..6).prop_map(|client| (client, None)),
                ],
                0..200,
            ),
        ) {
            let mut turns = Turns::default();
            let mut expected: BTreeMap<u32, Vec<Mark>> = BTreeMap::new();
            let takes = (0..6).map(|client| (client, None));
            for (run, (client, view)) in (0..).zip(steps.into_iter().chain(takes)) {
                if let Some(view) = view {
                    turns.mark(&[Member { client, view }], Open { batch: 0, run });
                    expected.entry(client).or_default().push(Mark { view, run });
                } else {
                    let mut got = Vec::new();
                    turns.take(client, &mut got);
                    prop_assert_eq!(got, expected.remove(&client).unwrap_or_default());
                }
            }
            prop_assert!(turns.states.iter().all(|waiting| !waiting.marks.spilled()));
        }
    }

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
