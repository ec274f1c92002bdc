//! Calendar months (UTC), for monthly budgets. Pure.

use std::time::Duration;

use crate::units::Micros;

const DAY_US: i64 = 86_400 * 1_000_000;

/// Number of the month that `at` falls in: January 1970 is 0.
pub fn month_index(at: Micros) -> i64 {
    // The civil calendar by Howard Hinnant's `civil_from_days`: years begin in March, so that the
    // leap day is the last of its year.
    let days = at.div_euclid(DAY_US) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    // March 1 of year 0 lies 1,970 years less two months before January 1970.
    (era * 400 + year_of_era) * 12 + month_from_march + 2 - 1_970 * 12
}

/// Time from `at` to the first moment of the next month.
pub fn until_next_month(at: Micros) -> Duration {
    let this = month_index(at);
    let mut day = at.div_euclid(DAY_US) + 1;
    while month_index(day * DAY_US) == this {
        day += 1;
    }
    Duration::from_micros(u64::try_from(day * DAY_US - at).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_counted_from_january_1970() {
        for (days, expected) in [
            (0, 0),
            (30, 0),
            (31, 1),
            (58, 1),
            (59, 2),
            (364, 11),
            (365, 12),
            (-1, -1),
            // 29 February and 1 March 2024.
            (19_782, 54 * 12 + 1),
            (19_783, 54 * 12 + 2),
        ] {
            assert_eq!(month_index(days * DAY_US), expected, "{days}");
        }
    }

    #[test]
    fn the_next_month_begins_at_midnight() {
        assert_eq!(until_next_month(31 * DAY_US - 1), Duration::from_micros(1));
        assert_eq!(until_next_month(0), Duration::from_secs(31 * 86_400));
    }
}
