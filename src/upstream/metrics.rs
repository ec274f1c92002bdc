//! What one feed counts.

use metrics::{Counter, Gauge, Histogram};

use super::validate::Fault;
use crate::{
    market::{Breaker, Reason},
    telemetry::{Latency, LatencyBatch, Telemetry},
};

/// What a request can come to besides a failure's reason.
const OK: &str = "ok";
const NOT_MODIFIED: &str = "not_modified";

/// Reasons for which a request fails.
const FAILURES: [Reason; 8] = [
    Reason::Timeout,
    Reason::Connect,
    Reason::Tls,
    Reason::RateLimited,
    Reason::Http4xx,
    Reason::Http5xx,
    Reason::BadBody,
    Reason::NoData,
];

/// Handles of one feed.
pub struct Metrics {
    outcomes: Vec<(&'static str, Counter)>,
    quarantined: [(Fault, Counter); Fault::ALL.len()],
    /// Time from sending a request to having its whole answer.
    pub duration: Histogram,
    /// Of all feeds, the time from a whole answer to its values in the hub.
    publish: Latency,
    /// Restarts after a panic.
    pub restarts: Counter,
    /// Updates of a synthetic feed that came too late to be made.
    pub skipped: Counter,
    breaker: Gauge,
    age: Gauge,
}

/// Handles of a feed that has a stream.
pub struct StreamMetrics {
    /// Connections after the first.
    pub reconnects: Counter,
    /// Readings that came out of order.
    pub ignored: Counter,
    /// Whether a connection stands.
    pub connected: Gauge,
}

impl StreamMetrics {
    /// Registers the handles of `feed`.
    pub fn new(telemetry: &Telemetry, feed: &str) -> Self {
        let labels = [("feed", feed)];
        Self {
            reconnects: telemetry.counter("tickwire_upstream_reconnects_total", &labels),
            ignored: telemetry.counter("tickwire_upstream_ignored_total", &labels),
            connected: telemetry.gauge("tickwire_upstream_stream_connected", &labels),
        }
    }
}

impl Metrics {
    /// Registers the handles of `feed`.
    pub fn new(telemetry: &Telemetry, feed: &str) -> Self {
        let labels = [("feed", feed)];
        let outcomes = [OK, NOT_MODIFIED].into_iter().chain(FAILURES.map(Reason::as_str));
        let outcome = |outcome| {
            let labels = [("feed", feed), ("outcome", outcome)];
            (outcome, telemetry.counter("tickwire_upstream_requests_total", &labels))
        };
        Self {
            outcomes: outcomes.map(outcome).collect(),
            quarantined: Fault::ALL.map(|fault| {
                let labels = [("feed", feed), ("reason", fault.as_str())];
                (fault, telemetry.counter("tickwire_quarantined_total", &labels))
            }),
            duration: telemetry.histogram("tickwire_upstream_request_duration_seconds", &labels),
            publish: telemetry.latency(
                "tickwire_upstream_publish_seconds",
                "From a whole answer of an upstream to its values in the hub",
            ),
            restarts: telemetry.counter("tickwire_upstream_restarts_total", &labels),
            skipped: telemetry.counter("tickwire_upstream_skipped_total", &labels),
            breaker: telemetry.gauge("tickwire_upstream_breaker_state", &labels),
            age: telemetry.gauge("tickwire_feed_age_seconds", &labels),
        }
    }

    /// Says what the metrics of all feeds count.
    pub fn describe(telemetry: &Telemetry) {
        for (name, text) in [
            (
                "tickwire_upstream_requests_total",
                "Requests to upstreams by outcome: ok, not_modified, or why it failed",
            ),
            (
                "tickwire_upstream_request_duration_seconds",
                "Time from a request to its whole answer",
            ),
            ("tickwire_upstream_breaker_state", "Circuit breaker: 0 closed, 1 half-open, 2 open"),
            ("tickwire_upstream_budget_remaining", "Units that may still be asked of a host"),
            ("tickwire_upstream_restarts_total", "Feeds restarted after a panic"),
            ("tickwire_upstream_skipped_total", "Synthetic updates that came too late to be made"),
            ("tickwire_upstream_reconnects_total", "Streams connected again after the first time"),
            (
                "tickwire_upstream_ignored_total",
                "Readings of a stream that came out of order or are older than what came another way",
            ),
            ("tickwire_upstream_stream_connected", "Whether the connection of a stream stands"),
            ("tickwire_feed_age_seconds", "Time since a feed delivered last, or since the start"),
            (
                "tickwire_quarantined_total",
                "Ticks held back because they cannot be true, or left out of the consolidated price",
            ),
        ] {
            telemetry.describe(name, text);
        }
    }

    /// A request was answered; `modified` is false where what we had is confirmed.
    pub fn answered(&self, modified: bool) {
        self.count(if modified { OK } else { NOT_MODIFIED });
    }

    /// What an answer held was published, so many microseconds after it was complete.
    pub fn published(&self, us: i64) {
        let mut batch = LatencyBatch::default();
        batch.record(us);
        self.publish.take_in(&mut batch);
    }

    /// A request failed.
    pub fn failed(&self, reason: Reason) {
        self.count(reason.as_str());
    }

    fn count(&self, outcome: &str) {
        if let Some((_, counter)) = self.outcomes.iter().find(|(known, _)| *known == outcome) {
            counter.increment(1);
        }
    }

    /// A tick was held back.
    pub fn quarantined(&self, fault: Fault) {
        if let Some((_, counter)) = self.quarantined.iter().find(|(known, _)| *known == fault) {
            counter.increment(1);
        }
    }

    /// The breaker is now in `state`.
    pub fn breaker(&self, state: Breaker) {
        self.breaker.set(match state {
            Breaker::Closed => 0.0,
            Breaker::HalfOpen => 1.0,
            Breaker::Open => 2.0,
        });
    }

    /// The feed delivered `secs` ago.
    pub fn age(&self, secs: f64) {
        self.age.set(secs);
    }
}
