//! When to connect again. Pure: time and random numbers (0 to 1) are arguments.

use std::time::{Duration, Instant};

use crate::upstream::backoff::Backoff;

/// A connection that has delivered for this long was a good one: what comes after it begins anew.
pub const SETTLED: Duration = Duration::from_secs(30);

/// A connection that was to be left anyway is followed by the next at once, unless it stood for less
/// than this: a venue that sends everybody away must not be met with a storm.
const LEFT_MIN: Duration = Duration::from_secs(10);

/// So many restarts in a row after a panic need no wait besides that of the restart itself.
const PANICS: u32 = 4;

/// Exponential back-off with jitter, from half a second to 30 s.
#[derive(Debug, Clone)]
pub struct Retry {
    backoff: Backoff,
    panics: u32,
    due: Instant,
}

impl Retry {
    /// The first attempt is due at `first`.
    pub fn new(first: Instant) -> Self {
        // The venue's interval is that of polls; a stream has none.
        Self { backoff: Backoff::new(Duration::ZERO), panics: 0, due: first }
    }

    /// When the next attempt is due.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// An attempt or a connection failed. `delivered` is for how long it had delivered, and
    /// `retry_after` what the venue asked for.
    pub fn failed(
        &mut self,
        now: Instant,
        delivered: Duration,
        retry_after: Option<Duration>,
        random: f64,
    ) {
        if delivered >= SETTLED {
            self.reset();
        }
        let wait = self.backoff.failed(random);
        self.due = now + wait.max(retry_after.unwrap_or_default());
    }

    /// A connection is left as it was meant to be, having stood for `stood`. Says whether the next
    /// is due at once.
    pub fn left(&mut self, now: Instant, stood: Duration, random: f64) -> bool {
        let at_once = stood >= LEFT_MIN;
        if at_once {
            self.reset();
            self.due = now;
        } else {
            self.due = now + self.backoff.failed(random);
        }
        at_once
    }

    /// The loop panicked.
    pub fn panicked(&mut self, now: Instant, random: f64) {
        self.panics = self.panics.saturating_add(1);
        let wait = self.backoff.failed(random);
        self.due = if self.panics <= PANICS { now } else { now + wait };
    }

    fn reset(&mut self) {
        self.backoff.reset();
        self.panics = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_grow_until_a_connection_has_delivered_for_a_while() {
        let now = Instant::now();
        let mut retry = Retry::new(now);
        let mut waits = |delivered, random| {
            retry.failed(now, delivered, None, random);
            (retry.due() - now).as_secs_f64()
        };
        let grown: Vec<f64> = (0..8).map(|_| waits(SECOND, 1.0)).collect();
        assert_eq!(grown, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(waits(SETTLED, 1.0), 1.0);
        assert_eq!(waits(Duration::ZERO, 0.0), 0.5);
    }

    #[test]
    fn a_venue_that_wants_to_be_left_alone_is() {
        let now = Instant::now();
        let mut retry = Retry::new(now);
        retry.failed(now, Duration::ZERO, Some(90 * SECOND), 0.5);
        assert_eq!(retry.due(), now + 90 * SECOND);
    }

    #[test]
    fn a_planned_end_is_followed_at_once_and_a_storm_of_them_is_not() {
        let now = Instant::now();
        let mut retry = Retry::new(now);
        assert!(retry.left(now, 60 * SECOND, 1.0));
        assert_eq!(retry.due(), now);
        assert!(!retry.left(now, SECOND, 1.0));
        assert!(!retry.left(now, SECOND, 1.0));
        assert_eq!(retry.due(), now + 2 * SECOND);
    }

    #[test]
    fn a_panic_is_followed_at_once_and_a_storm_of_them_is_not() {
        let now = Instant::now();
        let mut retry = Retry::new(now);
        (0..PANICS).for_each(|_| retry.panicked(now, 1.0));
        assert_eq!(retry.due(), now);
        retry.panicked(now, 1.0);
        assert!(retry.due() >= now + 16 * SECOND);
    }
}
