//! The `Retry-After` header. Pure: time is an argument.

use std::time::{Duration, SystemTime};

/// The longest wait that an upstream may impose. What asks for more is a mistake or malice, and
/// the circuit breaker keeps the pressure off meanwhile.
pub const LONGEST: Duration = Duration::from_secs(300);

/// How long a `Retry-After` of seconds or of an HTTP date asks to wait, five minutes at most.
/// `None` for anything else: it is then as if the header were absent.
pub fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has: more seconds than the longest.
        let secs = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(secs).min(LONGEST));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
    }

    #[test]
    fn seconds_and_dates_are_understood_and_capped() {
        let date = |secs| httpdate::fmt_http_date(now() + Duration::from_secs(secs));
        for (value, expected) in [
            ("0", 0),
            ("120", 120),
            (" 7 ", 7),
            ("315360000", 300),
            ("99999999999999999999999", 300),
            (&date(90), 90),
            (&date(86_400), 300),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ] {
            let expected = Duration::from_secs(expected);
            assert_eq!(parse(value, now()), Some(expected), "{value}");
        }
    }

    #[test]
    fn garbage_is_as_if_it_were_absent() {
        for value in ["", "soon", "-5", "1.5", "5s", "Sun, 99 Nov 1994", "\u{661}"] {
            assert_eq!(parse(value, now()), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic_or_wait_longer_than_the_cap(value in ".{0,40}") {
            prop_assert!(parse(&value, now()).is_none_or(|wait| wait <= LONGEST));
        }
    }
}
