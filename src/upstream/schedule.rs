//! When a feed is polled next. Pure: time and random numbers (0 to 1) are arguments.

use std::time::{Duration, Instant};

/// First polls are spread over at most this, so that a start shows data at once.
const SPREAD_MAX: Duration = Duration::from_secs(1);

/// Part of an interval by which a poll may be early or late.
const JITTER: f64 = 0.1;

/// A hint never asks for polls closer together than this, or than the interval where that is
/// shorter.
const HINT_MIN: Duration = Duration::from_secs(1);

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
    hint_max: Duration,
    slot: Instant,
    due: Instant,
}

impl Schedule {
    /// Polls each `interval` from `first` on. A hint is followed up to half of `stale_after`, so
    /// that a polite wait makes nothing stale.
    pub fn new(interval: Duration, stale_after: Duration, first: Instant) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        Self { interval, hint_max: interval.max(stale_after / 2), slot: first, due: first }
    }

    /// When the next poll is due.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// A poll went well and ended at `now`. `hint` is when the upstream promises something new.
    pub fn succeeded(&mut self, now: Instant, hint: Option<Duration>, random: f64) {
        if let Some(hint) = hint {
            let wait = hint.clamp(HINT_MIN.min(self.interval), self.hint_max);
            self.slot = now + wait;
            // Only ever late: before the promised moment there is nothing to be had.
            self.due = self.slot + wait.mul_f64(JITTER * unit(random));
            return;
        }
        self.slot += self.interval * self.slots_behind(now);
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
        u32::try_from(behind / self.interval.as_nanos() + 1).unwrap_or(u32::MAX)
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

    proptest! {
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
