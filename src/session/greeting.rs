//! What every client is told, whatever it asks: at the beginning, now and then, and before the end.

use std::{ops::Range, time::Instant};

use rand::Rng;
use ulid::Ulid;

use super::{HEARTBEAT, Sessions};
use crate::{
    delivery::Subscriber,
    protocol::{
        self,
        code::ErrorCode,
        event::{Heartbeat, Notice, Welcome, WelcomeLimits},
    },
    units::now_us,
};

/// Clients are told to come back after this long at least, and at most this much later, so that
/// they do not all come at once.
const RECONNECT_AFTER_MS: Range<u64> = 500..5000;

/// Sends the first message of every connection.
pub(super) fn welcome(sessions: &Sessions, subscriber: &Subscriber) {
    let limits = &sessions.settings.limits;
    let welcome = Welcome {
        protocol: protocol::NAME,
        server: protocol::SERVER,
        connection_id: &Ulid::new().to_string(),
        epoch: sessions.delivery.reader().epoch(),
        time: now_us(),
        heartbeat_ms: u64::try_from(HEARTBEAT.as_millis()).unwrap_or(u64::MAX),
        limits: WelcomeLimits {
            max_topics: limits.topics,
            max_topics_per_request: limits.topics_per_request,
            max_message_bytes: limits.message_bytes.0,
            requests_per_s: limits.requests_per_s,
        },
        principal: "anonymous",
    };
    subscriber.say(&welcome, Instant::now());
}

/// Says that the connection lives.
pub(super) fn heartbeat() -> Heartbeat {
    Heartbeat { time: now_us() }
}

/// Says that the server is about to stop.
pub(super) fn farewell() -> Notice<'static> {
    Notice {
        code: ErrorCode::Draining.as_str(),
        message: Some("the server is about to stop"),
        topic: None,
        reconnect_after_ms: Some(rand::rng().random_range(RECONNECT_AFTER_MS)),
    }
}
