//! One asset's price: geometric Brownian motion in fixed steps.
//!
//! The path is a function of seed, asset and step alone. It is made of bars of five minutes. A
//! bar's close, extremes and volume are drawn first, from a generator of its own; the steps inside
//! it are then a Brownian bridge from open to close. So skipping a bar costs a few draws rather
//! than thousands, nobody can tell afterwards which bars were skipped, and catching up after an
//! hour is twelve bars and at most one bridge.

use std::collections::VecDeque;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Length of a step of simulated time.
pub(super) const STEP_MS: u64 = 100;

/// A slow API shows a price this many steps before it looks again: 10 s.
pub(super) const HOLD_STEPS: u64 = 100;

/// Steps in a day.
pub(super) const DAY_STEPS: u64 = BAR_STEPS * DAY_BARS;

/// Steps in a bar of five minutes. A multiple of [`HOLD_STEPS`].
const BAR_STEPS: u64 = 3_000;
const DAY_BARS: u64 = 288;
const HOUR_BARS: usize = 12;
const YEAR_STEPS: f64 = 365.0 * DAY_STEPS as f64;

/// Volatility beyond which the numbers stop meaning a price.
const VOLATILITY_MAX: f64 = 10.0;

/// Five minutes: logarithms of prices, and coins traded.
#[derive(Debug, Clone, Copy)]
struct Bar {
    open: f64,
    close: f64,
    high: f64,
    low: f64,
    volume: f64,
}

/// What is known of an asset at one step, in USD and coins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// When.
    pub(super) step: u64,
    /// The price then.
    pub(super) price: f64,
    /// The price a day before.
    pub(super) open: f64,
    /// The day's highest price, never below `price`.
    pub(super) high: f64,
    /// The day's lowest price, never above `price`.
    pub(super) low: f64,
    /// Coins traded in the day.
    pub(super) volume: f64,
    /// Move of the last full hour, in standard deviations.
    pub(super) hour_move: f64,
    /// Move of the day, in standard deviations.
    pub(super) day_move: f64,
}

/// A price and its last day.
#[derive(Debug)]
pub(super) struct Path {
    /// Never drawn from: each bar draws from a stream of it.
    dice: ChaCha8Rng,
    step_sigma: f64,
    bar_volume: f64,
    /// The day before the current bar, oldest first.
    past: VecDeque<Bar>,
    /// The current bar, as it will be when it is over.
    bar: Bar,
    number: u64,
    /// The current bar so far.
    inside: Inside,
    held: Point,
}

/// The walk within a bar.
#[derive(Debug)]
struct Inside {
    dice: ChaCha8Rng,
    done: u64,
    bridge: f64,
    price: f64,
    high: f64,
    low: f64,
}

impl Path {
    /// A path at step 0 with a day behind it, which began at `start` USD.
    pub(super) fn new(dice: ChaCha8Rng, volatility: f64, start: f64, daily_volume: f64) -> Self {
        let volatility =
            if volatility.is_finite() { volatility.clamp(0.0, VOLATILITY_MAX) } else { 0.0 };
        let step_sigma = volatility / YEAR_STEPS.sqrt();
        let bar_volume = daily_volume / DAY_BARS as f64;
        let mut open = start.ln();
        let past: VecDeque<Bar> = (0..DAY_BARS)
            .map(|number| {
                let (bar, _) = draw_bar(&dice, number, open, step_sigma, bar_volume);
                open = bar.close;
                bar
            })
            .collect();
        let (bar, rest) = draw_bar(&dice, DAY_BARS, open, step_sigma, bar_volume);
        let inside = Inside::new(rest, open);
        let mut path = Self {
            dice,
            step_sigma,
            bar_volume,
            past,
            bar,
            number: DAY_BARS,
            inside,
            held: Point::NOTHING,
        };
        path.held = path.now();
        path
    }

    /// Walks on to `step`. Earlier steps are gone: asking for one changes nothing.
    pub(super) fn advance_to(&mut self, step: u64) {
        let hold = step - step % HOLD_STEPS;
        if hold > self.held.step {
            self.walk(hold);
            self.held = self.now();
        }
        self.walk(step);
    }

