//! How far two prices lie apart, in whole numbers: no float decides who counts. Pure.

use crate::market::Decimal;

/// Digits that count, from the first of the largest number: a price that differs from another only
/// beyond these is the same for a distance.
const DIGITS: i32 = 24;

/// One, in millionths.
const MILLION: u128 = 1_000_000;

/// Whether the larger of two prices above zero is at most `ppm` millionths above the smaller.
pub(super) fn near(a: &Decimal, b: &Decimal, ppm: u64) -> bool {
    let [a, b] = aligned([a, b]);
    a.abs_diff(b) * MILLION <= u128::from(ppm.min(PPM_MAX)) * a.min(b)
}

/// Farther apart than this is not told: a factor of ten million.
pub(super) const PPM_MAX: u64 = 10_000_000_000_000;

/// How far `high` lies above `low`, in millionths of `price`, to the nearest.
pub(super) fn spread_ppm(high: &Decimal, low: &Decimal, price: &Decimal) -> u64 {
    let [high, low, price] = aligned([high, low, price]);
    let apart = high.saturating_sub(low) * MILLION;
    let ppm = (apart + price / 2).checked_div(price).unwrap_or(u128::from(PPM_MAX));
    u64::try_from(ppm).unwrap_or(PPM_MAX).min(PPM_MAX)
}

/// Numbers above zero as multiples of one unit, of which the largest has [`DIGITS`] digits.
fn aligned<const N: usize>(numbers: [&Decimal; N]) -> [u128; N] {
    let parts = numbers.map(Digits::of);
    let top = parts.iter().filter_map(Digits::top).max().unwrap_or(0);
    parts.map(|digits| digits.multiple(top))
}

/// A number's digits before and after the point.
struct Digits<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Digits<'a> {
    fn of(number: &'a Decimal) -> Self {
        let text = number.as_str();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        Self { whole: whole.trim_start_matches('0').as_bytes(), fraction: fraction.as_bytes() }
    }

    /// The power of ten of the first digit that is not 0.
    fn top(&self) -> Option<i32> {
        let power = |count: usize| i32::try_from(count).ok();
        if !self.whole.is_empty() {
            return Some(power(self.whole.len())? - 1);
        }
        let zeros = self.fraction.iter().position(|digit| *digit != b'0')?;
        Some(-power(zeros)? - 1)
    }

    /// The digit of a power of ten.
    fn digit(&self, power: i32) -> u128 {
        let digit = if power >= 0 {
            usize::try_from(power)
                .ok()
                .and_then(|power| self.whole.len().checked_sub(power + 1))
                .and_then(|at| self.whole.get(at))
        } else {
            usize::try_from(-power - 1).ok().and_then(|at| self.fraction.get(at))
        };
        digit.map_or(0, |digit| u128::from(digit.saturating_sub(b'0')))
    }

    /// Its digits from the power `top` down, as one number.
    fn multiple(&self, top: i32) -> u128 {
        (top + 1 - DIGITS..=top).rev().fold(0, |number, power| number * 10 + self.digit(power))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn the_bound_itself_is_near() {
        let near = |a, b| near(&decimal(a), &decimal(b), 50_000);
        assert!(near("100", "105") && near("105.00", "100") && near("0.1", "0.105"));
        assert!(!near("100", "105.0000000001") && !near("95", "100") && near("95.3", "100"));
        assert!(near("0.00000000000000000001", "0.000000000000000000010"));
        assert!(!near("1e60", "1e-30") && near("7e80", "7e80"));
    }

    #[test]
    fn a_spread_is_rounded_to_a_millionth() {
        let spread = |high, low, price| spread_ppm(&decimal(high), &decimal(low), &decimal(price));
        assert_eq!(spread("100.1", "100", "100"), 1_000);
        assert_eq!(spread("100.00005", "100", "100"), 1);
        assert_eq!(spread("100.00004", "100", "100"), 0);
        assert_eq!(spread("300", "100", "200"), 1_000_000);
        assert_eq!(spread("0.0000000003", "0.0000000001", "0.0000000002"), 1_000_000);
        assert_eq!(spread("1e60", "1e-30", "1e-30"), PPM_MAX);
    }

    proptest! {
        #[test]
        fn distance_agrees_with_whole_numbers(
            a in 1_u32.., b in 1_u32.., exponent in -30_i32..30, ppm in 0_u64..3_000_000,
        ) {
            let number = |value: u32| decimal(&format!("{value}e{exponent}"));
            let (low, high) = (u128::from(a.min(b)), u128::from(a.max(b)));
            let expected = (high - low) * MILLION <= u128::from(ppm) * low;
            prop_assert_eq!(near(&number(a), &number(b), ppm), expected);
            prop_assert_eq!(near(&number(b), &number(a), ppm), expected);
            let (small, large) = (number(a.min(b)), number(a.max(b)));
            let expected = ((high - low) * MILLION + low / 2) / low;
            prop_assert_eq!(u128::from(spread_ppm(&large, &small, &small)), expected);
        }
    }
}
