//! Answers about subscriptions, one row for each string that was asked.

use schemars::JsonSchema;
use serde::Serialize;

use super::{ledger::Ledger, options::OptionsView};
use crate::{
    market::{Epoch, State},
    protocol::code::ErrorBody,
};

/// What became of one string of `subscribe`.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct SubscribeRow {
    /// As it was asked.
    pub topic: String,
    /// The canonical form, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical: Option<String>,
    /// Whether it is subscribed now.
    pub ok: bool,
    /// A topic's numbering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// A topic's newest sequence number; delivery begins after it. 0 before the first value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// A topic's freshness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// With `resume`: whether delivery goes on without a hole from where the client left off.
    /// Otherwise it begins with a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
    /// How many topics a pattern matches now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<usize>,
    /// With `resume`: each topic that reaches the client under this pattern now. One that a more
    /// specific subscription brings is not listed: nothing begins there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics: Option<Vec<ResumedRow>>,
    /// Why it is not subscribed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// Where the delivery of one topic of a pattern begins.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ResumedRow {
    /// The topic.
    pub topic: String,
    /// Its numbering.
    pub epoch: Epoch,
    /// Its newest sequence number.
    pub seq: u64,
    /// Whether it goes on without a hole from where the client left off.
    pub recovered: bool,
}

/// What became of one string of `unsubscribe`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UnsubscribeRow {
    /// As it was asked.
    pub topic: String,
    /// The canonical form, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical: Option<String>,
    /// Whether it is not subscribed now.
    pub ok: bool,
    /// Why it could not be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// One subscription with its account.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SubscriptionRow {
    /// In canonical form.
    pub topic: String,
    /// How it is delivered.
    #[serde(flatten)]
    pub options: OptionsView,
    /// What became of its updates.
    pub ledger: Ledger,
}
