//! Dates as the imitated APIs write them.

use crate::units::Micros;

const DAY_S: i64 = 86_400;

/// `2025-04-10T07:18:29.101Z`.
pub(super) fn rfc3339(at: Micros) -> String {
    format!("{}.{:03}Z", to_second(at), at.rem_euclid(1_000_000) / 1_000)
}

/// `2025-04-10T07:18:29.101000Z`.
pub(super) fn rfc3339_micros(at: Micros) -> String {
    format!("{}.{:06}Z", to_second(at), at.rem_euclid(1_000_000))
}

fn to_second(at: Micros) -> String {
    let seconds = at.div_euclid(1_000_000);
    let of_day = seconds.rem_euclid(DAY_S);
    format!("{}T{:02}:{:02}:{:02}", date(at), of_day / 3_600, of_day / 60 % 60, of_day % 60,)
}

/// `2025-04-10`, by the days-to-civil algorithm for the proleptic Gregorian calendar, in which a
/// year begins in March so that the leap day is its last.
pub(super) fn date(at: Micros) -> String {
    let days = at.div_euclid(1_000_000 * DAY_S) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (1_757_661_509_101_000, "2025-09-12T07:18:29.101Z"),
            (1_798_761_599_999_999, "2026-12-31T23:59:59.999Z"),
        ];
        for (at, expected) in cases {
            assert_eq!(rfc3339(at), expected);
        }
        assert_eq!(rfc3339_micros(1_757_661_509_101_002), "2025-09-12T07:18:29.101002Z");
        assert_eq!(date(1_757_661_509_101_000), "2025-09-12");
    }
}
