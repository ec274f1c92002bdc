//! What delivery counts.

use metrics::{Counter, Gauge};

use super::{account::Account, tally::LOSSES};
use crate::telemetry::{Latency, Telemetry};

/// Handles of one transport.
pub(super) struct Metrics {
    offered: Counter,
    delivered: Counter,
    conflated: Counter,
    filtered: Counter,
    gaps: Counter,
    dropped: [Counter; LOSSES.len()],
    pub(super) subscriptions: Gauge,
    pub(super) queue_bytes: Gauge,
    latency: Latency,
    end_to_end: Latency,
}

/// How a client is reached: a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// WebSocket.
    WebSocket,
    /// Server-Sent Events.
    Sse,
}

impl TransportKind {
    /// Every transport.
    pub const ALL: [Self; 2] = [Self::WebSocket, Self::Sse];

    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "ws",
            Self::Sse => "sse",
        }
    }
}

impl Metrics {
    pub(super) fn new(telemetry: &Telemetry, transport: TransportKind) -> Self {
        describe(telemetry);
        let transport = [("transport", transport.as_str())];
        Self {
            offered: telemetry.counter("tickwire_offered_total", &[]),
            delivered: telemetry.counter("tickwire_delivered_total", &transport),
            conflated: telemetry.counter("tickwire_conflated_total", &[]),
            filtered: telemetry.counter("tickwire_filtered_total", &[]),
            gaps: telemetry.counter("tickwire_gaps_total", &[]),
            dropped: LOSSES.map(|(_, label)| {
                telemetry.counter("tickwire_dropped_total", &[("reason", label)])
            }),
            subscriptions: telemetry.gauge("tickwire_subscriptions", &[]),
            queue_bytes: telemetry.gauge("tickwire_send_queue_bytes", &[]),
            latency: telemetry.latency(
                "tickwire_delivery_latency_seconds",
                "From received here to taken by the kernel",
            ),
            end_to_end: telemetry.latency(
                "tickwire_end_to_end_latency_seconds",
                "From the source's time to taken by the kernel",
            ),
        }
    }

    /// Adds what was gathered, and empties it.
    pub(super) fn report(&self, account: &mut Account) {
        self.latency.take_in(&mut account.delivery);
        self.end_to_end.take_in(&mut account.end_to_end);
        let tally = std::mem::take(&mut account.tally);
        for (counter, amount) in [
            (&self.offered, tally.offered),
            (&self.delivered, tally.delivered),
            (&self.conflated, tally.conflated),
            (&self.filtered, tally.filtered),
            (&self.gaps, tally.gaps),
        ]
        .into_iter()
        .chain(self.dropped.iter().zip(tally.dropped))
        {
            if amount > 0 {
                counter.increment(amount);
            }
        }
    }
}

fn describe(telemetry: &Telemetry) {
    for (name, text) in [
        ("tickwire_offered_total", "Updates offered to subscriptions: the ledgers' published"),
        ("tickwire_delivered_total", "Updates whose last byte the kernel took"),
        ("tickwire_conflated_total", "Updates replaced by a newer one while waiting"),
        ("tickwire_filtered_total", "Updates refused by filter, trigger or min_change"),
        ("tickwire_dropped_total", "Updates lost, by reason"),
        ("tickwire_gaps_total", "Gaps told to clients"),
        ("tickwire_subscriptions", "Subscriptions of all sessions"),
        ("tickwire_send_queue_bytes", "Bytes of updates that wait for clients"),
    ] {
        telemetry.describe(name, text);
    }
}
