//! Keeps out what cannot be true. Pure: time is an argument.
//!
//! A tick that fails is quarantined: counted and held back, never published. The last good value
//! stays and ages.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use crate::{
    market::{Decimal, Tick, Topic},
    units::Micros,
};

/// How far an upstream's clock may be ahead of ours.
const AHEAD_MAX: Micros = 300 * 1_000_000;

/// The year 2000: what is dated before it is in another unit than it is read in.
const EARLIEST: Micros = 946_684_800 * 1_000_000;

/// Fields of a price that must be above zero; a jump is measured on the first that is there.
const PRICES: [&str; 3] = ["price", "bid", "ask"];

/// Why a tick is quarantined: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A price that is not above zero, or no price at all.
    NotPositive,
    /// A move beyond the bound that no second answer has confirmed.
    Jump,
    /// Something else than the same answer has said before of the same topic and time.
    Duplicate,
    /// Older than what was accepted before.
    OutOfOrder,
    /// Dated more than five minutes from now.
    Future,
    /// Dated before the year 2000.
    Past,
    /// A price far from what other sources say: left out of the consolidated price only, and
    /// found there.
    Outlier,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 7] = [
        Self::NotPositive,
        Self::Jump,
        Self::Duplicate,
        Self::OutOfOrder,
        Self::Future,
        Self::Past,
        Self::Outlier,
    ];

    /// The name in metric labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotPositive => "not_positive",
            Self::Jump => "jump",
            Self::Duplicate => "duplicate",
            Self::OutOfOrder => "out_of_order",
            Self::Future => "future",
            Self::Past => "past",
            Self::Outlier => "outlier",
        }
    }
}

/// How readings come to a feed. Each way has a time of its own: two of them may lag behind their
/// venue by different spans, or date by different rules, so that only what comes by the same one is
/// out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// By answers, or as a client says it.
    #[default]
    Answers,
    /// By the connection of this number.
    Connection(u64),
}

/// Remembers, for each topic of a feed, what was accepted last.
#[derive(Debug)]
pub struct Validator {
    jump_max_pct: f64,
    seen: HashMap<Topic, Seen>,
    /// The number of the answer that is being checked.
    answer: u64,
    /// How it comes.
    way: Way,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Seen {
    price: Option<Decimal>,
    ts: Option<Micros>,
    /// How the tick of that time came.
    way: Way,
    /// A price beyond the bound, and the answer it came in, which waits for another answer with
    /// one like it.
    suspect: Option<(Decimal, u64)>,
    /// The answer that the last accepted tick came in, and a hash of its data.
    last: Option<(u64, u64)>,
}

impl Validator {
    /// Nothing accepted yet: the first value of a topic is taken as it is.
    pub fn new(jump_max_pct: f64) -> Self {
        Self {
            jump_max_pct,
            seen: HashMap::new(),
            answer: 0,
            way: Way::default(),
            hasher: RandomState::new(),
        }
    }

    /// What is checked from now on comes from another answer.
    pub fn next_answer(&mut self) {
        self.answer += 1;
    }

    /// What is checked from now on comes by `way`.
    pub fn comes_by(&mut self, way: Way) {
        self.way = way;
    }

    /// Whether `tick` is dated before what has been accepted by another way: that is no fault, and
    /// nothing to replace what is newer. It is to be passed over.
    pub fn is_behind(&self, tick: &Tick) -> bool {
        let Some(seen) = self.seen.get(&tick.topic).filter(|seen| seen.way != self.way) else {
            return false;
        };
        let (Some(ts), Some(last)) = (tick.ts, seen.ts) else { return false };
        (EARLIEST..last).contains(&ts)
    }

