//! `[[feeds]]`, `[upstream]` and `[consolidate]`.

mod json;
mod provider;

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::json::{Method, Setting, SymbolConfig, TimeConfig, TimeUnit, TopicConfig, Topics};
pub use self::provider::ProviderKind;
use crate::units::{SecretSource, Span};

/// Topics of a `synthetic` feed that does not say how many.
const SYNTHETIC_TOPICS: usize = 100;

/// Age at which a topic of a `push` feed is stale: nothing is known of its pace.
const PUSH_STALE_AFTER: Span = Span::secs(60);

/// One configured upstream.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Feed")]
pub struct FeedConfig {
    /// The `<source>` in topics and messages.
    pub name: String,
    /// The code that knows the API.
    pub provider: ProviderKind,
    /// Which of the API's endpoints; absent means the provider's first.
    pub endpoint: Option<String>,
    /// Where the API is: `https://…`, or `sandbox:/path` for the simulated one; absent means the
    /// provider's public address.
    pub base_url: Option<String>,
    /// What a `json` feed asks for: `https://…`, or `sandbox:/path`.
    pub url: Option<String>,
    /// How a `json` feed asks; absent means `POST` if there is a `body`, or else `GET`.
    pub method: Option<Method>,
    /// The JSON that a `json` feed sends.
    pub body: Option<String>,
    /// Headers that a `json` feed sends.
    #[serde(default)]
    pub headers: BTreeMap<String, Setting>,
    /// What a `json` feed adds to the query of its `url`.
    #[serde(default)]
    pub query: BTreeMap<String, Setting>,
    /// How the API is asked.
    #[serde(default)]
    pub transport: Transport,
    /// Where the WebSocket of a feed with `transport = "ws"` is: `wss://…`, or `sandbox:/path`;
    /// absent means the provider's public address, or that of the sandbox where `base_url` is there.
    pub stream_url: Option<String>,
    /// Canonical symbols to fetch.
    #[serde(default)]
    pub symbols: Vec<String>,
    /// The API's own ids by symbol, where it has ids of its own.
    #[serde(default)]
    pub ids: BTreeMap<String, Id>,
    /// The chains of DefiLlama's `chains`; empty means those on which most is locked.
    #[serde(default)]
    pub chains: Vec<String>,
    /// The block chain that is asked about, where the provider knows several; absent means
    /// `ethereum`. It is the `<chain>` in `onchain.<chain>.…`.
    pub chain: Option<String>,
    /// Time between polls.
    #[serde(default = "default_every")]
    pub every: Span,
    /// Whether it is polled less often while nothing changes: up to four times `every`, and up to a
    /// third of `stale_after`.
    #[serde(default)]
    pub adaptive: bool,
    /// Longest a request may take in all.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// Age at which a topic of this feed is stale; absent means five times `every`, for a
    /// `push` feed one minute.
    pub stale_after: Option<Span>,
    /// Whether `/readyz` waits for it.
    #[serde(default)]
    pub required: bool,
    /// When it is asked.
    #[serde(default)]
    pub demand: Demand,
    /// Whether loopback and private addresses may be asked.
    #[serde(default)]
    pub allow_private: bool,
    /// A larger move, in per cent, from one value to the next is quarantined until confirmed.
    #[serde(default = "default_jump")]
    pub max_jump_pct: f64,
    /// What the upstream allows; feeds of one host and key share it.
    pub budget: Option<BudgetConfig>,
    /// The key that the API wants.
    pub api_key: Option<SecretSource>,
    /// The key with which clients publish to a `push` feed; without one nobody can.
    pub key: Option<SecretSource>,
    /// How many topics a `synthetic` feed has, which a `json` feed has, or patterns of those that
    /// may be published to a `push` feed (absent means any that are not reserved).
    pub topics: Option<Topics>,
    /// Updates a second over all topics: what a `synthetic` feed makes, or a `push` feed takes.
    #[serde(default = "default_rate")]
    pub rate: u32,
    /// About how large a message of a `synthetic` feed is, in bytes.
    #[serde(default = "default_payload")]
    pub payload_bytes: usize,
}

/// How an API is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// By polling.
    #[default]
    Rest,
    /// By a WebSocket that stays open; by polling while it is down.
    Ws,
}

/// When an API is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// Whether anybody subscribes or not.
    #[default]
    Always,
    /// Only while somebody subscribes to one of its topics.
    Subscribed,
}

/// Endpoints of Token Metrics that are about the market as a whole, so that no symbols are named.
const MARKET_ENDPOINTS: [&str; 3] = ["market_metrics", "indices", "sentiments"];

/// An id of an API, written as a string or an integer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "IdForm")]
pub struct Id(pub String);

#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "an id is a string or a whole number")]
enum IdForm {
    Text(String),
    Number(u64),
}

impl From<IdForm> for Id {
    fn from(form: IdForm) -> Self {
        match form {
            IdForm::Text(text) => Self(text),
            IdForm::Number(number) => Self(number.to_string()),
        }
    }
}

/// What an upstream allows.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Budget")]
pub struct BudgetConfig {
    /// Feeds that name the same host (and key) share one budget; absent means the URL's host.
    pub host: Option<String>,
    /// Units a minute.
    pub per_minute: u32,
    /// Units that one request costs.
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// Units a month (UTC).
    pub per_month: Option<u64>,
}

