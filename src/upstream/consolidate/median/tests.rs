use std::cmp::Ordering;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::market::Decimal;

/// Five per cent.
const BOUND: u64 = 50_000;

#[derive(Debug, Clone)]
struct Source {
    price: Option<Number>,
    bid: Option<Number>,
    ask: Option<Number>,
    weight: u32,
    preferred: bool,
    excluded: bool,
}

impl Source {
    fn vote(&self) -> Vote<'_> {
        let (price, bid, ask) = (self.price.as_ref(), self.bid.as_ref(), self.ask.as_ref());
        let Self { weight, preferred, excluded, .. } = *self;
        Vote { price, bid, ask, weight, preferred, excluded }
    }
}

fn decimal(text: &str) -> Number {
    Number::of(&Decimal::parse(text).unwrap())
}

fn at(price: &str) -> Source {
    quoting(price, "", "")
}

fn quoting(price: &str, bid: &str, ask: &str) -> Source {
    let read = |text: &str| (!text.is_empty()).then(|| decimal(text));
    Source {
        price: read(price),
        bid: read(bid),
        ask: read(ask),
        weight: 1,
        preferred: false,
        excluded: false,
    }
}

fn judged(sources: &[Source]) -> Verdict {
    let votes: Vec<_> = sources.iter().map(Source::vote).collect();
    judge(&votes, BOUND).unwrap()
}

fn price(sources: &[Source]) -> &str {
    sources[judged(sources).chosen].price.as_ref().unwrap().decimal().as_str()
}

fn prices(prices: &[&str]) -> Vec<Source> {
    prices.iter().map(|price| at(price)).collect()
}

#[test]
fn it_is_the_lower_median() {
    assert!(judge(&[], BOUND).is_none());
    for (given, expected) in [
        (&["100"][..], "100"),
        (&["101", "100"], "100"),
        (&["102", "100", "101"], "101"),
        (&["103", "100", "102", "101"], "101"),
        // As numbers, not as text, and with every digit.
        (
            &["9.9", "10.00000000000000000000000002", "10.00000000000000000000000001"],
            "10.00000000000000000000000001",
        ),
    ] {
        assert_eq!(price(&prices(given)), expected, "{given:?}");
    }
}

#[test]
fn of_equal_prices_the_first_in_order_speaks_with_its_own_digits() {
    assert_eq!(price(&prices(&["100.0", "100.00", "100"])), "100.0");
    assert_eq!(price(&prices(&["99", "100.00", "100"])), "100.00");
    assert_eq!(judged(&prices(&["1.00", "1"])).spread_ppm, Some(0));
}

#[test]
fn weights_move_the_middle() {
    let weighed = |weights: [u32; 3]| {
        let mut sources = prices(&["100", "101", "102"]);
        for (source, weight) in sources.iter_mut().zip(weights) {
            source.weight = weight;
        }
        price(&sources).to_owned()
    };
    assert_eq!(weighed([1, 1, 1]), "101");
    assert_eq!(weighed([2, 1, 1]), "100");
    assert_eq!(weighed([1, 1, 2]), "101");
    assert_eq!(weighed([1, 1, 3]), "102");
}

#[test]
fn what_lies_far_from_most_others_does_not_count() {
    let verdict = judged(&prices(&["100", "200", "101", "1", "102"]));
    assert_eq!((verdict.chosen, verdict.sources, &verdict.excluded[..]), (2, 3, &[1, 3][..]));
    assert_eq!(verdict.spread_ppm, Some(19_802));
    // The median is taken again of what is left.
    assert_eq!(price(&prices(&["1", "100", "101", "102"])), "101");
    assert_eq!(judged(&prices(&["100", "105", "104"])).excluded, [0_usize; 0]);
}

#[test]
fn nobody_is_left_out_where_nobody_can_say_who_is_wrong() {
    for given in [&["100", "200"][..], &["100", "200", "300"], &["100", "101", "200", "201"]] {
        assert!(judged(&prices(given)).excluded.is_empty(), "{given:?}");
    }
    // Two that agree are no majority against one that weighs as much.
    let mut sources = prices(&["100", "101", "200"]);
    sources[2].weight = 2;
    assert!(judged(&sources).excluded.is_empty());
    sources[2].weight = 3;
    assert_eq!(judged(&sources).excluded, [0, 1]);
}

