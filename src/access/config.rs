//! `[limits]`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::ByteSize;

/// How much one client, one address and all of them may use.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Sessions in the whole server.
    pub connections: usize,
    /// Sessions of one address; loopback is exempt.
    pub per_ip: usize,
    /// Subscriptions of one session.
    pub topics: usize,
    /// Topics in one request.
    pub topics_per_request: usize,
    /// Largest inbound message.
    pub message_bytes: ByteSize,
    /// Requests a second of one session; twice as many at once.
    pub requests_per_s: u32,
    /// Topics that the patterns of one session may match.
    pub matched_topics: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            per_ip: 64,
            topics: 1024,
            topics_per_request: 256,
            message_bytes: ByteSize::kib(64),
            requests_per_s: 20,
            matched_topics: 10_000,
        }
    }
}
