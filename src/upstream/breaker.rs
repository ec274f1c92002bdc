//! Holds requests back from an upstream that keeps failing. Pure: time is an argument.

use std::time::{Duration, Instant};

use crate::market::Breaker;

/// Failures in a row that open it.
const THRESHOLD: u32 = 5;

/// How long it is open first; doubled each time that the one request after it fails.
const OPEN_FIRST: Duration = Duration::from_secs(10);

/// The longest it is open.
const OPEN_LONGEST: Duration = Duration::from_secs(60);

/// A circuit breaker: closed until five failures in a row, then open for 10 s, then half-open,
/// which lets one poll through: success closes it, failure opens it for twice as long, a minute at
/// most.
#[derive(Debug, Clone)]
pub struct CircuitBreaker {
    state: State,
    failures: u32,
    open_for: Duration,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { state: State::Closed, failures: 0, open_for: OPEN_FIRST }
    }
}

impl CircuitBreaker {
    /// Whether a poll may go out now. One that may must be told of by [`Self::succeeded`],
    /// [`Self::failed`] or [`Self::withdrawn`].
    ///
    /// # Errors
    /// When it may not, when to ask again.
    pub fn allow(&mut self, now: Instant) -> Result<(), Instant> {
        match self.state {
            State::Closed => Ok(()),
            State::Open { until } if now < until => Err(until),
            State::Open { .. } => {
                self.state = State::HalfOpen;
                Ok(())
            }
            State::HalfOpen => Err(now + OPEN_FIRST),
        }
    }

    /// The poll went well.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The poll failed.
    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        match self.state {
            State::Closed if self.failures < THRESHOLD => return,
            State::Closed | State::Open { .. } => {}
            State::HalfOpen => self.open_for = (self.open_for * 2).min(OPEN_LONGEST),
        }
        self.state = State::Open { until: now + self.open_for };
    }

    /// The poll was not made: a trial may be made from `now` on.
    pub fn withdrawn(&mut self, now: Instant) {
        if matches!(self.state, State::HalfOpen) {
            self.state = State::Open { until: now };
        }
    }

    /// Until when requests are held back, while they are.
    pub fn open_until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed | State::HalfOpen => None,
        }
    }

    /// The state as it is told.
    pub fn state(&self) -> Breaker {
        match self.state {
            State::Closed => Breaker::Closed,
            State::Open { .. } => Breaker::Open,
            State::HalfOpen => Breaker::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(now: Instant) -> CircuitBreaker {
        let mut breaker = CircuitBreaker::default();
        (0..THRESHOLD).for_each(|_| breaker.failed(now));
        breaker
    }

    #[test]
    fn it_opens_at_the_fifth_failure_in_a_row() {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::default();
        (0..4).for_each(|_| breaker.failed(now));
        breaker.succeeded();
        (0..4).for_each(|_| breaker.failed(now));
        assert_eq!(breaker.state(), Breaker::Closed);
        breaker.failed(now);
        assert_eq!(breaker.state(), Breaker::Open);
        assert_eq!(breaker.allow(now + 9 * SECOND), Err(now + 10 * SECOND));
    }

    #[test]
    fn half_open_lets_one_through_and_success_closes_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + 10 * SECOND;
        assert_eq!(breaker.allow(later), Ok(()));
        assert_eq!(breaker.state(), Breaker::HalfOpen);
        assert!(breaker.allow(later).is_err());
        breaker.succeeded();
        assert_eq!(breaker.allow(later), Ok(()));
    }

    #[test]
    fn each_failed_trial_doubles_the_open_time_up_to_a_minute() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for secs in [10, 20, 40, 60, 60] {
            assert_eq!(breaker.open_until(), Some(now + secs * SECOND));
            now += secs * SECOND;
            assert_eq!(breaker.allow(now), Ok(()));
            breaker.failed(now);
        }
    }

    proptest! {
        #[test]
        fn an_open_breaker_lets_through_at_most_one_in_ten_seconds(
            steps in proptest::collection::vec(1_u64..20_000, 1..200),
        ) {
            let mut now = Instant::now();
            let mut breaker = opened(now);
            let mut last: Option<Instant> = None;
            for step in steps {
                now += Duration::from_millis(step);
                if breaker.allow(now).is_ok() {
                    prop_assert!(last.is_none_or(|last| now - last >= OPEN_FIRST));
                    last = Some(now);
                    breaker.failed(now);
                }
            }
        }
    }
}