#[test]
fn an_outlier_comes_back_only_well_within_the_bound() {
    let mut sources = prices(&["100", "100", "104.5", "100"]);
    assert!(judged(&sources).excluded.is_empty());
    sources[2].excluded = true;
    assert_eq!(judged(&sources).excluded, [2]);
    sources[2].price = Some(decimal("104.0000001"));
    assert_eq!(judged(&sources).excluded, [2]);
    sources[2].price = Some(decimal("104"));
    assert!(judged(&sources).excluded.is_empty());
    // Without it too few are left, so the bound itself decides about it.
    let mut sources = prices(&["100", "100", "104.5", "300"]);
    sources[2].excluded = true;
    assert_eq!(judged(&sources).excluded, [3]);
}

#[test]
fn of_two_that_disagree_the_preferred_one_speaks() {
    let mut sources = prices(&["200", "100"]);
    assert_eq!(price(&sources), "100");
    sources[0].preferred = true;
    assert_eq!(price(&sources), "200");
    assert_eq!(judged(&sources).spread_ppm, Some(500_000));
    sources[1].weight = 2;
    assert_eq!(price(&sources), "100");
    let mut near = prices(&["101", "100"]);
    near[0].preferred = true;
    assert_eq!(price(&near), "100");
}

#[test]
fn bid_and_ask_are_the_best_of_all_that_count() {
    let sources = [
        quoting("100", "99", "101"),
        quoting("100.5", "99.5", "101.5"),
        quoting("101", "", "100.9"),
        quoting("300", "299", "1"),
    ];
    let verdict = judged(&sources);
    assert_eq!((verdict.bid, verdict.ask), (Some(1), Some(2)));
    assert_eq!(verdict.excluded, [3]);
}

#[test]
fn where_best_bid_and_ask_cross_they_are_the_chosen_one_s_own() {
    let mut sources =
        vec![quoting("100", "99", "100"), quoting("101", "100.5", "101.5"), at("102")];
    let verdict = judged(&sources);
    assert_eq!((verdict.chosen, verdict.bid, verdict.ask), (1, Some(1), Some(1)));
    // The chosen one has none, or they cross there too.
    sources[1] = quoting("101", "100.5", "");
    assert_eq!((judged(&sources).bid, judged(&sources).ask), (Some(1), None));
    sources[1] = quoting("101", "100.5", "99");
    assert_eq!((judged(&sources).bid, judged(&sources).ask), (None, None));
}

#[test]
fn one_without_a_price_only_quotes() {
    let sources = [quoting("", "99.9", "100.1"), quoting("100", "99", "101"), at("101")];
    let verdict = judged(&sources);
    assert_eq!((verdict.chosen, verdict.sources), (1, 2));
    assert_eq!((verdict.bid, verdict.ask), (Some(0), Some(0)));
    let far = [quoting("", "50", "200"), quoting("100", "99", "101")];
    assert_eq!((judged(&far).bid, judged(&far).ask), (Some(1), Some(1)));
    let alone = [quoting("", "99", "101"), quoting("", "98", "100")];
    let verdict = judged(&alone);
    assert_eq!((verdict.chosen, verdict.bid, verdict.spread_ppm), (0, Some(0), None));
}

/// Prices that often agree, sometimes do not, and are often equal but for their digits.
fn some_price() -> impl Strategy<Value = Number> {
    let text = prop_oneof![
        6 => (9_800_u32..10_200).prop_map(|n| format!("{n}e-2")),
        2 => (99_u32..102, 0_usize..3).prop_map(|(n, zeros)| match zeros {
            0 => n.to_string(),
            _ => format!("{n}.{}", "0".repeat(zeros)),
        }),
        2 => (1_u32..1_000_000).prop_map(|n| format!("{n}e-2")),
        1 => (1_u32..1_000, -40_i32..40).prop_map(|(n, exponent)| format!("{n}e{exponent}")),
    ];
    text.prop_map(|text| decimal(&text))
}

