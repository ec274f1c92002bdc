//! A token bucket that takes time as an argument.

use std::time::{Duration, Instant};

/// Allows `rate` tokens a second on average and `burst` at once. Starts full.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    refilled: Instant,
}

impl TokenBucket {
    /// `rate` tokens a second, at most `burst` saved up.
    pub fn new(rate: f64, burst: f64, now: Instant) -> Self {
        Self { rate, burst, tokens: burst, refilled: now }
    }

    /// Takes `tokens` if they are there.
    pub fn take(&mut self, tokens: f64, now: Instant) -> bool {
        self.refill(now);
        if self.tokens < tokens {
            return false;
        }
        self.tokens -= tokens;
        true
    }

    /// How long until `tokens` are there; zero when they are. More than the burst waits for a full
    /// bucket.
    pub fn wait(&mut self, tokens: f64, now: Instant) -> Duration {
        self.refill(now);
        let missing = tokens.min(self.burst) - self.tokens;
        if missing <= 0.0 || self.rate <= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(missing / self.rate)
    }

    /// Tokens that could be taken now.
    pub fn available(&mut self, now: Instant) -> f64 {
        self.refill(now);
        self.tokens
    }

    /// Tells the bucket what a server says is left, when that is less than it believed.
    pub fn observe(&mut self, left: f64, now: Instant) {
        self.refill(now);
        self.tokens = self.tokens.min(left.max(0.0));
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate).min(self.burst);
        self.refilled = self.refilled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(2.0, 4.0, start);
        assert_eq!((0..6).filter(|_| bucket.take(1.0, start)).count(), 4);
        assert_eq!(bucket.wait(1.0, start), Duration::from_millis(500));
        assert!(bucket.take(1.0, start + Duration::from_millis(500)));
        assert!(!bucket.take(1.0, start + Duration::from_millis(500)));
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut bucket = TokenBucket::new(1.0, 1.0, start);
        assert!(bucket.take(1.0, start));
        assert!(!bucket.take(1.0, start - Duration::from_secs(5)));
        assert!(!bucket.take(1.0, start));
    }

    #[test]
    fn an_observed_remainder_only_lowers() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(1.0, 10.0, start);
        bucket.observe(3.0, start);
        assert_eq!(bucket.available(start), 3.0);
        bucket.observe(8.0, start);
        assert_eq!(bucket.available(start), 3.0);
    }
}
