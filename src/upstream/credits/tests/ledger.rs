use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{DAY_US, WALL, mark};
use crate::upstream::credits::ledger::{Ledger, Mark, Refusal};

/// Half of what is written is there: the mark is on disk and the ledger knows.
fn secure(ledger: &mut Ledger) -> u64 {
    let mark = ledger.mark().unwrap();
    ledger.secure(mark);
    mark.reserved
}

#[test]
fn nothing_is_spent_before_its_block_is_written() {
    let mut ledger = Ledger::kept(1_000, None);
    assert!(!ledger.wants());
    assert_eq!(ledger.check(1, WALL), Err(Refusal::Unsecured));
    assert!(ledger.wants() && ledger.starved());
    assert_eq!(ledger.remaining(WALL), 1_000);
    assert_eq!(secure(&mut ledger), 10);
    assert_eq!(ledger.check(1, WALL), Ok(()));
    assert!(!ledger.starved());
}

#[test]
fn the_next_block_is_wanted_when_half_of_one_is_left() {
    let mut ledger = Ledger::kept(1_000, Some(mark(20)));
    assert_eq!(ledger.check(1, WALL), Err(Refusal::Unsecured));
    assert_eq!(secure(&mut ledger), 30);
    for _ in 0..4 {
        ledger.check(1, WALL).unwrap();
        ledger.spend(1, WALL).unwrap();
        assert!(!ledger.wants());
    }
    ledger.check(1, WALL).unwrap();
    ledger.spend(1, WALL).unwrap();
    assert_eq!(ledger.mark(), Some(mark(35)));
    assert!(ledger.wants());
    // What is reserved already is spent meanwhile.
    assert_eq!(ledger.check(5, WALL), Ok(()));
}

#[test]
fn a_block_is_one_in_a_hundred_between_1_and_100_units() {
    for (limit, block) in [(1, 1), (5, 1), (99, 1), (1_000, 10), (10_000, 100), (9_000_000, 100)] {
        let mut ledger = Ledger::kept(limit, None);
        assert_eq!(ledger.check(1, WALL), Err(Refusal::Unsecured));
        assert_eq!(secure(&mut ledger), block, "{limit}");
    }
}

#[test]
fn a_request_that_costs_more_than_a_block_gets_one_of_its_own() {
    let mut ledger = Ledger::kept(100, None);
    assert_eq!(ledger.check(50, WALL), Err(Refusal::Unsecured));
    assert_eq!(secure(&mut ledger), 50);
    assert_eq!(ledger.check(50, WALL), Ok(()));
    ledger.spend(50, WALL).unwrap();
    assert_eq!(ledger.check(51, WALL), Err(Refusal::Spent));
}

#[test]
fn a_smaller_plan_than_was_spent_has_nothing_left() {
    let mut ledger = Ledger::kept(10, Some(mark(300)));
    assert_eq!(ledger.remaining(WALL), 0);
    assert_eq!(ledger.check(1, WALL), Err(Refusal::Spent));
}

#[test]
fn a_new_month_is_full_and_is_written_before_it_is_spent() {
    let mut ledger = Ledger::kept(100, Some(mark(100)));
    assert_eq!(ledger.check(1, WALL), Err(Refusal::Spent));
    let december = WALL + 10 * DAY_US;
    assert_eq!(ledger.remaining(december), 100);
    assert_eq!(ledger.check(1, december), Err(Refusal::Unsecured));
    // What was written of the old month secures nothing of the new one.
    ledger.secure(mark(100));
    assert_eq!(ledger.check(1, december), Err(Refusal::Unsecured));
    secure(&mut ledger);
    assert_eq!(ledger.check(1, december), Ok(()));
}

#[test]
fn a_clock_that_is_behind_what_is_on_disk_restores_nothing() {
    let mut ledger = Ledger::kept(100, Some(mark(90)));
    assert_eq!(ledger.remaining(WALL - 40 * DAY_US), 10);
}

#[test]
fn a_closed_ledger_tells_the_exact_count_and_spends_no_more() {
    let mut ledger = Ledger::kept(1_000, Some(mark(20)));
    assert_eq!(ledger.check(3, WALL), Err(Refusal::Unsecured));
    secure(&mut ledger);
    ledger.check(3, WALL).unwrap();
    ledger.spend(3, WALL).unwrap();
    assert_eq!(ledger.close(), Some(mark(23)));
    ledger.secure(mark(30));
    assert_eq!(ledger.check(1, WALL), Err(Refusal::Unsecured));
    assert_eq!(ledger.check(1, WALL + 40 * DAY_US), Err(Refusal::Unsecured));
    assert!(!ledger.wants());
    assert_eq!(ledger.mark(), Some(mark(23)));
    assert_eq!(Ledger::kept(1_000, None).close(), None);
}

