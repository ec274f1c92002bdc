//! When a feed is polled next. Pure: time and random numbers (0 to 1) are arguments.

use std::time::{Duration, Instant};

/// First polls are spread over at most this, so that a start shows data at once.
const SPREAD_MAX: Duration = Duration::from_secs(1);

/// Part of an interval by which a poll may be early or late.
const JITTER: f64 = 0.1;

/// A hint never asks for polls closer together than this, or than the interval where that is
/// shorter.
const HINT_MIN: Duration = Duration::from_secs(1);

/// Answers in a row that said nothing new, after which an adaptive feed is polled less often.
const UNCHANGED_MIN: u32 = 3;

/// How many times slower an adaptive feed may become; never so slow that it nears `stale_after`.
const SLOWER_MAX: u32 = 4;

/// How long after the start feed `index` of `count` is polled first: spread evenly over its
/// interval, over a second at most.
pub fn start_offset(index: usize, count: usize, interval: Duration, random: f64) -> Duration {
    let span = interval.min(SPREAD_MAX);
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    let offset = span.saturating_mul(index) / count;
    offset.mul_f64(1.0 - JITTER + 2.0 * JITTER * unit(random))
}

/// A feed's slots: one each interval, counted from the first poll, so that slow answers do not
/// make them drift. What a stall makes it miss is skipped rather than caught up.
#[derive(Debug, Clone)]
pub struct Schedule {
    interval: Duration,
    stale_after: Duration,
    /// The longest interval of a feed that says nothing new.
    slow_max: Duration,
    unchanged: u32,
    /// The interval in force.
    current: Duration,
    slot: Instant,
    due: Instant,
}

impl Schedule {
    /// Polls each `interval` from `first` on. A hint is followed up to half of `stale_after`, so
    /// that a polite wait makes nothing stale.
    pub fn new(interval: Duration, stale_after: Duration, first: Instant) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        Self {
            interval,
            stale_after,
            slow_max: interval,
            unchanged: 0,
            current: interval,
            slot: first,
            due: first,
        }
    }

    /// Polls less often while nothing changes: up to four times the interval, and up to a third of
    /// `stale_after`, so that two more polls fit in before anything is stale.
    pub fn adaptive(self) -> Self {
        let slow_max = self.interval.saturating_mul(SLOWER_MAX).min(self.stale_after / 3);
        Self { slow_max: self.interval.max(slow_max), ..self }
    }

    /// The time between polls that is in force.
    pub fn in_force(&self) -> Duration {
        self.current
    }

    /// A poll was answered, with nothing new where it is `unchanged`. To be said before how it
    /// [went](Self::succeeded).
    pub fn answered(&mut self, unchanged: bool) {
        if !unchanged {
            self.unchanged = 0;
            self.current = self.interval;
            return;
        }
        self.unchanged = self.unchanged.saturating_add(1);
        if self.unchanged >= UNCHANGED_MIN {
            self.current = (self.current + self.current / 2).min(self.slow_max);
        }
    }

    /// When the next poll is due.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// A poll went well and ended at `now`. `hint` is when the upstream promises something new.
    pub fn succeeded(&mut self, now: Instant, hint: Option<Duration>, random: f64) {
        if let Some(hint) = hint {
            let longest = self.interval.max(self.stale_after / 2);
            let wait = hint.clamp(HINT_MIN.min(self.interval), longest);
            self.slot = now + wait;
            // Only ever late: before the promised moment there is nothing to be had.
            self.due = self.slot + wait.mul_f64(JITTER * unit(random));
            return;
        }
        self.slot += self.current * self.slots_behind(now);
        let early = self.interval.mul_f64(JITTER);
        let late = self.interval.mul_f64(2.0 * JITTER * unit(random));
        self.due = (self.slot + late).checked_sub(early).unwrap_or(now).max(now);
    }

    /// A poll failed: the next is due `delay` after `now`.
    pub fn failed(&mut self, now: Instant, delay: Duration) {
        self.slot = now + delay;
        self.due = self.slot;
    }

    /// The next poll is due now.
    pub fn at_once(&mut self, now: Instant) {
        self.failed(now, Duration::ZERO);
    }

    /// Nothing is due before `until`.
    pub fn hold(&mut self, until: Instant) {
        self.slot = self.slot.max(until);
        self.due = self.due.max(until);
    }

    /// Slots from the last one to the first that is still to come.
    fn slots_behind(&self, now: Instant) -> u32 {
        let behind = now.saturating_duration_since(self.slot).as_nanos();
        u32::try_from(behind / self.current.as_nanos() + 1).unwrap_or(u32::MAX)
    }
}