fn some_source() -> impl Strategy<Value = Source> {
    let quote = || proptest::option::of(some_price());
    (some_price(), quote(), quote(), 1_u32..5, any::<bool>()).prop_map(
        |(price, bid, ask, weight, preferred)| Source {
            price: Some(price),
            bid,
            ask,
            weight,
            preferred,
            excluded: false,
        },
    )
}

/// Without preference, as preference depends on the order by design.
fn neutral(mut sources: Vec<Source>) -> Vec<Source> {
    sources.iter_mut().for_each(|source| source.preferred = false);
    sources
}

fn cmp(a: &Source, b: &Source) -> Ordering {
    a.price.as_ref().unwrap().cmp_value(b.price.as_ref().unwrap())
}

/// The definition, word by word: the least price such that those at or below it weigh half.
fn naive_median(sources: &[Source]) -> &Source {
    let total: u32 = sources.iter().map(|source| source.weight).sum();
    let below = |one: &Source| -> u32 {
        sources.iter().filter(|other| cmp(other, one).is_le()).map(|other| other.weight).sum()
    };
    let halves = sources.iter().filter(|source| 2 * below(source) >= total);
    halves.min_by(|a, b| cmp(a, b)).unwrap()
}

fn kept(sources: &[Source], verdict: &Verdict) -> Vec<Source> {
    let counts = |index: &usize| !verdict.excluded.contains(index);
    (0..sources.len()).filter(counts).map(|index| sources[index].clone()).collect()
}

