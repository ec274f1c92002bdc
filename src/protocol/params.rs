//! Parameters of the methods. A member that is not known is an error.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Parameters of `subscribe`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Topics and patterns.
    pub topics: Vec<String>,
    /// Every update or the latest only.
    #[serde(default)]
    pub mode: Mode,
    /// Most updates a second and topic, with `latest`.
    pub max_rate: Option<f64>,
    /// A CEL expression over `topic`, `source`, `data`, `ts` and `rx`.
    pub filter: Option<String>,
    /// The fields of `data` that are sent.
    pub fields: Option<Vec<String>>,
    /// The least move of a field that is sent.
    pub min_change: Option<MinChange>,
    /// Whether the filter lets through all that match or only the turn to matching.
    #[serde(default)]
    pub trigger: Trigger,
    /// Whether the last value is sent at first.
    #[serde(default = "yes")]
    pub snapshot: bool,
    /// Whether changes of freshness are sent.
    #[serde(default = "yes")]
    pub status: bool,
    /// Where an earlier connection left off.
    pub resume: Option<Resume>,
}

/// How updates are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each update in order, or a gap.
    Every,
    /// The newest; older ones that still wait are replaced.
    #[default]
    Latest,
}

/// When a filter lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// While it is true.
    #[default]
    Level,
    /// When it turns true.
    Edge,
}

/// The least move of a field that is sent: either `bps` or `abs`.
#[derive(Debug, Clone, PartialEq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MinChange {
    /// A decimal field of `data`.
    pub field: String,
    /// In hundredths of a per cent of the value last let through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bps: Option<f64>,
    /// In the field's own unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abs: Option<f64>,
}

/// Where an earlier connection left off.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The numbering of `seq`.
    pub epoch: Option<String>,
    /// The last sequence number seen of each topic.
    pub seq: BTreeMap<String, Position>,
}

/// A position in a topic: a sequence number in `resume.epoch`, or one with an epoch of its own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Position {
    /// In `resume.epoch`.
    Seq(u64),
    /// In an epoch of its own.
    In {
        /// The numbering.
        epoch: String,
        /// The number.
        seq: u64,
    },
}

/// Parameters of `unsubscribe`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicNames {
    /// Topics and patterns.
    pub topics: Vec<String>,
}

/// Parameters of `topics`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TopicQuery {
    /// Which; absent means all.
    pub pattern: Option<String>,
    /// How many at most.
    pub limit: Option<usize>,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// Parameters of `snapshot`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotQuery {
    /// Topics and patterns.
    pub topics: Vec<String>,
    /// How many at most.
    pub limit: Option<usize>,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// Parameters of `replay`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// One topic.
    pub topic: String,
    /// First sequence number.
    pub from: u64,
    /// Last sequence number; absent means the newest.
    pub to: Option<u64>,
    /// How many at most.
    pub limit: Option<usize>,
}

/// Parameters of `auth`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The credential.
    pub token: String,
}

fn yes() -> bool {
    true
}
