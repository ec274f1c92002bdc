//! A load that is made in the process: topics `bench.0`, `bench.1`…, always changing, in an open
//! loop, so that the figures of a load test do not depend on an upstream.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::{clock::Clock, feed::Feed, supervise::Work};
use crate::{
    hub::{Hub, Slot},
    market::{Data, Reason, Tick, Topic},
    units::Micros,
};

/// Updates are made in batches at multiples of this, in microseconds: a timer has no much finer
/// grain, and batches of the same size are what another load can be compared with.
const BATCH_EVERY_US: u64 = 2_000;

/// Updates made in a row before other tasks get a turn.
const TURN: u64 = 256;

/// What is later than this is skipped rather than made.
const LATE_MAX_SECS: u64 = 1;

/// Bytes of a message around its topic, source and padding, with numbers of usual length.
const AROUND: usize = concat!(
    r#"{"type":"update","topic":"","seq":1000000,"ts":1790000000000000,"#,
    r#""rx":1790000000000000,"source":"","data":{"n":1000000,"pad":""}}"#
)
.len();

/// What a synthetic feed makes.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Topics, in turn.
    pub topics: usize,
    /// Updates a second over all topics.
    pub rate: u32,
    /// About how large a message is, in bytes.
    pub payload_bytes: usize,
}

/// A synthetic feed.
pub struct Synthetic {
    feed: Arc<Feed>,
    hub: Arc<Hub>,
    clock: Clock,
    load: Load,
    lanes: Vec<Lane>,
    made: i64,
}

struct Lane {
    slot: Arc<Slot>,
    /// Its last reading, which becomes the next.
    tick: Tick,
}

impl Synthetic {
    /// Makes `load` under the name of `feed`.
    pub fn new(feed: Arc<Feed>, hub: Arc<Hub>, clock: Clock, load: Load) -> Self {
        let lane = |index| {
            let topic = Topic::parse(&format!("bench.{index}")).ok()?;
            let around = AROUND + topic.as_str().len() + feed.name().len();
            let pad = "x".repeat(load.payload_bytes.saturating_sub(around));
            let data = Data::new().with("n", 0).with("pad", pad);
            Some(Lane { slot: hub.declare(&topic), tick: Tick { topic, data, ts: None } })
        };
        Self { lanes: (0..load.topics).filter_map(lane).collect(), feed, hub, clock, load, made: 0 }
    }

    /// Publishes some that are due, all dated when the first is: what delays the later ones counts
    /// as their delay.
    fn publish_some(&mut self, updates: u64) -> u64 {
        let hub = self.hub.clone();
        let _together = hub.batch();
        let now = self.clock.now();
        (0..updates).for_each(|_| self.publish(now));
        updates
    }

    fn publish(&mut self, now: Micros) {
        let lanes = i64::try_from(self.lanes.len()).unwrap_or(i64::MAX).max(1);
        let turn = usize::try_from(self.made % lanes).unwrap_or(0);
        let Some(Lane { slot, tick }) = self.lanes.get_mut(turn) else {
            return;
        };
        tick.data.set("n", Some(self.made.into()));
        tick.ts = Some(now);
        let (name, stale_after) = (self.feed.name(), self.feed.stale_after());
        self.hub.publish_to(slot, tick, name, now, stale_after);
        self.made += 1;
    }

    fn skip(&self, updates: u64, skipping: &mut bool) {
        self.feed.metrics().skipped.increment(updates);
        if !*skipping {
            tracing::warn!(feed = %self.feed.name(), updates, "too slow: late updates are skipped");
            *skipping = true;
        }
    }
}

impl Work for Synthetic {
    async fn run(&mut self) {
        let start = Instant::now();
        let rate = u64::from(self.load.rate.max(1));
        let (mut done, mut skipping) = (0, false);
        loop {
            let elapsed = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            let target = scheduled(elapsed - elapsed % BATCH_EVERY_US, rate);
            let late = target.saturating_sub(done);
            match late.saturating_sub(rate * LATE_MAX_SECS) {
                0 => skipping = false,
                excess => {
                    self.skip(excess, &mut skipping);
                    done += excess;
                }
            }
            while done < target {
                done += self.publish_some(TURN.min(target - done));
                if done < target {
                    yield_now().await;
                }
            }
            if late > 0 {
                self.feed.delivered(self.clock.now());
            }
            let now = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            let next = due(done, rate).max(now + 1).next_multiple_of(BATCH_EVERY_US);
            sleep_until(start + Duration::from_micros(next)).await;
        }
    }

    fn panicked(&mut self, message: &str) {
        self.feed.metrics().restarts.increment(1);
        let feed = self.feed.name();
        tracing::error!(%feed, error = message, "feed panicked and is restarted");
        self.feed.failed(Reason::NoData, "panicked", self.clock.now());
    }
}

/// Updates that are due `elapsed` µs after the start: the first at once.
fn scheduled(elapsed: u64, rate: u64) -> u64 {
    let count = u128::from(elapsed) * u128::from(rate) / 1_000_000;
    u64::try_from(count).unwrap_or(u64::MAX).saturating_add(1)
}

/// When update `index` is due, in µs after the start.
fn due(index: u64, rate: u64) -> u64 {
    u64::try_from((u128::from(index) * 1_000_000).div_ceil(u128::from(rate))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
