//! The consolidator against a plain reading of its rules, over random histories.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::rig::{FEEDS, OPEN, RATE_LIMITED, Rig, topic};
use crate::{market::State, upstream::config::ConsolidateConfig};

/// In the order of failover: `prefer` names `c` and `slow`.
const ORDER: [&str; 4] = ["c", "slow", "a", "b"];

const WEIGHTS: [u64; 4] = [1, 1, 1, 2];

const QUOTES: [&str; 2] = ["USD", "USDT"];

#[derive(Debug, Clone)]
enum Step {
    /// A feed, by its place in the order, says a price in cents of one of the two quotes.
    Offer(usize, usize, u64),
    /// It cannot confirm; `true`: its breaker is open.
    Trouble(usize, usize, bool),
    /// So many seconds pass.
    Pass(i64),
}

#[derive(Debug, Clone, Copy)]
struct Said {
    cents: u64,
    at: i64,
    blocked: bool,
}

/// What was said last, by place in the order and by quote.
type Word = BTreeMap<(usize, usize), Said>;

fn step() -> impl Strategy<Value = Step> {
    let cents = prop_oneof![8 => 9_800_u64..10_200, 1 => 9_000_u64..11_000, 1 => 1_u64..100_000];
    prop_oneof![
        6 => (0..4_usize, 0..2_usize, cents).prop_map(|(feed, quote, cents)| Step::Offer(feed, quote, cents)),
        1 => (0..4_usize, 0..2_usize, any::<bool>())
            .prop_map(|(feed, quote, open)| Step::Trouble(feed, quote, open)),
        3 => (1_i64..12).prop_map(Step::Pass),
        1 => (12_i64..200).prop_map(Step::Pass),
    ]
}

fn stale_after(feed: usize) -> i64 {
    FEEDS.iter().find(|(name, _)| *name == ORDER[feed]).unwrap().1
}

/// The digits tell the quote: nothing of one can pass for the other.
fn digits(cents: u64, quote: usize) -> String {
    format!("{}.{:02}{}", cents / 100, cents % 100, quote + 1)
}

/// The price in thousandths, as `digits` has it.
fn thousandths(cents: u64, quote: usize) -> u64 {
    cents * 10 + quote as u64 + 1
}

/// Feed, quote and price of those that speak for `quote`: each feed once, its own quote first.
fn live(word: &Word, quote: usize, merged: bool, now: i64) -> Vec<(usize, usize, u64)> {
    let mut live = Vec::new();
    for feed in 0..ORDER.len() {
        let quotes = if quote == 0 && merged { vec![0, 1] } else { vec![quote] };
        let speaks = |quote: &usize| {
            let said = word.get(&(feed, *quote))?;
            let fresh = !said.blocked && now - said.at < stale_after(feed);
            fresh.then(|| (feed, *quote, thousandths(said.cents, *quote)))
        };
        live.extend(quotes.iter().find_map(speaks));
    }
    live
}

fn weigh(all: &[(usize, usize, u64)]) -> u64 {
    all.iter().map(|(feed, ..)| WEIGHTS[*feed]).sum()
}

fn median(all: &[(usize, usize, u64)]) -> (usize, usize, u64) {
    let upto =
        |price: u64| -> Vec<_> { all.iter().copied().filter(|one| one.2 <= price).collect() };
    let halves = all.iter().filter(|one| 2 * weigh(&upto(one.2)) >= weigh(all));
    *halves.min_by_key(|one| (one.2, one.0)).unwrap()
}

fn agree(a: u64, b: u64, per_cent: u64) -> bool {
    a.abs_diff(b) * 100 <= per_cent * a.min(b)
}

/// The feeds and quotes that were left out last.
type Out = BTreeSet<(usize, usize)>;

/// Who speaks, and of how many.
fn verdict(live: &[(usize, usize, u64)], out: &mut Out) -> Option<((usize, usize, u64), usize)> {
    let was_out = std::mem::take(out);
    let mut counted = live.to_vec();
    match live {
        [] => return None,
        [first, second]
            if WEIGHTS[first.0] == WEIGHTS[second.0] && !agree(first.2, second.2, 5) =>
        {
            // Two are preferred.
            return Some((if first.0 < 2 { *first } else { median(live) }, 2));
        }
        [_] | [_, _] => {}
        _ => {
            let middle = median(live).2;
            // Who was out comes back within 4 per cent; where too few are left, within 5.
            for back in [4, 5] {
                let bound = |one: &(usize, usize, u64)| {
                    if was_out.contains(&(one.0, one.1)) { back } else { 5 }
                };
                let (near, far): (Vec<_>, Vec<_>) =
                    live.iter().partition(|one| agree(one.2, middle, bound(one)));
                if 2 * weigh(&near) > weigh(live) {
                    counted = near;
                    *out = far.iter().map(|one| (one.0, one.1)).collect();
                    break;
                }
            }
        }
    }
    Some((median(&counted), counted.len()))
}

