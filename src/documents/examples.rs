//! An example of every message, written by what writes the real ones, and of every request.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    market::{Reason, State, Topic, Update},
    protocol::{
        self,
        code::{ErrorBody, ErrorCode, GapReason},
        command::Method,
        event::{self, Gap, Heartbeat, Notice, Reply, RequestId, Status, Welcome, WelcomeLimits},
    },
};

const TOPIC: &str = "price.BTC-USD";
const EPOCH: &str = "k3f9x2m7";
const NOW: i64 = 1_790_000_000_150_123;

/// Every message that answers no request, by its type.
pub fn messages() -> Vec<(&'static str, Value)> {
    let welcome = Welcome {
        protocol: protocol::NAME,
        server: protocol::SERVER,
        connection_id: "01K5NQ4Z5D8V6W1T2R3Y4X5C6B",
        epoch: EPOCH,
        time: NOW,
        heartbeat_ms: 15_000,
        limits: WelcomeLimits {
            max_topics: 1024,
            max_topics_per_request: 256,
            max_message_bytes: 65_536,
            requests_per_s: 20,
        },
        principal: "anonymous",
    };
    let gap = Gap { topic: TOPIC, from: 59, to: 63, dropped: 5, reason: GapReason::SlowConsumer };
    let status = Status {
        topic: TOPIC,
        state: State::Stale,
        age_ms: Some(15_321),
        source: Some("coinbase"),
        reason: Some(Reason::RateLimited),
        retry_at: Some(1_790_000_060_000_000),
    };
    let notice = Notice {
        code: ErrorCode::Draining.as_str(),
        message: Some("the server is about to stop"),
        topic: None,
        reconnect_after_ms: Some(3400),
    };
    vec![
        ("welcome", written(|out| event::json(out, &welcome))),
        ("snapshot", written(|out| with_update(57, |u| event::snapshot(out, u, State::Live)))),
        ("update", written(|out| with_update(58, |u| event::update(out, u)))),
        ("gap", written(|out| event::json(out, &gap))),
        ("status", written(|out| event::json(out, &status))),
        ("heartbeat", written(|out| event::json(out, &Heartbeat { time: NOW }))),
        ("notice", written(|out| event::json(out, &notice))),
    ]
}

/// The answer to a request that failed.
pub fn failure() -> Value {
    let error =
        ErrorBody::new(ErrorCode::TooManyTopics, "300 topics are named, at most 256 may be");
    let id = RequestId::Int(9);
    let reply = Reply::<()> { id: &id, result: None, error: Some(&error) };
    written(|out| event::json(out, &reply))
}

/// A request of each method.
pub fn request(method: Method) -> Value {
    let params = match method {
        Method::Subscribe => json!({
            "topics": [TOPIC, "signal.ETH-USD.>"],
            "mode": "latest",
            "max_rate": 5,
            "filter": "data.price > 60000",
            "fields": ["price", "bid", "ask"],
            "min_change": {"field": "price", "bps": 10},
            "trigger": "level",
            "snapshot": true,
            "status": true,
            "resume": {"epoch": EPOCH, "seq": {TOPIC: 41}},
        }),
        Method::Unsubscribe => json!({"topics": [TOPIC]}),
        Method::Topics => json!({"pattern": "price.>", "limit": 100}),
        Method::Snapshot => json!({"topics": ["price.*"], "limit": 100}),
        Method::Replay => json!({"topic": TOPIC, "from": 41, "to": 99, "limit": 500}),
        Method::Auth => json!({"token": "…"}),
        Method::Subscriptions | Method::Ping => {
            return json!({"id": 1, "method": method.as_str()});
        }
    };
    json!({"id": 1, "method": method.as_str(), "params": params})
}

fn with_update(seq: u64, write: impl FnOnce(&Update)) {
    let Ok(topic) = Topic::parse(TOPIC) else { return };
    write(&Update {
        topic,
        epoch: Arc::from(EPOCH),
        seq,
        ts: Some(1_790_000_000_123_000),
        rx: NOW,
        source: Arc::from("coinbase"),
        data: Bytes::from_static(br#"{"price":"68900.50","volume_24h":"1893.20","sources":3}"#),
    });
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).unwrap_or_default()
}
