//! The edge: where the wall clock meets the market, and what the handlers share.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::units::Micros;

use super::{assets::Asset, config::Config, market::Market, path::STEP_MS};

/// What the handlers share.
#[derive(Debug)]
pub(super) struct World {
    market: Mutex<Market>,
    weight: Mutex<Weight>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Weight {
    minute: u64,
    used: u32,
}

impl World {
    /// A world that begins now, at the moment `epoch`.
    pub(super) fn new(config: &Config, assets: &[&'static Asset], epoch: Micros) -> Self {
        Self {
            market: Mutex::new(Market::new(config.seed, config.volatility, assets, epoch)),
            weight: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// As [`Self::see`], and the moment, which lies in the market's step.
    pub(super) fn see_now<T>(&self, read: impl FnOnce(&Market, Micros) -> T) -> T {
        let elapsed = self.started.elapsed();
        let mut market = self.market.lock();
        market.advance_to(millis(elapsed) / STEP_MS);
        let passed = Micros::try_from(elapsed.as_micros()).unwrap_or(Micros::MAX);
        let now = market.time_of(0).saturating_add(passed);
        read(&market, now)
    }

    /// When the market next moves.
    pub(super) fn next_step(&self) -> Instant {
        let step = millis(self.started.elapsed()) / STEP_MS + 1;
        self.started + Duration::from_millis(step * STEP_MS)
    }

    /// The market as it is now. `read` runs under the lock and must be quick.
    pub(super) fn see<T>(&self, read: impl FnOnce(&Market) -> T) -> T {
        self.see_now(|market, _| read(market))
    }

    /// Charges request weight and returns what this minute has used so far.
    pub(super) fn charge(&self, weight: u32) -> u32 {
        let minute = millis(self.started.elapsed()) / 60_000;
        let mut counter = self.weight.lock();
        if counter.minute != minute {
            *counter = Weight { minute, used: 0 };
        }
        counter.used = counter.used.saturating_add(weight);
        counter.used
    }
}

fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
