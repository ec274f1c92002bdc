//! What the hub counts.

use metrics::{Counter, Gauge};

use crate::{
    market::{State, Topic},
    telemetry::Telemetry,
};

/// The closed set of kinds, which are the topics' first tokens; anything else counts as `other`.
const KINDS: [&str; 7] = ["price", "candle", "signal", "onchain", "market", "status", "other"];

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind(usize);

impl Kind {
    pub(super) fn of(topic: &Topic) -> Self {
        let kind = topic.kind();
        Self(KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1))
    }
}

pub(super) struct Metrics {
    published: [Counter; KINDS.len()],
    topics: [Gauge; State::ALL.len()],
}

impl Metrics {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        telemetry.describe("tickwire_published_total", "Updates issued by the hub");
        telemetry.describe("tickwire_topics", "Topics by freshness");
        Self {
            published: KINDS
                .map(|kind| telemetry.counter("tickwire_published_total", &[("kind", kind)])),
            topics: State::ALL
                .map(|state| telemetry.gauge("tickwire_topics", &[("state", state.as_str())])),
        }
    }

    pub(super) fn published(&self, kind: Kind) {
        if let Some(counter) = self.published.get(kind.0) {
            counter.increment(1);
        }
    }

    pub(super) fn topics(&self, counts: [u32; State::ALL.len()]) {
        for (gauge, count) in self.topics.iter().zip(counts) {
            gauge.set(f64::from(count));
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
