//! `[hub]`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::ByteSize;

/// What the hub keeps.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Hub")]
pub struct Config {
    /// Updates kept per topic for resume and replay.
    pub history: usize,
    /// Bytes kept over all topics; beyond them the oldest go first.
    pub history_bytes: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self { history: 1024, history_bytes: ByteSize::mib(256) }
    }
}
