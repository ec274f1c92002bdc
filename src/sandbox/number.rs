//! Numbers as an exchange prints them: plain decimals with a fixed count of digits.

use serde_json::value::RawValue;

/// `value` rounded to `decimals`, trailing zeros kept, never an exponent and never `-0`.
pub(super) fn digits(value: f64, decimals: u8) -> String {
    let precision = usize::from(decimals);
    let text = format!("{value:.precision$}");
    let is_zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
    match text.strip_prefix('-') {
        Some(positive) if is_zero => positive.to_owned(),
        _ => text,
    }
}

/// The same as a JSON number literal. Going through a JSON float would lose trailing zeros.
pub(super) fn number(value: f64, decimals: u8) -> Box<RawValue> {
    literal(digits(value, decimals))
}

/// A text that is already a JSON number. What is not JSON (a NaN) becomes null.
pub(super) fn literal(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_zeros_stay_and_exponents_never_appear() {
        let cases = [
            (68_900.5, 2, "68900.50"),
            (0.000_013_42, 10, "0.0000134200"),
            (-0.001, 2, "0.00"),
            (-1.5, 3, "-1.500"),
            (1e21, 1, "1000000000000000000000.0"),
            (12.5, 0, "12"),
        ];
        for (value, decimals, expected) in cases {
            assert_eq!(digits(value, decimals), expected);
            assert_eq!(number(value, decimals).get(), expected);
        }
    }

    #[test]
    fn what_is_no_number_is_null() {
        assert_eq!(number(f64::NAN, 2).get(), "null");
    }
}
