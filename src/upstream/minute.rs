//! What an upstream allows a minute. Pure: time is an argument.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use crate::units::TokenBucket;

/// What is counted: the limit holds in every stretch of this length, wherever it begins.
const WINDOW: Duration = Duration::from_secs(60);

/// Spendings this close together are remembered as one, at the end of it: so the limit errs on the
/// safe side, and what is remembered is bounded however many requests there are.
const GRAIN: Duration = Duration::from_millis(100);

/// At most this part of a minute is spent at once, so that feeds that want more than there is take
/// turns rather than wait for the next minute together.
const BURST: f64 = 0.25;

/// At least this many units are there at once, so that a few feeds may begin together.
const BURST_MIN: f64 = 5.0;

/// Units that may be spent: never more than `per_minute` in any minute, a quarter of them at once
/// and the rest as time goes by.
#[derive(Debug)]
pub struct Minute {
    per_minute: u32,
    burst: f64,
    bucket: TokenBucket,
    /// What was spent within the window, oldest first, each with the moment at which it counts as
    /// spent.
    spent: VecDeque<(Instant, u32)>,
    total: u32,
    /// Whether somebody was told to wait for spendings to leave the window.
    exhausted: bool,
    origin: Instant,
}

impl Minute {
    /// Nothing is spent yet. At least one unit a minute.
    pub fn new(per_minute: u32, now: Instant) -> Self {
        let per_minute = per_minute.max(1);
        let rate = f64::from(per_minute);
        let burst = (rate * BURST).max(BURST_MIN).min(rate);
        Self {
            per_minute,
            burst,
            bucket: TokenBucket::new(rate / WINDOW.as_secs_f64(), burst, now),
            spent: VecDeque::new(),
            total: 0,
            exhausted: false,
            origin: now,
        }
    }

    /// Units a minute.
    pub fn per_minute(&self) -> u32 {
        self.per_minute
    }

    /// How long until `units` may be spent; zero when they may. More than a minute allows counts as
    /// all of a minute, since it would otherwise never be there.
    pub fn wait(&mut self, units: u32, now: Instant) -> Duration {
        let units = units.min(self.per_minute);
        let until_left = self.until_left(units, now);
        if !until_left.is_zero() {
            self.exhausted = true;
        } else if mem::take(&mut self.exhausted) {
            // What came in while nothing could be spent is not saved up: to spend it at once would
            // only exhaust the next minute as early as this one.
            self.bucket.observe(self.at_once(units), now);
        }
        self.bucket.wait(self.at_once(units), now).max(until_left)
    }

    /// Spends `units`, which [`Minute::wait`] has said may be spent.
    pub fn spend(&mut self, units: u32, now: Instant) {
        let units = units.min(self.per_minute);
        self.forget(now);
        if !self.bucket.take(self.at_once(units), now) {
            // It lacks less than a clock can tell.
            self.bucket.observe(0.0, now);
        }
        self.remember(units, now);
    }

    /// The upstream counts `used` units: what is more than was known is spent by somebody else.
    pub fn observe_used(&mut self, used: u32, now: Instant) {
        self.forget(now);
        let unknown = used.min(self.per_minute).saturating_sub(self.total);
        self.remember(unknown, now);
        let left = self.left(now);
        self.bucket.observe(f64::from(left), now);
    }

    /// Units of the minute before `now` that are not spent.
    pub fn left(&mut self, now: Instant) -> u32 {
        self.forget(now);
        self.per_minute.saturating_sub(self.total)
    }

    /// What a request takes of what may be spent at once.
    fn at_once(&self, units: u32) -> f64 {
        f64::from(units).min(self.burst)
    }

    fn until_left(&mut self, units: u32, now: Instant) -> Duration {
        let mut left = self.left(now);
        for (at, spent) in &self.spent {
            if left >= units {
                break;
            }
            left = left.saturating_add(*spent);
            if left >= units {
                return (*at + WINDOW).saturating_duration_since(now);
            }
        }
        Duration::ZERO
    }

