//! Which of several prices speaks for all, and which is left out. Pure: it neither knows the time
//! nor who the sources are, only what the live ones say, in the order of failover.
//!
//! The price is the **lower weighted median**: sorted by price, the first at which the weights so
//! far are half of all. It is always one source's own digits, and no minority can move it away from
//! what the others say. Of equal prices the first in order speaks, so that the choice stays where
//! it is.
//!
//! A price that lies farther from the median than the bound is an **outlier** and does not count:
//! the median is taken again without it. That needs three prices, of which those near the median
//! weigh more than half; otherwise nobody can say who is wrong, and everybody counts. An outlier comes
//! back only within four fifths of the bound, so that one that keeps to the very bound does not come
//! and go with each answer; unless the others alone would be too few. The median of
//! two is the lower, unless they weigh the same and lie farther apart than the bound: then the one
//! that the operator prefers speaks.

use super::apart::{Number, near, spread_ppm};

/// What one live source says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vote<'a> {
    /// Its price; one that has none, only a bid and an ask, has no say in the price.
    pub price: Option<&'a Number>,
    /// The highest that a buyer offers there.
    pub bid: Option<&'a Number>,
    /// The lowest that a seller asks there.
    pub ask: Option<&'a Number>,
    /// How much its price counts.
    pub weight: u32,
    /// Whether it is named in the order of failover.
    pub preferred: bool,
    /// Whether it was left out by the verdict before.
    pub excluded: bool,
}

/// What it comes to. Votes are named by their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whose price it is.
    pub chosen: usize,
    /// How many prices count.
    pub sources: usize,
    /// Whose price does not count, in order.
    pub excluded: Vec<usize>,
    /// Who has the highest bid.
    pub bid: Option<usize>,
    /// Who has the lowest ask.
    pub ask: Option<usize>,
    /// How far the prices that count lie apart, in millionths of the chosen one.
    pub spread_ppm: Option<u64>,
}

/// A price and who says it.
#[derive(Debug, Clone, Copy)]
struct Said<'a> {
    by: usize,
    price: &'a Number,
    weight: u64,
    excluded: bool,
}

/// Judges `votes`, in the order of failover; prices farther apart than `bound_ppm` millionths do not
/// agree. `None` without votes.
pub(super) fn judge(votes: &[Vote<'_>], bound_ppm: u64) -> Option<Verdict> {
    let mut said: Vec<Said<'_>> = votes.iter().enumerate().filter_map(Said::of).collect();
    said.sort_unstable_by(|a, b| a.price.cmp_value(b.price).then(a.by.cmp(&b.by)));
    let Some(middle) = median(&said) else {
        // Nobody has a price: the first in order speaks, with what it has.
        return votes.first().map(|first| Verdict {
            chosen: 0,
            sources: votes.len(),
            excluded: Vec::new(),
            bid: first.bid.map(|_| 0),
            ask: first.ask.map(|_| 0),
            spread_ppm: None,
        });
    };
    let excluded = outliers(&said, middle, bound_ppm);
    if !excluded.is_empty() {
        said.retain(|one| excluded.binary_search(&one.by).is_err());
    }
    let chosen = preferred_of_two(&said, votes, bound_ppm).or_else(|| median(&said))?;
    let spread = said.first().zip(said.last());
    let (bid, ask) = quotes(votes, &chosen, &excluded, bound_ppm);
    Some(Verdict {
        chosen: chosen.by,
        sources: said.len(),
        excluded,
        bid,
        ask,
        spread_ppm: spread.map(|(low, high)| {
            spread_ppm(high.price.decimal(), low.price.decimal(), chosen.price.decimal())
        }),
    })
}

impl<'a> Said<'a> {
    fn of((by, vote): (usize, &Vote<'a>)) -> Option<Self> {
        let (weight, excluded) = (u64::from(vote.weight), vote.excluded);
        vote.price.map(|price| Self { by, price, weight, excluded })
    }
}

/// The lower weighted median of what is sorted; of equal prices the first in order.
fn median<'a>(said: &[Said<'a>]) -> Option<Said<'a>> {
    let total: u64 = said.iter().map(|one| one.weight).sum();
    let mut below = 0;
    let middle = said.iter().find(|one| {
        below += one.weight;
        2 * below >= total
    })?;
    said.iter().find(|one| one.price.cmp_value(middle.price).is_eq()).copied()
}

/// Who lies too far from the median, where most agree on it; in order of failover.
fn outliers(said: &[Said<'_>], middle: Said<'_>, bound_ppm: u64) -> Vec<usize> {
    if said.len() < 3 {
        return Vec::new();
    }
    let total: u64 = said.iter().map(|one| one.weight).sum();
    // Those beyond, where the others weigh more than half.
    let beyond = |back_ppm: u64| {
        let mut left_out = Vec::new();
        let mut agreeing = 0;
        for one in said {
            if near(one.price, middle.price, if one.excluded { back_ppm } else { bound_ppm }) {
                agreeing += one.weight;
            } else {
                left_out.push(one.by);
            }
        }
        left_out.sort_unstable();
        (2 * agreeing > total).then_some(left_out)
    };
    beyond(bound_ppm - bound_ppm / 5).or_else(|| beyond(bound_ppm)).unwrap_or_default()
}

/// Of two that weigh the same and do not agree, the one that is preferred, if one is.
fn preferred_of_two<'a>(said: &[Said<'a>], votes: &[Vote<'_>], bound_ppm: u64) -> Option<Said<'a>> {
    let [low, high] = said else { return None };
    if low.weight != high.weight || near(low.price, high.price, bound_ppm) {
        return None;
    }
    let first = if low.by < high.by { low } else { high };
    votes.get(first.by)?.preferred.then_some(*first)
}

/// Who has the best bid and ask of all that count. Markets apart from each other may cross: then it
/// is the chosen one's own bid and ask, unless they cross as well.
fn quotes(
    votes: &[Vote<'_>],
    chosen: &Said<'_>,
    excluded: &[usize],
    bound_ppm: u64,
) -> (Option<usize>, Option<usize>) {
    let mut bid: Option<(usize, &Number)> = None;
    let mut ask: Option<(usize, &Number)> = None;
    // Without a price it has not been judged yet.
    let fits = |vote: &Vote<'_>, quote: &Number| {
        vote.price.is_some() || near(quote, chosen.price, bound_ppm)
    };
    for (index, vote) in votes.iter().enumerate() {
        if excluded.binary_search(&index).is_ok() {
            continue;
        }
        if let Some(own) = vote.bid.filter(|own| fits(vote, own))
            && bid.is_none_or(|(_, best)| own.cmp_value(best).is_gt())
        {
            bid = Some((index, own));
        }
        if let Some(own) = vote.ask.filter(|own| fits(vote, own))
            && ask.is_none_or(|(_, best)| own.cmp_value(best).is_lt())
        {
            ask = Some((index, own));
        }
    }
    if !crossed(bid.map(|(_, bid)| bid), ask.map(|(_, ask)| ask)) {
        return (bid.map(|(index, _)| index), ask.map(|(index, _)| index));
    }
    match votes.get(chosen.by) {
        Some(own) if !crossed(own.bid, own.ask) => {
            (own.bid.map(|_| chosen.by), own.ask.map(|_| chosen.by))
        }
        _ => (None, None),
    }
}

fn crossed(bid: Option<&Number>, ask: Option<&Number>) -> bool {
    bid.zip(ask).is_some_and(|(bid, ask)| bid.cmp_value(ask).is_gt())
}

#[cfg(test)]
mod tests;
