mod form;
mod keeper;
mod ledger;
mod store;

use super::ledger::Mark;

/// November 2026, as `calendar::month_index` counts.
const NOVEMBER: i64 = 56 * 12 + 10;

const DAY_US: i64 = 86_400 * 1_000_000;

/// The 24th of November 2026 at midnight.
const WALL: i64 = 20_781 * DAY_US;

fn mark(reserved: u64) -> Mark {
    Mark { month: NOVEMBER, reserved }
}
