//! How far a month's units may be spent. Pure: time is an argument, and what is on disk is told.
//!
//! Where the count is kept, units are spent ahead of it: a block is written as spent before the
//! first of its units is. A crash then costs what was left of the block, and never lets more than
//! the month's units be spent.

use std::ops::RangeInclusive;

use crate::{units::Micros, upstream::calendar};

/// A block is one part in so many of the month's units,
const BLOCKS_A_MONTH: u64 = 100;

/// but within this.
const BLOCK: RangeInclusive<u64> = 1..=100;

/// What is on disk of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Number of the month, as `calendar::month_index` counts.
    pub month: i64,
    /// Units of that month which are spent, or reserved to be.
    pub reserved: u64,
}

/// Why units may not be spent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The month has no more.
    Spent,
    /// It has, but they are not written as spent yet.
    Unsecured,
}

/// The units of a calendar month (UTC) and what became of them.
#[derive(Debug)]
pub struct Ledger {
    limit: u64,
    /// How far ahead is reserved; none where the count is in memory only.
    block: Option<u64>,
    month: i64,
    used: u64,
    /// Up to where units of `month` may be spent: they are on disk.
    secured: u64,
    /// Up to where they should be; nothing is wanted where that is no more than `secured`.
    goal: u64,
    /// The last request was refused because its units are not secured.
    starved: bool,
    closed: bool,
}

impl Ledger {
    /// A full month, counted in memory.
    pub fn in_memory(limit: u64) -> Self {
        Self {
            limit,
            block: None,
            month: i64::MIN,
            used: 0,
            secured: limit,
            goal: 0,
            starved: false,
            closed: false,
        }
    }

    /// A month that is kept on disk, from where `mark` has it. What was reserved there counts as
    /// spent: some of it may have been.
    pub fn kept(limit: u64, mark: Option<Mark>) -> Self {
        let block = (limit / BLOCKS_A_MONTH).clamp(*BLOCK.start(), *BLOCK.end());
        let Mark { month, reserved } = mark.unwrap_or(Mark { month: i64::MIN, reserved: 0 });
        Self {
            block: Some(block),
            month,
            used: reserved,
            secured: reserved,
            ..Self::in_memory(limit)
        }
    }

    /// Whether `units` may be spent at `wall`. Where they are not secured, they are wanted from
    /// now on: see [`Ledger::wants`].
    ///
    /// # Errors
    /// Why not.
    pub fn check(&mut self, units: u64, wall: Micros) -> Result<(), Refusal> {
        self.turn(wall);
        self.starved = false;
        let after = self.used.saturating_add(units);
        if after > self.limit {
            return Err(Refusal::Spent);
        }
        if self.closed || after > self.secured {
            self.starved = true;
            // A request that costs more than a block makes a block of its own.
            self.reserve(units);
            return Err(Refusal::Unsecured);
        }
        Ok(())
    }

    /// Spends `units` if they may be spent at `wall`: what was allowed before may not be any more.
    /// Wants the next block when half of this one is left, so that hardly any request waits for it.
    ///
    /// # Errors
    /// Why nothing is spent.
    pub fn spend(&mut self, units: u64, wall: Micros) -> Result<(), Refusal> {
        self.check(units, wall)?;
        self.used = self.used.saturating_add(units);
        let ahead = self.secured.saturating_sub(self.used);
        if self.block.is_some_and(|block| ahead <= block / 2) {
            self.reserve(0);
        }
        Ok(())
    }

    fn reserve(&mut self, least: u64) {
        if let Some(block) = self.block.filter(|_| !self.closed) {
            let goal = self.used.saturating_add(block.max(least)).min(self.limit);
            self.goal = self.goal.max(goal);
        }
    }

    /// Whether more should be written as spent.
    pub fn wants(&self) -> bool {
        self.goal > self.secured
    }

    /// Whether the last request was refused because its units are not secured.
    pub fn starved(&self) -> bool {
        self.starved
    }

    /// What should be on disk now; none before anything was spent or read.
    pub fn mark(&self) -> Option<Mark> {
        (self.month != i64::MIN)
            .then(|| Mark { month: self.month, reserved: self.goal.max(self.secured) })
    }

    /// `mark` is on disk, and will be after a crash.
    pub fn secure(&mut self, mark: Mark) {
        if mark.month == self.month && !self.closed {
            self.secured = self.secured.max(mark.reserved);
        }
    }

    /// Nothing is spent from now on, so that the exact count may be written: it is returned.
    pub fn close(&mut self) -> Option<Mark> {
        self.closed = true;
        self.goal = 0;
        self.secured = self.used;
        self.mark()
    }

    /// Units that the month at `wall` has left.
    pub fn remaining(&mut self, wall: Micros) -> u64 {
        self.turn(wall);
        self.limit.saturating_sub(self.used)
    }

    fn turn(&mut self, wall: Micros) {
        let month = calendar::month_index(wall);
        // A clock that steps back must not hand out a month twice. A closed ledger is only read.
        if month > self.month && !self.closed {
            self.month = month;
            self.used = 0;
            self.goal = 0;
            self.secured = if self.block.is_some() { 0 } else { self.limit };
        }
    }
}
