//! How long to wait after a failure. Pure: random numbers (0 to 1) are arguments.

use std::time::Duration;

/// The shortest wait, and the bound of the first.
const SHORTEST: Duration = Duration::from_millis(500);

/// The bound beyond which waits do not grow.
const LONGEST: Duration = Duration::from_secs(30);

/// Exponential back-off with full jitter: each wait is drawn between half a second and a bound
/// that doubles with every failure in a row, up to 30 s.
///
/// A feed is never asked faster while it fails than while it is well: the wait is at least the
/// feed's own interval, which then decides alone where it is longer than 30 s. An upstream's
/// allowance is for its interval, and a failing one least of all deserves more.
#[derive(Debug, Clone)]
pub struct Backoff {
    interval: Duration,
    failures: u32,
}

impl Backoff {
    /// No failure yet.
    pub fn new(interval: Duration) -> Self {
        Self { interval, failures: 0 }
    }

    /// Counts a failure and says how long to wait.
    pub fn failed(&mut self, random: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let random = random.clamp(0.0, 1.0);
        let drawn = SHORTEST + (self.bound() - SHORTEST).mul_f64(random);
        // Feeds of one interval that fail together must not come back together.
        drawn.max(self.interval + self.interval.mul_f64(0.1 * random))
    }

    /// The longest that the jitter may draw after the failures so far.
    fn bound(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        SHORTEST.saturating_mul(doubled).min(LONGEST)
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_thirty_seconds_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100));
        let waits: Vec<_> = (0..8).map(|_| backoff.failed(1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.failed(1.0), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn a_wait_is_never_shorter_than_the_interval_or_longer_than_the_bounds(
            interval_ms in 1_u64..100_000,
            randoms in proptest::collection::vec(0.0..1.0, 1..80),
        ) {
            let interval = Duration::from_millis(interval_ms);
            let mut backoff = Backoff::new(interval);
            for random in randoms {
                let wait = backoff.failed(random);
                prop_assert!(wait >= interval.max(SHORTEST));
                prop_assert!(wait <= LONGEST.max(interval.mul_f64(1.1 + 1e-9)));
            }
        }
    }
}