/// As live as the best.
fn state(word: &Word, quote: usize, merged: bool, now: i64) -> State {
    let counts = |key: &(usize, usize)| key.1 == quote || (quote == 0 && merged);
    let of_one = |(key, said): (&(usize, usize), &Said)| match now - said.at {
        _ if said.blocked => State::Down,
        age if age < stale_after(key.0) => State::Live,
        age if age < 3 * stale_after(key.0) => State::Stale,
        _ => State::Down,
    };
    word.iter().filter(|(key, _)| counts(key)).map(of_one).min().unwrap_or(State::Down)
}

fn config(merged: bool) -> ConsolidateConfig {
    let quote_as = [("USDT".to_owned(), "USD".to_owned())].into_iter().filter(|_| merged);
    ConsolidateConfig {
        quote_as: quote_as.collect(),
        prefer: vec!["c".to_owned(), "slow".to_owned()],
        weights: [("b".to_owned(), 2)].into(),
        ..ConsolidateConfig::default()
    }
}

/// Does `step` to both.
fn take(step: &Step, rig: &Rig, word: &mut Word, now: &mut i64) {
    match *step {
        Step::Offer(feed, quote, cents) => {
            let symbol = format!("BTC-{}", QUOTES[quote]);
            let price = digits(cents, quote);
            rig.offer_all(&symbol, ORDER[feed], &[("price", &price)], *now);
            word.insert((feed, quote), Said { cents, at: *now, blocked: false });
        }
        Step::Trouble(feed, quote, open) => {
            let topic = topic(&format!("BTC-{}", QUOTES[quote]), ORDER[feed]);
            let trouble = if open { OPEN } else { RATE_LIMITED };
            rig.consolidator.trouble(&topic, &ORDER[feed].into(), trouble, *now * 1_000_000);
            if let Some(said) = word.get_mut(&(feed, quote)) {
                said.blocked |= open;
            }
        }
        Step::Pass(secs) => {
            *now += secs;
            rig.sweep(*now);
        }
    }
}

proptest! {
    #[test]
    fn it_says_what_a_plain_reading_of_its_rules_says(
        steps in vec(step(), 1..60),
        merged in any::<bool>(),
    ) {
        let rig = Rig::new(config(merged));
        let (mut word, mut now) = (Word::new(), 0);
        let mut last = [None, None];
        let mut seqs = [0, 0];
        let mut out = [Out::new(), Out::new()];
        for step in &steps {
            take(step, &rig, &mut word, &mut now);
            for (quote, name) in QUOTES.iter().enumerate() {
                let live = live(&word, quote, merged, now);
                let said = verdict(&live, &mut out[quote]).map(|((feed, from, _), sources)| {
                    let said = word[&(feed, from)];
                    (ORDER[feed].to_owned(), digits(said.cents, from), sources as u64, said.at)
                });
                // What was said last stays when nobody is left to say anything.
                last[quote] = said.or(last[quote].take());
                let Some((source, price, sources, at)) = &last[quote] else { continue };
                let symbol = format!("BTC-{name}");
                let shown = rig.shown(&symbol);
                prop_assert_eq!((&shown.source, shown.data["price"].as_str()), (source, Some(price.as_str())));
                prop_assert_eq!(shown.data["sources"].as_u64(), Some(*sources));
                let status = rig.status(&symbol, now);
                prop_assert_eq!(status.state, state(&word, quote, merged, now), "at {}", now);
                let age = u64::try_from((now - at) * 1_000).unwrap();
                prop_assert_eq!((status.age_ms, &*status.source.unwrap()), (Some(age), source.as_str()));
                prop_assert!(shown.seq >= seqs[quote] && shown.seq <= seqs[quote] + 1);
                seqs[quote] = shown.seq;
                if !merged && quote == 0 {
                    prop_assert!(price.ends_with('1'), "a price of USDT in USD: {price}");
                }
            }
        }
    }
}