fn unit(random: f64) -> f64 {
    random.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn slots_do_not_drift_and_a_stall_skips_them() {
        let start = Instant::now();
        let mut schedule = Schedule::new(2 * SECOND, 10 * SECOND, start);
        schedule.succeeded(start + SECOND / 2, None, 0.5);
        assert_eq!(schedule.due(), start + 2 * SECOND);
        schedule.succeeded(start + 7 * SECOND, None, 0.5);
        assert_eq!(schedule.due(), start + 8 * SECOND);
    }

    #[test]
    fn a_hint_is_followed_within_what_keeps_values_live() {
        let start = Instant::now();
        let mut schedule = Schedule::new(60 * SECOND, 300 * SECOND, start);
        for (hint, expected) in [(7, 7), (0, 1), (100_000, 150)] {
            schedule.succeeded(start, Some(hint * SECOND), 0.0);
            assert_eq!(schedule.due(), start + expected * SECOND, "{hint}");
        }
    }

    #[test]
    fn a_floor_only_moves_the_next_poll_out() {
        let start = Instant::now();
        let mut schedule = Schedule::new(2 * SECOND, 10 * SECOND, start);
        schedule.hold(start + 30 * SECOND);
        schedule.hold(start + 20 * SECOND);
        assert_eq!(schedule.due(), start + 30 * SECOND);
    }

    #[test]
    fn feeds_start_one_after_another_within_a_second() {
        let offsets: Vec<_> =
            (0..5).map(|index| start_offset(index, 5, 10 * SECOND, 0.5)).collect();
        assert_eq!(offsets[0], Duration::ZERO);
        assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(offsets[4] < SECOND);
        assert_eq!(start_offset(3, 0, SECOND, 9.0).as_secs(), 3);
    }

    #[test]
    fn what_says_nothing_new_is_polled_less_often_until_it_does() {
        let start = Instant::now();
        let mut fixed = Schedule::new(SECOND, 60 * SECOND, start);
        let mut adaptive = fixed.clone().adaptive();
        for expected in [1_000, 1_000, 1_500, 2_250, 3_375, 4_000, 4_000] {
            adaptive.answered(true);
            fixed.answered(true);
            assert_eq!(adaptive.in_force(), Duration::from_millis(expected));
            assert_eq!(fixed.in_force(), SECOND);
        }
        adaptive.succeeded(start, None, 0.5);
        assert_eq!(adaptive.due(), start + 4 * SECOND);
        adaptive.answered(false);
        adaptive.succeeded(start + 4 * SECOND, None, 0.5);
        assert_eq!(adaptive.due(), start + 5 * SECOND);
    }

    #[test]
    fn a_hint_goes_before_what_was_learnt() {
        let start = Instant::now();
        let mut schedule = Schedule::new(SECOND, 60 * SECOND, start).adaptive();
        for _ in 0..10 {
            schedule.answered(true);
        }
        schedule.succeeded(start, Some(7 * SECOND), 0.0);
        assert_eq!(schedule.due(), start + 7 * SECOND);
        schedule.succeeded(start, Some(2 * SECOND), 0.0);
        assert_eq!(schedule.due(), start + 2 * SECOND);
    }

    proptest! {
        #[test]
        fn an_adaptive_feed_is_never_faster_than_told_nor_slow_enough_to_go_stale(
            interval_ms in 10_u64..10_000,
            stale in 3_u32..20,
            answers in prop::collection::vec((any::<bool>(), 0.0..1.0), 3..50),
        ) {
            let interval = Duration::from_millis(interval_ms);
            let stale_after = interval * stale;
            let slowest = (4 * interval).min(stale_after / 3).max(interval);
            let mut polled = vec![Instant::now()];
            let mut schedule = Schedule::new(interval, stale_after, polled[0]).adaptive();
            for (unchanged, random) in answers {
                schedule.answered(unchanged);
                let current = schedule.in_force();
                prop_assert!(current >= interval && current <= slowest);
                prop_assert!(unchanged || current == interval);
                let now = polled[polled.len() - 1];
                schedule.succeeded(now, None, random);
                // One may be late and the next early, by a tenth of `every` each.
                let jitter = interval.mul_f64(0.2 + 1e-6);
                prop_assert!(schedule.due() + jitter >= now + interval);
                prop_assert!(schedule.due() <= now + current + jitter);
                polled.push(schedule.due());
            }
            // Of any three polls in a row two may fail to confirm what is shown.
            prop_assert!(polled.windows(3).all(|polls| polls[2] - polls[0] < stale_after));
        }

        #[test]
        fn however_long_nothing_changed_one_change_ends_it(
            interval_ms in 10_u64..10_000,
            unchanged in 0_usize..30,
            random in 0.0..1.0,
        ) {
            let (start, interval) = (Instant::now(), Duration::from_millis(interval_ms));
            let mut schedule = Schedule::new(interval, 20 * interval, start).adaptive();
            for _ in 0..unchanged {
                schedule.answered(true);
            }
            schedule.answered(false);
            schedule.succeeded(start, None, random);
            prop_assert_eq!(schedule.in_force(), interval);
            prop_assert!(schedule.due() <= start + interval.mul_f64(1.1 + 1e-6));
            schedule.answered(true);
            prop_assert_eq!(schedule.in_force(), interval);
        }

        #[test]
        fn the_next_poll_is_to_come_and_at_most_an_interval_and_its_jitter_away(
            interval_ms in 1_u64..100_000,
            polled_ms in 0_u64..1_000_000,
            random in 0.0..1.0,
        ) {
            let (start, interval) = (Instant::now(), Duration::from_millis(interval_ms));
            let mut schedule = Schedule::new(interval, 5 * interval, start);
            let now = start + Duration::from_millis(polled_ms);
            schedule.succeeded(now, None, random);
            prop_assert!(schedule.due() >= now);
            prop_assert!(schedule.due() <= now + interval.mul_f64(1.1 + 1e-9));
        }
    }
}
