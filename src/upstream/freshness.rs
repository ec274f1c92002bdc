//! The sweep: lets time pass for topics, consolidated prices and feeds.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{clock::Clock, consolidate::Consolidator, feed::Feed};
use crate::{
    hub::Hub,
    shutdown::{Shutdown, Stage},
};

/// How late a change of freshness may be told. That a source leaves a consolidated price is told at
/// once: clients act on the price.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// What ages.
pub struct Sweep {
    /// Topics.
    pub hub: Arc<Hub>,
    /// Consolidated prices.
    pub consolidator: Arc<Consolidator>,
    /// Feeds.
    pub feeds: Arc<[Arc<Feed>]>,
    /// By what it ages.
    pub clock: Clock,
}

impl Sweep {
    /// Sweeps until producers are to stop.
    pub async fn run(self, mut shutdown: Shutdown) {
        let mut ticks = interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.reached(Stage::Stopping) => return,
                _ = ticks.tick() => {}
                () = self.consolidator.due(&self.clock) => {
                    self.consolidator.sweep(self.clock.now());
                    continue;
                }
            }
            let now = self.clock.now();
            // The consolidator first: where another source takes over, the topic does not age.
            self.consolidator.sweep(now);
            self.hub.sweep(now);
            for feed in self.feeds.iter() {
                feed.sweep(now);
            }
        }
    }
}
