//! Numbers as upstreams write them.

use serde_json::value::RawValue;

use super::body::excerpt;
use crate::{
    market::{Decimal, DecimalError},
    units::Micros,
};

/// What stands where a number is due. It is read from the source text, so that the digits are
/// those of the upstream and no float touches them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Number {
    /// A JSON number, or a JSON string that holds one.
    Given(Decimal),
    /// No such field, `null` or an empty string.
    Absent,
    /// Anything else, and why it is no number, for the log.
    Unusable(String),
}

impl Number {
    /// Reads a field; `None` when the object does not have it.
    pub(super) fn read(raw: Option<&RawValue>) -> Self {
        let json = raw.map_or("null", RawValue::get);
        match json.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<String>(json) {
                Ok(text) if text.is_empty() => Self::Absent,
                Ok(text) => Self::parse(&text),
                Err(_) => Self::Unusable("is not readable text".to_owned()),
            },
            Some(b'-' | b'0'..=b'9') => Self::parse(json),
            _ if json == "null" => Self::Absent,
            _ => Self::Unusable(format!("is not a number: {}", excerpt(json))),
        }
    }

    fn parse(text: &str) -> Self {
        match Decimal::parse(text) {
            Ok(decimal) => Self::Given(decimal),
            Err(DecimalError::TooLong) => {
                Self::Unusable(format!("is out of range: {}", excerpt(text)))
            }
            Err(DecimalError::Syntax) => {
                Self::Unusable(format!("is not a number: {}", excerpt(text)))
            }
        }
    }

    /// The number, where there is one: for a field that may be absent.
    pub(super) fn decimal(self) -> Option<Decimal> {
        match self {
            Self::Given(decimal) => Some(decimal),
            Self::Absent | Self::Unusable(_) => None,
        }
    }

    /// The number, for a field without which the whole item is of no use.
    ///
    /// # Errors
    /// Says what is wrong with the field that the upstream calls `key`.
    pub(super) fn essential(self, key: &str) -> Result<Decimal, String> {
        match self {
            Self::Given(decimal) => Ok(decimal),
            Self::Absent => Err(format!("has no {key}")),
            Self::Unusable(why) => Err(format!("{key} {why}")),
        }
    }

    /// The number as a time since the Unix epoch, counted in units of `unit_us` microseconds. What
    /// is below a microsecond is cut off. `None` for what is not above zero or does not fit: `0`
    /// stands for "unknown" in these APIs.
    pub(super) fn time(self, unit_us: i64) -> Option<Micros> {
        let decimal = self.decimal().filter(Decimal::is_positive)?;
        let (whole, fraction) = match decimal.as_str().split_once('.') {
            Some(parts) => parts,
            None => (decimal.as_str(), ""),
        };
        let mut us = whole.parse::<i64>().ok()?.checked_mul(unit_us)?;
        let mut place_us = unit_us;
        for digit in fraction.bytes() {
            place_us /= 10;
            us = us.checked_add(place_us * i64::from(digit.wrapping_sub(b'0')))?;
        }
        (us > 0).then_some(us)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Number {
        Number::read(Some(serde_json::from_str(json).unwrap()))
    }

    fn given(digits: &str) -> Number {
        Number::Given(Decimal::parse(digits).unwrap())
    }

    #[test]
    fn numbers_and_texts_that_hold_one_keep_their_digits() {
        for (json, digits) in [
            ("103663", "103663"),
            ("68900.50", "68900.50"),
            ("\"68900.50000000\"", "68900.50000000"),
            ("1E-8", "0.00000001"),
            ("\"1e-8\"", "0.00000001"),
            ("1.6371141415010508", "1.6371141415010508"),
            ("123456789012345678901234567890.5", "123456789012345678901234567890.5"),
            ("-4.20", "-4.20"),
            ("\"\\u0031.0\"", "1.0"),
        ] {
            assert_eq!(read(json), given(digits), "{json}");
        }
    }

    #[test]
    fn null_and_nothing_are_absent() {
        assert_eq!(Number::read(None), Number::Absent);
        assert_eq!(read("null"), Number::Absent);
        assert_eq!(read("\"\""), Number::Absent);
    }

    #[test]
    fn what_is_no_number_is_unusable_and_says_why() {
        for json in [
            "\"NaN\"",
            "\"Infinity\"",
            "\"1,234.5\"",
            "{\"usd\":1}",
            "[1]",
            "true",
            "1e400",
            "\"1e400\"",
            "\"\\u0000\"",
            "\"\\ud800\"",
        ] {
            assert!(matches!(read(json), Number::Unusable(_)), "{json}");
        }
        assert_eq!(
            read("\"NaN\"").essential("price"),
            Err("price is not a number: NaN".to_owned())
        );
    }

    #[test]
    fn times_are_read_in_their_unit() {
        let (s, ms) = (1_000_000, 1_000);
        for (json, unit_us, us) in [
            ("1747407859", s, Some(1_747_407_859_000_000)),
            ("\"1747407859.25\"", s, Some(1_747_407_859_250_000)),
            ("1747407859.1234567", s, Some(1_747_407_859_123_456)),
            ("1499869899040", ms, Some(1_499_869_899_040_000)),
            ("1.7474e9", s, Some(1_747_400_000_000_000)),
            ("0", s, None),
            ("-5", s, None),
            ("-0.5", s, None),
            ("9223372036854775807", s, None),
            ("\"soon\"", s, None),
        ] {
            assert_eq!(read(json).time(unit_us), us, "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_float_touches_the_digits(digits in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?") {
            prop_assert_eq!(read(&digits), given(&digits));
            prop_assert_eq!(read(&format!("\"{digits}\"")), given(&digits));
        }
    }
}
