//! How fresh a topic is, and why it is not.

use schemars::JsonSchema;
use serde::Serialize;

/// Freshness of a topic. Ordered from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Confirmed within its feed's `stale_after`.
    Live,
    /// Not confirmed for `stale_after`.
    Stale,
    /// Not confirmed for three times `stale_after`, never yet, or its breaker is open.
    Down,
}

/// Why a feed or topic is not live: the closed set of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No answer within the timeout.
    Timeout,
    /// No connection: refused, reset, no such host.
    Connect,
    /// The TLS handshake or certificate failed.
    Tls,
    /// 429, 418, or an error body that says so.
    RateLimited,
    /// Another status of 400 to 499.
    #[serde(rename = "http_4xx")]
    Http4xx,
    /// A status of 500 to 599.
    #[serde(rename = "http_5xx")]
    Http5xx,
    /// A body that is not what the API promises.
    BadBody,
    /// An answer without the value asked for, or none yet.
    NoData,
    /// Values that failed validation.
    Quarantined,
    /// The circuit breaker holds requests back.
    BreakerOpen,
    /// The upstream budget is spent.
    Budget,
    /// Nobody subscribes and the feed is polled on demand.
    Paused,
    /// The bus to the other nodes is down.
    Bus,
}

/// State of a feed's circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// Requests go out.
    Closed,
    /// Requests are held back.
    Open,
    /// One request is let through to see.
    HalfOpen,
}

impl Breaker {
    /// The name on the wire and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl State {
    /// Every state, best first.
    pub const ALL: [Self; 3] = [Self::Live, Self::Stale, Self::Down];

    /// The name on the wire and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Down => "down",
        }
    }
}

impl Reason {
    /// The name on the wire and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::RateLimited => "rate_limited",
            Self::Http4xx => "http_4xx",
            Self::Http5xx => "http_5xx",
            Self::BadBody => "bad_body",
            Self::NoData => "no_data",
            Self::Quarantined => "quarantined",
            Self::BreakerOpen => "breaker_open",
            Self::Budget => "budget",
            Self::Paused => "paused",
            Self::Bus => "bus",
        }
    }
}