#[derive(Debug, Clone)]
enum Step {
    Spend(u64),
    /// A write that succeeds.
    Write,
    /// A write that is told to have failed, though the file may have been replaced.
    WriteFails {
        replaced: bool,
    },
    /// A write during which the process is killed.
    Crash {
        writing: bool,
        replaced: bool,
    },
    Stop,
    Clock(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1_u64..5).prop_map(Step::Spend),
        4 => Just(Step::Write),
        1 => any::<bool>().prop_map(|replaced| Step::WriteFails { replaced }),
        1 => (any::<bool>(), any::<bool>())
            .prop_map(|(writing, replaced)| Step::Crash { writing, replaced }),
        1 => Just(Step::Stop),
        1 => (-40_i64..40).prop_map(Step::Clock),
    ]
}

/// A process with its disk, and all that was truly spent.
struct World {
    limit: u64,
    largest_waste: u64,
    disk: Option<Mark>,
    ledger: Ledger,
    spent: BTreeMap<i64, u64>,
    wasted: BTreeMap<i64, u64>,
    wall: i64,
}

impl World {
    fn new(limit: u64) -> Self {
        let block = (limit / 100).clamp(1, 100);
        Self {
            limit,
            // The dearest request costs 4.
            largest_waste: block.max(4),
            disk: None,
            ledger: Ledger::kept(limit, None),
            spent: BTreeMap::new(),
            wasted: BTreeMap::new(),
            wall: WALL,
        }
    }

    fn restart(&mut self) {
        self.ledger = Ledger::kept(self.limit, self.disk);
    }

    /// What is on disk is more than what was spent by this much.
    fn lost(&self) -> u64 {
        let Some(disk) = self.disk else { return 0 };
        let of = |counts: &BTreeMap<i64, u64>| counts.get(&disk.month).copied().unwrap_or(0);
        let accounted = of(&self.spent) + of(&self.wasted);
        assert!(disk.reserved >= accounted, "what was spent is not on disk");
        disk.reserved - accounted
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Spend(units) => self.spend(units),
            Step::Write => {
                self.disk = self.ledger.mark();
                if let Some(mark) = self.disk {
                    self.ledger.secure(mark);
                }
            }
            Step::WriteFails { replaced } => {
                if replaced {
                    self.disk = self.ledger.mark();
                }
            }
            Step::Crash { writing, replaced } => {
                if writing && replaced {
                    self.disk = self.ledger.mark();
                }
                let lost = self.lost();
                assert!(lost <= self.largest_waste, "{lost} lost in a crash");
                if let Some(disk) = self.disk {
                    *self.wasted.entry(disk.month).or_default() += lost;
                }
                self.restart();
            }
            Step::Stop => {
                self.disk = self.ledger.close();
                assert_eq!(self.lost(), 0, "a clean stop loses nothing");
                self.restart();
            }
            Step::Clock(days) => self.wall += days * DAY_US,
        }
    }

    fn spend(&mut self, units: u64) {
        let spent_now = self.ledger.spend(units, self.wall);
        // The month that the ledger is in: the latest that it has seen.
        let month = self.ledger.mark().unwrap().month;
        let spent = self.spent.entry(month).or_default();
        match spent_now {
            Ok(()) => {
                *spent += units;
                assert!(*spent <= self.limit, "more spent than the month has");
                let disk = self.disk.filter(|disk| disk.month == month);
                assert!(disk.is_some_and(|disk| disk.reserved >= *spent), "spent before written");
            }
            Err(Refusal::Spent) => {
                let wasted = self.wasted.get(&month).copied().unwrap_or(0);
                assert!(*spent + wasted + units > self.limit, "refused though there was some");
            }
            Err(Refusal::Unsecured) => assert!(self.ledger.wants(), "waits for nothing"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_crash_lets_more_be_spent_than_the_month_has_or_loses_more_than_a_block(
        limit in prop_oneof![4_u64..200, 200_u64..30_000],
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new(limit);
        for step in &steps {
            world.run(step);
        }
    }
}

#[test]
fn what_is_allowed_before_the_ledger_is_closed_and_spent_after_is_not_lost() {
    let mut ledger = Ledger::kept(1_000, Some(mark(20)));
    assert_eq!(ledger.check(1, WALL), Err(Refusal::Unsecured));
    secure(&mut ledger);
    assert_eq!(ledger.check(1, WALL), Ok(()));
    let written = ledger.close().unwrap();
    assert_eq!(ledger.spend(1, WALL), Err(Refusal::Unsecured));
    assert_eq!(1_000 - ledger.remaining(WALL), written.reserved);
}