    fn remember(&mut self, units: u32, now: Instant) {
        if units == 0 {
            return;
        }
        let at = self.end_of_grain(now);
        self.total = self.total.saturating_add(units);
        match self.spent.back_mut() {
            // A clock that steps back must not put a spending before an older one.
            Some((last, spent)) if *last >= at => *spent = spent.saturating_add(units),
            _ => self.spent.push_back((at, units)),
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, spent)) = self.spent.front()
            && now.saturating_duration_since(*at) >= WINDOW
        {
            self.total = self.total.saturating_sub(*spent);
            self.spent.pop_front();
        }
    }

    fn end_of_grain(&self, now: Instant) -> Instant {
        let since = now.saturating_duration_since(self.origin).as_nanos();
        let grains = since.div_ceil(GRAIN.as_nanos());
        let whole = u64::try_from(grains.saturating_mul(GRAIN.as_nanos())).unwrap_or(u64::MAX);
        self.origin + Duration::from_nanos(whole)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn take(minute: &mut Minute, units: u32, now: Instant) -> Result<(), Duration> {
        let wait = minute.wait(units, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        minute.spend(units, now);
        Ok(())
    }

    #[test]
    fn a_quarter_goes_out_at_once_and_the_rest_as_time_goes_by() {
        let start = Instant::now();
        let mut minute = Minute::new(60, start);
        assert_eq!((0..60).filter(|_| take(&mut minute, 1, start).is_ok()).count(), 15);
        assert_eq!(take(&mut minute, 1, start), Err(SECOND));
        let rest = (1..60).filter(|s| take(&mut minute, 1, start + *s * SECOND).is_ok());
        assert_eq!(rest.count(), 45);
        assert_eq!(minute.left(start + 59 * SECOND), 0);
        assert_eq!(take(&mut minute, 1, start + 59 * SECOND), Err(SECOND));
        assert_eq!(take(&mut minute, 1, start + 60 * SECOND), Ok(()));
    }

    #[test]
    fn whoever_wants_more_than_there_is_is_paced_evenly_after_the_first_minute() {
        let start = Instant::now();
        let mut minute = Minute::new(60, start);
        let mut taken = Vec::new();
        for ms in (0..600_000).step_by(100) {
            let now = start + Duration::from_millis(ms);
            if take(&mut minute, 1, now).is_ok() {
                taken.push(now);
            }
        }
        let later = taken.iter().filter(|at| **at >= start + 61 * SECOND);
        let later: Vec<_> = later.collect();
        assert!(later.len() >= 530, "{}", later.len());
        for pair in later.windows(2) {
            let (at, gap) = (*pair[0] - start, *pair[1] - *pair[0]);
            assert!(gap <= 2 * SECOND, "{gap:?} after {at:?}");
        }
    }

    #[test]
    fn a_few_feeds_of_a_small_budget_begin_together() {
        let start = Instant::now();
        let mut minute = Minute::new(6, start);
        assert_eq!((0..6).filter(|_| take(&mut minute, 1, start).is_ok()).count(), 5);
    }

    #[test]
    fn a_request_that_costs_more_than_a_minute_goes_out_once_a_minute() {
        let start = Instant::now();
        let mut minute = Minute::new(10, start);
        assert_eq!(take(&mut minute, 50, start), Ok(()));
        assert_eq!(take(&mut minute, 50, start), Err(60 * SECOND));
        assert_eq!(take(&mut minute, 50, start + 60 * SECOND), Ok(()));
    }

    #[test]
    fn what_others_have_spent_is_gone_for_a_minute_and_is_counted_once() {
        let start = Instant::now();
        let mut minute = Minute::new(60, start);
        minute.spend(10, start);
        minute.observe_used(50, start);
        minute.observe_used(50, start);
        minute.observe_used(20, start);
        assert_eq!(minute.left(start), 10);
        minute.observe_used(1_000, start);
        assert_eq!(take(&mut minute, 1, start), Err(60 * SECOND));
        assert_eq!(minute.left(start + 60 * SECOND), 60);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let start = Instant::now();
        let mut minute = Minute::new(u32::MAX, start);
        for ms in 0..100_000 {
            minute.spend(1, start + Duration::from_millis(ms));
        }
        assert!(minute.spent.len() <= 601, "{}", minute.spent.len());
    }

    proptest! {
        #[test]
        fn no_stretch_of_a_minute_sees_more_than_a_minute_allows(
            per_minute in 1_u32..500,
            asks in proptest::collection::vec((0_u64..5_000, 1_u32..50), 1..300),
        ) {
            let start = Instant::now();
            let mut minute = Minute::new(per_minute, start);
            let mut taken: Vec<(Instant, u32)> = Vec::new();
            let mut now = start;
            for (step_ms, units) in asks {
                now += Duration::from_millis(step_ms);
                if take(&mut minute, units, now).is_ok() {
                    taken.push((now, units.min(per_minute)));
                }
                let within = taken.iter().filter(|(at, _)| now - *at < WINDOW);
                prop_assert!(within.map(|(_, units)| units).sum::<u32>() <= per_minute);
            }
        }

        #[test]
        fn who_waits_as_long_as_is_said_gets_what_it_asked(
            per_minute in 1_u32..500,
            asks in proptest::collection::vec((0_u64..1_000, 1_u32..50), 1..200),
        ) {
            let start = Instant::now();
            let mut minute = Minute::new(per_minute, start);
            let mut now = start;
            for (step_ms, units) in asks {
                now += Duration::from_millis(step_ms);
                let mut waits = 0;
                while let Err(wait) = take(&mut minute, units, now) {
                    // A rest may be smaller than the clock can tell.
                    now += wait.max(Duration::from_millis(1));
                    waits += 1;
                    prop_assert!(waits <= 2 && wait <= WINDOW + GRAIN);
                }
            }
        }
    }
}