/// What concerns all feeds.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Upstream")]
pub struct UpstreamConfig {
    /// The directory in which spent units of `budget.per_month` are kept over restarts; absent
    /// means that each start begins with a full month.
    pub state_dir: Option<PathBuf>,
}

/// How sources become one price.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Consolidate")]
pub struct ConsolidateConfig {
    /// Quotes that count as another: `{ USDT = "USD" }`. Never by default.
    pub quote_as: BTreeMap<String, String>,
    /// Order of sources for failover: who speaks of equal prices, and of two that disagree.
    pub prefer: Vec<String>,
    /// How much a source's price counts; 1 where none is given.
    pub weights: BTreeMap<String, u32>,
    /// A price farther from the median of at least three, in per cent, does not count; it does again
    /// from four fifths of this.
    pub max_deviation_pct: f64,
}

impl Default for ConsolidateConfig {
    fn default() -> Self {
        Self {
            quote_as: BTreeMap::new(),
            prefer: Vec::new(),
            weights: BTreeMap::new(),
            max_deviation_pct: 5.0,
        }
    }
}

impl ConsolidateConfig {
    /// `max_deviation_pct` in millionths.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what does not fit is as good as no bound, and below zero there is none"
    )]
    pub fn bound_ppm(&self) -> u64 {
        (self.max_deviation_pct * 10_000.0).round() as u64
    }
}

fn default_every() -> Span {
    Span::secs(10)
}
fn default_timeout() -> Span {
    Span::secs(10)
}
fn default_jump() -> f64 {
    50.0
}
fn default_rate() -> u32 {
    2000
}
fn default_payload() -> usize {
    200
}
fn default_weight() -> u32 {
    1
}

/// The token of a topic that stands for a chain: `op_mainnet` for `OP Mainnet`. `None` when there is
/// nothing in the name that a topic may have.
pub fn chain_token(name: &str) -> Option<String> {
    let token = |ch: char| match ch.to_ascii_lowercase() {
        ch @ ('a'..='z' | '0'..='9' | '-') => ch,
        _ => '_',
    };
    let name = name.trim();
    let named = name.bytes().any(|byte| byte.is_ascii_alphanumeric());
    (named && name.len() <= CHAIN_BYTES_MAX).then(|| name.chars().map(token).collect())
}

/// Longest name of a chain.
const CHAIN_BYTES_MAX: usize = 64;

impl FeedConfig {
    /// Where the API is: as configured, or else the public address of the provider's endpoint; none
    /// where nothing is asked.
    pub fn base_url(&self) -> Option<&str> {
        let public = if self.is_of_chains() {
            Some("https://api.llama.fi")
        } else {
            self.provider.base_url()
        };
        match self.provider {
            ProviderKind::Json => self.url.as_deref(),
            _ => self.base_url.as_deref().or(public),
        }
    }

    /// Where its WebSocket is: as configured, or else next to where it polls; none where it has
    /// none.
    pub fn stream_url(&self) -> Option<&str> {
        if self.transport == Transport::Rest {
            return None;
        }
        let (public, sandbox) = self.provider.stream()?;
        let in_sandbox = self.base_url.as_deref().is_some_and(|url| url.starts_with("sandbox:"));
        Some(self.stream_url.as_deref().unwrap_or(if in_sandbox { sandbox } else { public }))
    }

    /// Whether it asks the simulated market.
    pub fn is_simulated(&self) -> bool {
        let mut urls = self.base_url().into_iter().chain(self.stream_url());
        urls.any(|url| url.starts_with("sandbox:"))
    }

    /// Whether it asks DefiLlama for chains, which have a host of their own and no symbols.
    pub fn is_of_chains(&self) -> bool {
        self.provider == ProviderKind::Defillama && self.endpoint.as_deref() == Some("chains")
    }

    /// Whether it must say for which symbols it asks: not where the endpoint is about the market as
    /// a whole.
    pub fn needs_symbols(&self) -> bool {
        let endpoint = self.endpoint.as_deref().unwrap_or_default();
        let whole =
            self.provider == ProviderKind::TokenMetrics && MARKET_ENDPOINTS.contains(&endpoint);
        self.provider.needs_symbols() && !whole && !self.is_of_chains()
    }

    /// The block chain that is asked about.
    pub fn chain(&self) -> &str {
        self.chain.as_deref().unwrap_or("ethereum")
    }

    /// How many topics a `synthetic` feed has.
    pub fn topic_count(&self) -> usize {
        match self.topics {
            Some(Topics::Count(count)) => count,
            _ => SYNTHETIC_TOPICS,
        }
    }

    /// The topics of a `json` feed.
    pub fn topic_tables(&self) -> &[TopicConfig] {
        match &self.topics {
            Some(Topics::Tables(tables)) => tables,
            _ => &[],
        }
    }

    /// Patterns of the topics that may be published to a `push` feed.
    pub fn topic_patterns(&self) -> &[String] {
        match &self.topics {
            Some(Topics::Patterns(patterns)) => patterns,
            _ => &[],
        }
    }

    /// Age at which a topic of this feed is stale.
    pub fn stale_after(&self) -> Span {
        self.stale_after.unwrap_or(match self.provider {
            ProviderKind::Push => PUSH_STALE_AFTER,
            _ => Span(self.every.0.saturating_mul(5)),
        })
    }
}
