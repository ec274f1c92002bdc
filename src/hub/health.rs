//! What the hub's readers may know of the feeds, without knowing who polls them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    market::{Breaker, Reason, State},
    units::Micros,
};

/// Tells how the feeds are. Declared here so that readers and producers need not name each other.
pub trait FeedHealth: Send + Sync {
    /// A report for each configured feed, in configured order.
    fn feeds(&self, now: Micros) -> Vec<FeedReport>;
}

/// How one feed is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FeedReport {
    /// The feed's name.
    pub name: String,
    /// Its provider.
    pub provider: String,
    /// How it gets what it publishes now; none for what is pushed or made in the process.
    pub transport: Option<Transport>,
    /// Freshness of what it publishes.
    pub state: State,
    /// Whether readiness waits for it.
    pub required: bool,
    /// Whether it rests: nobody subscribes and it is polled on demand.
    pub paused: bool,
    /// When it last delivered.
    pub last_success: Option<Micros>,
    /// Age of that.
    pub age_ms: Option<u64>,
    /// When it is asked next: polled, or connected to; none while a stream delivers.
    pub next_due: Option<Micros>,
    /// Time between polls now in force, never how long it waits after a failure or for its budget,
    /// which `next_due` tells; 0 while the values are to come by a stream, as long as no polls stand
    /// in for it.
    pub interval_ms: u64,
    /// Its circuit breaker.
    pub breaker: Breaker,
    /// What it may still ask.
    pub budget: Option<BudgetReport>,
    /// Why it is not live, or the last thing that went wrong.
    pub last_error: Option<ErrorReport>,
}

/// How values come from an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// By polls.
    Rest,
    /// By a WebSocket.
    Ws,
}

/// What an upstream still allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BudgetReport {
    /// Whose budget: feeds of one host and key share it.
    pub host: String,
    /// Units left now.
    pub remaining: u64,
    /// Units a minute.
    pub per_minute: u32,
    /// Units left this month, where that is limited.
    pub per_month_remaining: Option<u64>,
}

/// The last thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErrorReport {
    /// The kind.
    pub reason: Reason,
    /// When.
    pub at: Micros,
    /// What, for a person; never a key.
    pub message: String,
}