    /// What is known now.
    pub(super) fn now(&self) -> Point {
        let done = self.inside.done as f64 / BAR_STEPS as f64;
        let oldest = self.past.front().unwrap_or(&self.bar);
        // The day slides with every step, so a part of the oldest bar has left it already.
        let open = oldest.open + done * (oldest.close - oldest.open);
        let high = self.past.iter().fold(self.inside.high, |high, bar| high.max(bar.high));
        let low = self.past.iter().fold(self.inside.low, |low, bar| low.min(bar.low));
        let whole: f64 = self.past.iter().map(|bar| bar.volume).sum();
        let hour_ago = self.past.iter().rev().nth(HOUR_BARS - 1).unwrap_or(oldest).open;
        Point {
            step: (self.number - DAY_BARS) * BAR_STEPS + self.inside.done,
            price: self.inside.price.exp(),
            open: open.exp(),
            high: high.exp(),
            low: low.exp(),
            volume: whole + done * (self.bar.volume - oldest.volume),
            hour_move: self.deviations(self.bar.open - hour_ago, BAR_STEPS as f64 * 12.0),
            day_move: self.deviations(self.inside.price - open, DAY_STEPS as f64),
        }
    }

    /// What was known at the last multiple of [`HOLD_STEPS`].
    pub(super) fn held(&self) -> Point {
        self.held
    }

    fn deviations(&self, change: f64, steps: f64) -> f64 {
        let sigma = self.step_sigma * steps.sqrt();
        if sigma > 0.0 { change / sigma } else { 0.0 }
    }

    fn walk(&mut self, step: u64) {
        let number = DAY_BARS + step / BAR_STEPS;
        while self.number < number {
            self.next_bar();
        }
        if self.number == number {
            while self.inside.done < step % BAR_STEPS {
                self.inside.step(&self.bar, self.step_sigma);
            }
        }
    }

    fn next_bar(&mut self) {
        self.past.pop_front();
        self.past.push_back(self.bar);
        self.number += 1;
        let open = self.bar.close;
        let (bar, rest) = draw_bar(&self.dice, self.number, open, self.step_sigma, self.bar_volume);
        self.bar = bar;
        self.inside = Inside::new(rest, open);
    }
}

impl Inside {
    fn new(dice: ChaCha8Rng, open: f64) -> Self {
        Self { dice, done: 0, bridge: open, price: open, high: open, low: open }
    }

    /// One step of the bridge: towards the close, the more so the nearer it is, and noise.
    fn step(&mut self, bar: &Bar, sigma: f64) {
        let left = BAR_STEPS.saturating_sub(self.done).max(1) as f64;
        let noise: f64 = self.dice.sample(StandardNormal);
        self.bridge += (bar.close - self.bridge) / left;
        self.bridge += noise * sigma * ((left - 1.0) / left).sqrt();
        self.done += 1;
        // The extremes were drawn before, and what is told of the bar later must hold now. A price
        // that meets one is thrown back: merely stopped, it would stand still there.
        let below = self.bridge.min(2.0 * bar.high - self.bridge);
        let within = below.max(2.0 * bar.low - below);
        self.price = within.max(bar.low).min(bar.high);
        self.high = self.high.max(self.price);
        self.low = self.low.min(self.price);
    }
}

impl Point {
    const NOTHING: Self = Self {
        step: 0,
        price: 0.0,
        open: 0.0,
        high: 0.0,
        low: 0.0,
        volume: 0.0,
        hour_move: 0.0,
        day_move: 0.0,
    };
}

