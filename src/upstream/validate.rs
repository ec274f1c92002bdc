//! Keeps out what cannot be true. Pure: time is an argument.
//!
//! A tick that fails is quarantined: counted and held back, never published. The last good value
//! stays and ages.

use std::collections::HashMap;

use crate::{
    market::{Decimal, Tick, Topic},
    units::Micros,
};

/// How far an upstream's clock may be ahead of ours.
const AHEAD_MAX: Micros = 300 * 1_000_000;

/// Fields of a price that must be above zero; a jump is measured on the first that is there.
const PRICES: [&str; 3] = ["price", "bid", "ask"];

/// Why a tick is quarantined: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A price that is not above zero, or no price at all.
    NotPositive,
    /// A move beyond the bound that no second poll has confirmed.
    Jump,
    /// Older than what was accepted before.
    OutOfOrder,
    /// Dated more than five minutes from now.
    Future,
    /// A price far from what other sources say: left out of the consolidated price only, and
    /// found there.
    Outlier,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 5] =
        [Self::NotPositive, Self::Jump, Self::OutOfOrder, Self::Future, Self::Outlier];

    /// The name in metric labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotPositive => "not_positive",
            Self::Jump => "jump",
            Self::OutOfOrder => "out_of_order",
            Self::Future => "future",
            Self::Outlier => "outlier",
        }
    }
}

/// Remembers, for each topic of a feed, what was accepted last.
#[derive(Debug)]
pub struct Validator {
    jump_max_pct: f64,
    seen: HashMap<Topic, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    price: Option<Decimal>,
    ts: Option<Micros>,
    /// A price beyond the bound that waits for a second one like it.
    suspect: Option<Decimal>,
}

impl Validator {
    /// Nothing accepted yet: the first value of a topic is taken as it is.
    pub fn new(jump_max_pct: f64) -> Self {
        Self { jump_max_pct, seen: HashMap::new() }
    }

    /// Accepts `tick` and remembers it.
    ///
    /// # Errors
    /// The fault for which it must not be published.
    pub fn check(&mut self, tick: &Tick, now: Micros) -> Result<(), Fault> {
        if tick.ts.is_some_and(|ts| ts > now.saturating_add(AHEAD_MAX)) {
            return Err(Fault::Future);
        }
        let price = price(tick)?;
        if !self.seen.contains_key(&tick.topic) {
            self.seen.insert(tick.topic.clone(), Seen::default());
        }
        let Some(seen) = self.seen.get_mut(&tick.topic) else {
            return Ok(());
        };
        if let (Some(ts), Some(last)) = (tick.ts, seen.ts)
            && ts < last
        {
            return Err(Fault::OutOfOrder);
        }
        if let Some(price) = price {
            seen.accept(price, self.jump_max_pct)?;
        }
        seen.ts = tick.ts.or(seen.ts);
        Ok(())
    }
}

impl Seen {
    fn accept(&mut self, price: &Decimal, jump_max_pct: f64) -> Result<(), Fault> {
        let near = |other: &Decimal| within(other, price, jump_max_pct);
        let confirmed = self.suspect.as_ref().is_some_and(near);
        if confirmed || self.price.as_ref().is_none_or(near) {
            self.price = Some(price.clone());
            self.suspect = None;
            return Ok(());
        }
        self.suspect = Some(price.clone());
        Err(Fault::Jump)
    }
}

/// The price by which a jump is measured; `None` for a topic that is no price.
fn price(tick: &Tick) -> Result<Option<&Decimal>, Fault> {
    if tick.topic.kind() != "price" {
        return Ok(None);
    }
    let mut first = None;
    for name in PRICES {
        match (tick.data.get(name), tick.data.decimal(name)) {
            (None, _) => {}
            (Some(_), Some(price)) if price.is_positive() => first = first.or(Some(price)),
            (Some(_), _) => return Err(Fault::NotPositive),
        }
    }
    first.ok_or(Fault::NotPositive).map(Some)
}

