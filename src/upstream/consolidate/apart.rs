//! How far two prices lie apart, in whole numbers: no float decides who counts. Pure.

use std::cmp::Ordering;

use crate::market::Decimal;

/// Digits that count, from the first of the largest number: a price that differs from another only
/// beyond these is the same for a distance.
const DIGITS: i32 = 24;

/// One, in millionths.
const MILLION: u128 = 1_000_000;

/// A number that is compared often: its first digits are read once.
#[derive(Debug, Clone)]
pub(super) struct Number {
    decimal: Decimal,
    /// Of a number above zero.
    size: Option<Size>,
}

#[derive(Debug, Clone, Copy)]
struct Size {
    /// The power of ten of the first digit that is not 0.
    top: i32,
    /// The first [`DIGITS`] digits from there.
    lead: u128,
    /// There are no more.
    whole: bool,
}

impl Number {
    pub(super) fn of(decimal: &Decimal) -> Self {
        let size = decimal.is_positive().then(|| Size::of(&Digits::of(decimal))).flatten();
        Self { decimal: decimal.clone(), size }
    }

    pub(super) fn decimal(&self) -> &Decimal {
        &self.decimal
    }

    /// As [`Decimal::cmp_value`], and as exact.
    pub(super) fn cmp_value(&self, other: &Self) -> Ordering {
        if let Some((mine, theirs)) = self.size.zip(other.size) {
            let by_lead = (mine.top, mine.lead).cmp(&(theirs.top, theirs.lead));
            if by_lead.is_ne() || (mine.whole && theirs.whole) {
                return by_lead;
            }
        }
        self.decimal.cmp_value(&other.decimal)
    }
}

impl Size {
    fn of(digits: &Digits<'_>) -> Option<Self> {
        let top = digits.top()?;
        let last = i32::try_from(digits.fraction.len()).ok().map(|places| -places);
        let whole = last.is_some_and(|last| last > top - DIGITS);
        Some(Self { top, lead: digits.multiple(top), whole })
    }

    /// Its digits from the power `top` down, which is not below its own.
    fn multiple(self, top: i32) -> u128 {
        match top.abs_diff(self.top) {
            0 => self.lead,
            zeros => 10_u128.checked_pow(zeros).map_or(0, |unit| self.lead / unit),
        }
    }
}

/// Whether the larger of two prices above zero is at most `ppm` millionths above the smaller.
pub(super) fn near(a: &Number, b: &Number, ppm: u64) -> bool {
    let [a, b] = match a.size.zip(b.size) {
        Some((a, b)) => {
            let top = a.top.max(b.top);
            [a.multiple(top), b.multiple(top)]
        }
        None => aligned([a.decimal(), b.decimal()]),
    };
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
        let number = |text| Number::of(&decimal(text));
        let near = |a, b| near(&number(a), &number(b), 50_000);
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
            let [one, other] = [a, b].map(|value| Number::of(&number(value)));
            prop_assert_eq!(near(&one, &other, ppm), expected);
            prop_assert_eq!(near(&other, &one, ppm), expected);
            let (small, large) = (number(a.min(b)), number(a.max(b)));
            let expected = ((high - low) * MILLION + low / 2) / low;
            prop_assert_eq!(u128::from(spread_ppm(&large, &small, &small)), expected);
        }

        #[test]
        fn what_was_read_once_compares_as_the_digits_do(
            (a, b) in ("[1-9]{0,3}[09]{0,30}", "[0-9]{0,40}", "[0-9]{0,40}").prop_map(|(same, a, b)| {
                (format!("{same}0{a}"), format!("{same}0{b}"))
            }),
            (above, below) in (-45_i32..45, -45_i32..45),
            ppm in prop_oneof![0_u64..3_000_000, any::<u64>()],
        ) {
            let read = |text: &str, exponent| Decimal::parse(&format!("{text}e{exponent}"));
            for exponents in [(above, above), (above, below)] {
                let (Ok(a), Ok(b)) = (read(&a, exponents.0), read(&b, exponents.1)) else { continue };
                let (x, y) = (Number::of(&a), Number::of(&b));
                prop_assert_eq!(x.cmp_value(&y), a.cmp_value(&b));
                let [c, d] = aligned([&a, &b]);
                let expected = c.abs_diff(d) * MILLION <= u128::from(ppm.min(PPM_MAX)) * c.min(d);
                prop_assert_eq!(near(&x, &y, ppm), expected);
            }
        }
    }
}
