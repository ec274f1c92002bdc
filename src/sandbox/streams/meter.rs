//! How often a client speaks.

use std::collections::VecDeque;

use crate::units::Micros;

const SECOND_US: Micros = 1_000_000;

/// Counts what came within the last second, whichever second that is.
#[derive(Debug)]
pub(super) struct Meter {
    limit: usize,
    /// When the last ones came, at most `limit`.
    times: VecDeque<Micros>,
}

impl Meter {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, times: VecDeque::with_capacity(limit) }
    }

    /// Takes one more; false when it is one too many.
    pub(super) fn take(&mut self, now: Micros) -> bool {
        while self.times.front().is_some_and(|first| now - first >= SECOND_US) {
            self.times.pop_front();
        }
        let allowed = self.times.len() < self.limit;
        if allowed {
            self.times.push_back(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_within_any_second_is_too_many() {
        let mut meter = Meter::new(5);
        for at in [0, 300_000, 600_000, 900_000, 999_999] {
            assert!(meter.take(at), "{at}");
        }
        assert!(!meter.take(999_999));
        assert!(meter.take(1_000_000), "the first is a second old");
        assert!(!meter.take(1_299_999));
        assert!(meter.take(1_300_000));
    }
}