proptest! {
    #[test]
    fn it_is_the_median_of_those_that_count(sources in vec(some_source(), 1..9)) {
        let sources = neutral(sources);
        let verdict = judged(&sources);
        let kept = kept(&sources, &verdict);
        prop_assert_eq!(kept.len(), verdict.sources);
        prop_assert!(!verdict.excluded.contains(&verdict.chosen));
        prop_assert!(cmp(naive_median(&kept), &sources[verdict.chosen]).is_eq());
    }

    #[test]
    fn the_order_of_the_sources_does_not_matter(
        (sources, shuffled) in vec(some_source(), 1..9)
            .prop_map(neutral)
            .prop_flat_map(|sources| (Just(sources.clone()), Just(sources).prop_shuffle())),
    ) {
        let (a, b) = (judged(&sources), judged(&shuffled));
        prop_assert!(cmp(&sources[a.chosen], &shuffled[b.chosen]).is_eq());
        prop_assert_eq!((a.sources, a.spread_ppm), (b.sources, b.spread_ppm));
    }

    #[test]
    fn one_source_cannot_move_it_out_of_what_the_others_agree_on(
        others in vec(9_800_u32..10_200, 2..8),
        wild in some_source(),
        place in any::<prop::sample::Index>(),
    ) {
        let mut sources: Vec<_> =
            others.iter().map(|price| at(&format!("{price}e-2"))).collect();
        let (low, high) =
            (sources.iter().min_by(|a, b| cmp(a, b)), sources.iter().max_by(|a, b| cmp(a, b)));
        let (low, high) = (low.unwrap().clone(), high.unwrap().clone());
        let place = place.index(sources.len() + 1);
        sources.insert(place, Source { weight: 1, preferred: false, ..wild });
        let verdict = judged(&sources);
        let chosen = &sources[verdict.chosen];
        prop_assert!(cmp(chosen, &low).is_ge() && cmp(chosen, &high).is_le());
        prop_assert!(verdict.excluded.is_empty() || verdict.excluded == [place]);
    }

    #[test]
    fn an_excluded_price_may_go_farther_and_nothing_changes(
        sources in vec(some_source(), 3..9),
        times in 1_u32..1_000,
    ) {
        let before = judged(&sources);
        let middle = sources[before.chosen].clone();
        let mut moved = sources;
        for index in &before.excluded {
            let farther = if cmp(&moved[*index], &middle).is_gt() { "e3" } else { "e-3" };
            let text = format!("{times}{farther}");
            let farther = Source { price: Some(decimal(&text)), ..moved[*index].clone() };
            if cmp(&farther, &moved[*index]) == cmp(&moved[*index], &middle) {
                moved[*index] = farther;
            }
        }
        prop_assert_eq!(judged(&moved), before);
    }

    #[test]
    fn the_same_votes_are_judged_the_same_again(
        sources in vec((some_source(), any::<bool>()), 1..9),
    ) {
        let mut sources: Vec<_> = sources
            .into_iter()
            .map(|(source, excluded)| Source { excluded, ..source })
            .collect();
        let before = judged(&sources);
        for (index, source) in sources.iter_mut().enumerate() {
            source.excluded = before.excluded.contains(&index);
        }
        prop_assert_eq!(judged(&sources), before);
    }

    #[test]
    fn one_that_keeps_to_the_bound_changes_sides_at_most_once(
        others in vec(Just(()), 2..6),
        steps in vec(-50_i64..50, 1..60),
        above in any::<bool>(),
        begins_out in any::<bool>(),
    ) {
        let mut sources = prices(&vec!["100"; others.len() + 1]);
        sources[0].excluded = begins_out;
        let mut changes = 0;
        for step in steps {
            // Five per cent from 100, in ten-thousandths, give or take a half of a hundredth.
            let edge = if above { 1_050_000 } else { 952_381 };
            sources[0].price = Some(decimal(&format!("{}e-4", edge + step)));
            let excluded = judged(&sources).excluded == [0];
            changes += u32::from(excluded != sources[0].excluded);
            sources[0].excluded = excluded;
        }
        prop_assert!(changes <= 1, "{changes} changes");
    }

    #[test]
    fn a_minority_never_excludes_a_majority(sources in vec(some_source(), 1..9)) {
        let verdict = judged(&sources);
        let weight = |sources: &[Source]| -> u32 { sources.iter().map(|one| one.weight).sum() };
        prop_assert!(2 * weight(&kept(&sources, &verdict)) > weight(&sources));
        prop_assert!(sources.len() > 2 || verdict.excluded.is_empty());
    }

    #[test]
    fn more_weight_never_moves_it_away(sources in vec(some_source(), 1..9), more in 1_u32..9) {
        // Near each other, so that weight does not decide who is left out.
        let near = |source: &Source| near(source.price.as_ref().unwrap(), &decimal("100"), 20_000);
        let sources: Vec<_> = neutral(sources).into_iter().filter(near).collect();
        prop_assume!(!sources.is_empty());
        let before = &sources[judged(&sources).chosen];
        for index in 0..sources.len() {
            let mut heavier = sources.clone();
            heavier[index].weight += more;
            let after = &heavier[judged(&heavier).chosen];
            match cmp(&sources[index], before) {
                Ordering::Less => prop_assert!(cmp(after, before).is_le()),
                Ordering::Equal => prop_assert!(cmp(after, before).is_eq()),
                Ordering::Greater => prop_assert!(cmp(after, before).is_ge()),
            }
        }
    }

    #[test]
    fn bid_and_ask_never_cross_and_are_those_of_sources_that_count(
        sources in vec(some_source(), 1..9),
    ) {
        let verdict = judged(&sources);
        for quote in [verdict.bid, verdict.ask].into_iter().flatten() {
            prop_assert!(!verdict.excluded.contains(&quote));
        }
        let bid = verdict.bid.and_then(|by| sources[by].bid.as_ref());
        let ask = verdict.ask.and_then(|by| sources[by].ask.as_ref());
        prop_assert!(bid.zip(ask).is_none_or(|(bid, ask)| bid.cmp_value(ask).is_le()));
        prop_assert!(verdict.bid.is_none() || bid.is_some());
    }

    #[test]
    fn the_verdict_on_what_counts_excludes_nobody_of_two(sources in vec(some_source(), 3..4)) {
        let verdict = judged(&sources);
        let again = judged(&neutral(kept(&sources, &verdict)));
        prop_assert!(verdict.excluded.is_empty() || again.excluded.is_empty());
    }
}