    /// Accepts `tick` and remembers it.
    ///
    /// # Errors
    /// The fault for which it must not be published.
    pub fn check(&mut self, tick: &Tick, now: Micros) -> Result<(), Fault> {
        if tick.ts.is_some_and(|ts| ts > now.saturating_add(AHEAD_MAX)) {
            return Err(Fault::Future);
        }
        if tick.ts.is_some_and(|ts| ts < EARLIEST) {
            return Err(Fault::Past);
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
        let data = self.hasher.hash_one(&tick.data);
        if let Some((answer, before)) = seen.last
            && (answer, seen.ts) == (self.answer, tick.ts)
        {
            // Said twice is said once; of two that differ nothing tells which is right.
            return if data == before { Ok(()) } else { Err(Fault::Duplicate) };
        }
        if let Some(price) = price {
            seen.accept(price, self.jump_max_pct, self.answer)?;
        }
        seen.last = Some((self.answer, data));
        if tick.ts.is_some() {
            (seen.ts, seen.way) = (tick.ts, self.way);
        }
        Ok(())
    }
}

impl Seen {
    fn accept(&mut self, price: &Decimal, jump_max_pct: f64, answer: u64) -> Result<(), Fault> {
        let near = |other: &Decimal| within(other, price, jump_max_pct);
        // An answer that repeats itself confirms nothing.
        let confirmed =
            self.suspect.as_ref().is_some_and(|(suspect, of)| *of != answer && near(suspect));
        if confirmed || self.price.as_ref().is_none_or(near) {
            self.price = Some(price.clone());
            self.suspect = None;
            return Ok(());
        }
        self.suspect = Some((price.clone(), answer));
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

    const NOW: Micros = 1_790_000_000 * 1_000_000;

    fn tick(price: &str, ts: Option<Micros>) -> Tick {
        Tick {
            topic: Topic::parse("price.BTC-USD.test").unwrap(),
            data: Data::new().with("price", Decimal::parse(price).unwrap()),
            ts,
        }
    }

    /// The price that an answer of its own holds.
    fn check(validator: &mut Validator, price: &str) -> Result<(), Fault> {
        validator.next_answer();
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
        let now = NOW;
        assert_eq!(validator.check(&tick("5", Some(now)), now), Ok(()));
        validator.next_answer();
        // The same time and another price: a source that dates to the second.
        assert_eq!(validator.check(&tick("6", Some(now)), now), Ok(()));
        let late = validator.check(&tick("5", Some(now - 1)), now);
        assert_eq!(late, Err(Fault::OutOfOrder));
        let ahead = validator.check(&tick("5", Some(now + AHEAD_MAX + 1)), now);
        assert_eq!(ahead, Err(Fault::Future));
        assert_eq!(validator.check(&tick("5", Some(now + 1)), now), Ok(()));
    }

    #[test]
    fn what_comes_by_another_way_is_passed_over_while_it_is_behind_and_is_no_fault() {
        let mut validator = Validator::new(50.0);
        validator.comes_by(Way::Connection(1));
        assert_eq!(validator.check(&tick("5", Some(NOW)), NOW), Ok(()));
        assert!(!validator.is_behind(&tick("5", Some(NOW - 1))), "out of order, rather");
        for way in [Way::Answers, Way::Connection(2)] {
            validator.comes_by(way);
            assert!(validator.is_behind(&tick("5", Some(NOW - 1))));
            assert!(!validator.is_behind(&tick("5", Some(NOW))));
            assert!(!validator.is_behind(&tick("5", Some(0))), "a wrong unit is a fault");
            assert!(!validator.is_behind(&tick("5", None)));
        }
        validator.next_answer();
        assert_eq!(validator.check(&tick("6", Some(NOW + 1)), NOW), Ok(()));
        assert!(!validator.is_behind(&tick("5", Some(NOW))));
        assert_eq!(validator.check(&tick("5", Some(NOW)), NOW), Err(Fault::OutOfOrder));
    }

    #[test]
    fn a_time_in_the_wrong_unit_is_held_back_and_leaves_no_trace() {
        let mut validator = Validator::new(50.0);
        for (ts, fault) in [
            (NOW / 1_000_000, Fault::Past),
            (NOW / 1_000, Fault::Past),
            (0, Fault::Past),
            (-1, Fault::Past),
            (Micros::MIN, Fault::Past),
            (NOW.saturating_mul(1_000), Fault::Future),
            // The year 2262, where nanoseconds end, and the end of all microseconds.
            (9_223_372_036_854_775, Fault::Future),
            (Micros::MAX, Fault::Future),
        ] {
            validator.next_answer();
            assert_eq!(validator.check(&tick("5", Some(ts)), NOW), Err(fault), "{ts}");
        }
        assert_eq!(validator.check(&tick("5", Some(NOW)), NOW), Ok(()));
    }

    #[test]
    fn an_answer_that_contradicts_itself_is_believed_once() {
        let mut validator = Validator::new(50.0);
        for ts in [None, Some(NOW)] {
            validator.next_answer();
            assert_eq!(validator.check(&tick("100", ts), NOW), Ok(()));
            assert_eq!(validator.check(&tick("100", ts), NOW), Ok(()));
            assert_eq!(validator.check(&tick("101", ts), NOW), Err(Fault::Duplicate));
            assert_eq!(validator.check(&tick("100", ts), NOW), Ok(()));
        }
        // A later reading in the same answer is no contradiction.
        assert_eq!(validator.check(&tick("101", Some(NOW + 1)), NOW), Ok(()));
    }

    #[test]
    fn an_answer_that_repeats_a_jump_does_not_confirm_it() {
        let mut validator = Validator::new(50.0);
        assert_eq!(check(&mut validator, "100"), Ok(()));
        validator.next_answer();
        for _ in 0..3 {
            assert_eq!(validator.check(&tick("9000", None), 0), Err(Fault::Jump));
        }
        assert_eq!(check(&mut validator, "9001"), Ok(()));
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
