//! Decimal numbers as text: the digits that an upstream sent are the digits a client gets.

use std::{cmp::Ordering, fmt};

/// A decimal number in plain notation, with the digits of its source: `68900.50` stays `68900.50`
/// and `1E-8` is written out as `0.00000001`. It is never rounded and no float touches it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Decimal(Box<str>);

/// Why a text is not a decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not `-?digits(.digits)?([eE][+-]?digits)?`: `NaN`, `inf`, `1,234.5`, `+1`, the empty text.
    #[error("not a decimal number")]
    Syntax,
    /// Longer than [`Decimal::MAX_DIGITS`] when written out.
    #[error("more digits than any quantity has")]
    TooLong,
}

impl Decimal {
    /// The most digits a number may have when written out: room for a 256-bit integer (78 digits),
    /// far below what would make a message large.
    pub const MAX_DIGITS: usize = 96;

    /// Reads a number in JSON's notation; also one with leading zeros, as some text fields have.
    ///
    /// # Errors
    /// [`DecimalError`] says whether the text is no number or too long.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        if text.len() > Self::MAX_DIGITS + 8 {
            return Err(DecimalError::TooLong);
        }
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(DecimalError::Syntax),
            Some(parts) => parts,
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(DecimalError::Syntax);
        }
        if exponent == 0 {
            return Self::bounded(if text.len() == mantissa.len() { text } else { mantissa });
        }
        Self::bounded(&shifted(negative, whole, fraction, exponent)?)
    }

    fn bounded(text: &str) -> Result<Self, DecimalError> {
        if text.len() > Self::MAX_DIGITS {
            return Err(DecimalError::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for `0`, `0.00` and `-0`.
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|byte| matches!(byte, b'0' | b'.' | b'-'))
    }

    /// True for a number above zero.
    pub fn is_positive(&self) -> bool {
        !self.0.starts_with('-') && !self.is_zero()
    }

    /// The nearest float, for comparing and plotting; never for a value that is sent.
    pub fn to_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// Magnitude parts without leading zeros of the whole and trailing zeros of the fraction.
    fn magnitude(&self) -> (&str, &str) {
        let digits = self.0.strip_prefix('-').unwrap_or(&self.0);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        (whole.trim_start_matches('0'), fraction.trim_end_matches('0'))
    }

    /// Compares by value, exactly: `1.50` and `1.5` are equal here though their texts differ.
    pub fn cmp_value(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.is_zero(), number.0.starts_with('-')) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let (mine, theirs) = (sign(self), sign(other));
        if mine != theirs || mine == 0 {
            return mine.cmp(&theirs);
        }
        let ((whole_a, fraction_a), (whole_b, fraction_b)) = (self.magnitude(), other.magnitude());
        let by_magnitude = whole_a
            .len()
            .cmp(&whole_b.len())
            .then_with(|| whole_a.cmp(whole_b))
            .then_with(|| fraction_a.cmp(fraction_b));
        if mine < 0 { by_magnitude.reverse() } else { by_magnitude }
    }
}

fn parse_exponent(text: &str) -> Result<i32, DecimalError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalError::Syntax);
    }
    text.parse().map_err(|_| DecimalError::TooLong)
}

/// Writes `whole.fraction × 10^exponent` out.
fn shifted(
    negative: bool,
    whole: &str,
    fraction: &str,
    exponent: i32,
) -> Result<String, DecimalError> {
    let shift = usize::try_from(exponent.unsigned_abs()).map_err(|_| DecimalError::TooLong)?;
    if shift > Decimal::MAX_DIGITS {
        return Err(DecimalError::TooLong);
    }
    let digits = format!("{whole}{fraction}");
    let (whole, fraction) = if exponent > 0 {
        let missing = shift.saturating_sub(fraction.len());
        let digits = format!("{digits}{}", "0".repeat(missing));
        let point = digits.len() - fraction.len().saturating_sub(shift);
        (digits[..point].to_owned(), digits[point..].to_owned())
    } else {
        let digits = format!("{}{digits}", "0".repeat(shift));
        let point = whole.len();
        (digits[..point].to_owned(), digits[point..].to_owned())
    };
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        trimmed => trimmed,
    };
    let sign = if negative { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    Ok(format!("{sign}{whole}{point}{fraction}"))
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decimal({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_are_kept_and_exponents_written_out() {
        let cases = [
            ("68900.50", "68900.50"),
            ("0", "0"),
            ("-1.5", "-1.5"),
            ("1E-8", "0.00000001"),
            ("1.25e2", "125"),
            ("1.25e1", "12.5"),
            ("12.5e-1", "1.25"),
            ("1.50e+3", "1500"),
            ("1e0", "1"),
            ("0e5", "0"),
            ("-2.5E-3", "-0.0025"),
            ("007", "007"),
        ];
        for (text, expected) in cases {
            assert_eq!(Decimal::parse(text).unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let cases = [
            "", "-", ".", "1.", ".5", "+1", "NaN", "inf", "Infinity", "1,234.5", "0x1", "1e",
            "1e+", "e5", "1 ", " 1", "1.2.3", "--1", "١",
        ];
        for text in cases {
            assert_eq!(Decimal::parse(text), Err(DecimalError::Syntax), "{text:?}");
        }
        for text in ["1e400", "1e-400", "1e99999999999", &"9".repeat(200)] {
            assert_eq!(Decimal::parse(text), Err(DecimalError::TooLong), "{text:?}");
        }
    }

    #[test]
    fn only_numbers_above_zero_are_positive() {
        let positive = |text| Decimal::parse(text).unwrap().is_positive();
        assert!(positive("0.00000001") && positive("1") && positive("1e-30"));
        assert!(!positive("0") && !positive("0.00") && !positive("-0") && !positive("-1"));
    }

    proptest! {
        #[test]
        fn comparison_agrees_with_integers(a in -10_000_i64..10_000, b in -10_000_i64..10_000) {
            let decimal = |value: i64| Decimal::parse(&format!("{value}e-2")).unwrap();
            prop_assert_eq!(decimal(a).cmp_value(&decimal(b)), a.cmp(&b));
        }

        #[test]
        fn writing_out_keeps_the_value(mantissa in -1_000_000_i64..1_000_000, exp in -12_i32..12) {
            let text = format!("{mantissa}e{exp}");
            let written = Decimal::parse(&text).unwrap();
            let expected: f64 = text.parse().unwrap();
            prop_assert!((written.to_f64() - expected).abs() <= expected.abs() * 1e-15);
            prop_assert_eq!(Decimal::parse(written.as_str()), Ok(written.clone()));
        }
    }
}