/// Whether `to` lies within `pct` per cent of `from`.
fn within(from: &Decimal, to: &Decimal, pct: f64) -> bool {
    if from.cmp_value(to).is_eq() {
        return true;
    }
    let (from, to) = (from.to_f64(), to.to_f64());
    ((to - from) / from * 100.0).abs() <= pct
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::market::{Data, Value};

    fn tick(price: &str, ts: Option<Micros>) -> Tick {
        Tick {
            topic: Topic::parse("price.BTC-USD.test").unwrap(),
            data: Data::new().with("price", Decimal::parse(price).unwrap()),
            ts,
        }
    }

    fn check(validator: &mut Validator, price: &str) -> Result<(), Fault> {
        validator.check(&tick(price, None), 0)
    }

    #[test]
    fn only_positive_prices_pass() {
        let mut validator = Validator::new(50.0);
        for price in ["0", "-1", "0.000"] {
            assert_eq!(check(&mut validator, price), Err(Fault::NotPositive));
        }
        let mut crossed = tick("5", None);
        crossed.data.push("bid", Decimal::parse("0").unwrap());
        assert_eq!(validator.check(&crossed, 0), Err(Fault::NotPositive));
        let mut text = tick("5", None);
        text.data.push("ask", Value::Text("NaN".into()));
        assert_eq!(validator.check(&text, 0), Err(Fault::NotPositive));
        assert_eq!(check(&mut validator, "0.00000001"), Ok(()));
    }

    #[test]
    fn what_is_no_price_may_be_zero_or_below() {
        let mut zero = tick("-3", None);
        zero.topic = Topic::parse("signal.BTC-USD.rsi").unwrap();
        assert_eq!(Validator::new(50.0).check(&zero, 0), Ok(()));
    }

    #[test]
    fn a_jump_waits_for_a_second_value_like_it() {
        let mut validator = Validator::new(50.0);
        assert_eq!(check(&mut validator, "100"), Ok(()));
        assert_eq!(check(&mut validator, "150"), Ok(()));
        assert_eq!(check(&mut validator, "1500"), Err(Fault::Jump));
        assert_eq!(check(&mut validator, "15"), Err(Fault::Jump));
        assert_eq!(check(&mut validator, "16"), Ok(()));
        assert_eq!(check(&mut validator, "16.5"), Ok(()));
    }

    #[test]
    fn a_single_spike_never_passes_and_leaves_no_trace() {
        let mut validator = Validator::new(50.0);
        assert_eq!(check(&mut validator, "100"), Ok(()));
        for _ in 0..3 {
            assert_eq!(check(&mut validator, "10000"), Err(Fault::Jump));
            assert_eq!(check(&mut validator, "101"), Ok(()));
        }
    }

    #[test]
    fn time_neither_goes_back_nor_runs_ahead() {
        let mut validator = Validator::new(50.0);
        let now = 1_000_000_000;
        assert_eq!(validator.check(&tick("5", Some(now)), now), Ok(()));
        assert_eq!(validator.check(&tick("5", Some(now)), now), Ok(()));
        let late = validator.check(&tick("5", Some(now - 1)), now);
        assert_eq!(late, Err(Fault::OutOfOrder));
        let ahead = validator.check(&tick("5", Some(now + AHEAD_MAX + 1)), now);
        assert_eq!(ahead, Err(Fault::Future));
        assert_eq!(validator.check(&tick("5", Some(now + 1)), now), Ok(()));
    }

    proptest! {
        #[test]
        fn two_accepted_neighbours_differ_by_more_than_the_bound_only_when_confirmed(
            prices in proptest::collection::vec(1_u32..1_000, 1..100),
        ) {
            let mut validator = Validator::new(50.0);
            let mut accepted: Option<f64> = None;
            let mut before: Option<f64> = None;
            for price in prices {
                let value = f64::from(price);
                if check(&mut validator, &price.to_string()).is_ok() {
                    let near = |other: Option<f64>| {
                        other.is_none_or(|other| ((value - other) / other).abs() <= 0.5)
                    };
                    prop_assert!(near(accepted) || near(before));
                    accepted = Some(value);
                }
                before = Some(value);
            }
        }
    }
}