/// Draws a bar, and returns the generator from which its inside is to be drawn. The extremes come
/// from the known law of a bridge's maximum: `P(max > m) = exp(-2 (m - a) (m - b) / variance)`.
fn draw_bar(
    dice: &ChaCha8Rng,
    number: u64,
    open: f64,
    step_sigma: f64,
    bar_volume: f64,
) -> (Bar, ChaCha8Rng) {
    let mut dice = dice.clone();
    dice.set_stream(number);
    let variance = step_sigma * step_sigma * BAR_STEPS as f64;
    let noise: f64 = dice.sample(StandardNormal);
    // Half the variance off, so that the price has no drift on average.
    let close = open + variance.sqrt() * noise - variance / 2.0;
    let mut reach = || {
        let chance = 1.0 - dice.random::<f64>();
        ((close - open).powi(2) - 2.0 * variance * chance.ln()).sqrt()
    };
    let high = ((open + close + reach()) / 2.0).max(open).max(close);
    let low = ((open + close - reach()) / 2.0).min(open).min(close);
    let bustle: f64 = dice.sample(StandardNormal);
    let volume = bar_volume * (0.35 * bustle).exp();
    (Bar { open, close, high, low, volume }, dice)
}

#[cfg(test)]
mod tests {
    use super::super::dice::dice;
    use super::*;

    fn path(seed: u64) -> Path {
        Path::new(dice(seed, "BTC"), 0.6, 68_900.0, 300_000.0)
    }

    #[test]
    fn the_path_does_not_depend_on_how_it_is_asked() {
        let (mut each, mut some, mut once) = (path(1), path(1), path(1));
        for step in 0..=7_777 {
            each.advance_to(step);
        }
        for step in [1, 99, 100, 2_999, 3_000, 3_001, 5_000, 4_000, 7_777] {
            some.advance_to(step);
        }
        once.advance_to(7_777);
        assert_eq!(each.now(), once.now());
        assert_eq!(some.now(), once.now());
        assert_eq!(each.held(), once.held());
        assert_eq!(once.held().step, 7_700);
    }

    #[test]
    fn another_seed_gives_another_path() {
        assert_ne!(path(1).now().price, path(2).now().price);
    }

    #[test]
    fn an_earlier_step_changes_nothing() {
        let mut path = path(1);
        path.advance_to(9_000);
        let before = path.now();
        path.advance_to(10);
        assert_eq!(path.now(), before);
    }

    #[test]
    fn the_volatility_is_the_configured_one_at_every_scale() {
        for stride in [1, 50, 3_000] {
            let mut path = path(3);
            let mut last = path.now().price.ln();
            let mut squares = 0.0;
            let samples = 900_000 / stride;
            for sample in 1..=samples {
                path.walk(sample * stride);
                let log = path.inside.price;
                squares += (log - last).powi(2);
                last = log;
            }
            let yearly = (squares / samples as f64 * YEAR_STEPS / stride as f64).sqrt();
            assert!((0.55..0.65).contains(&yearly), "{yearly} at a stride of {stride}");
        }
    }

    #[test]
    fn the_day_contains_every_price_that_was_seen() {
        let mut path = path(4);
        let mut high_seen = 0.0_f64;
        for step in 0..30_000 {
            path.advance_to(step);
            if step % 50 == 0 {
                let now = path.now();
                high_seen = high_seen.max(now.price);
                assert!(now.low > 0.0 && now.low <= now.price && now.price <= now.high);
                assert!(now.low <= now.open && now.open <= now.high);
                assert!(now.high >= high_seen && now.volume > 0.0);
            }
        }
    }

    #[test]
    fn a_month_of_catching_up_still_ends_in_a_price() {
        let mut path = path(5);
        path.advance_to(30 * DAY_STEPS + 1_234);
        assert_eq!(path.now().step, 30 * DAY_STEPS + 1_234);
        assert!(path.now().price.is_finite() && path.now().price > 0.0);
    }

    #[test]
    fn a_volatility_that_makes_no_sense_gives_a_price_that_stands_still() {
        for volatility in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let mut path = Path::new(dice(1, "BTC"), volatility, 100.0, 1.0);
            path.advance_to(10_000);
            assert!((path.now().price - 100.0).abs() < 1e-9);
            assert_eq!(path.now().hour_move, 0.0);
        }
    }
}
