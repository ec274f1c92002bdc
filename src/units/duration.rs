//! Durations as they are written in a configuration: `250ms`, `10s`, `5m`, `1h`, `1d`.

use std::{fmt, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration that reads and prints as a number with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, JsonSchema)]
#[schemars(extend("pattern" = "^[0-9]+(us|ms|s|m|h|d)$", "examples" = ["250ms", "10s", "5m"]))]
pub struct Span(#[schemars(with = "String")] pub Duration);

/// Unit suffixes, each with its length in microseconds, longest suffix first.
const UNITS: [(&str, u64); 6] = [
    ("ms", 1_000),
    ("us", 1),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

impl Span {
    /// Whole milliseconds.
    pub const fn millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// Whole seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// Length in microseconds, saturating.
    pub fn as_us(self) -> i64 {
        i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX)
    }

    /// Length in milliseconds, saturating.
    pub fn as_ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a duration such as 250ms, 10s, 5m, 1h or 1d");
        let (digits, unit_us) = UNITS
            .iter()
            .find_map(|(suffix, us)| Some((text.strip_suffix(suffix)?, *us)))
            .ok_or_else(wrong)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let count: u64 = digits.parse().map_err(|_| wrong())?;
        count.checked_mul(unit_us).map(|us| Self(Duration::from_micros(us))).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.as_micros();
        match us {
            us if us % 1_000_000 == 0 => write!(f, "{}s", us / 1_000_000),
            us if us % 1_000 == 0 => write!(f, "{}ms", us / 1_000),
            us => write!(f, "{us}us"),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_with_their_unit() {
        for (text, ms) in [("0ms", 0), ("250ms", 250), ("10s", 10_000), ("5m", 300_000)] {
            assert_eq!(text.parse(), Ok(Span::millis(ms)), "{text}");
        }
    }

    #[test]
    fn a_duration_without_a_known_unit_is_refused() {
        for text in ["", "10", "s", "-1s", "1.5s", "10 s", "1w", "99999999999999999999s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for span in [Span::millis(1), Span::secs(90), Span(Duration::from_micros(7))] {
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
