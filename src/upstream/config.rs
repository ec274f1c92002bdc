//! `[[feeds]]` and `[consolidate]`.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::{SecretSource, Span};

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
    /// How the API is asked.
    #[serde(default)]
    pub transport: Transport,
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
    /// Longest a request may take in all.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// Age at which a topic of this feed is stale; absent means five times `every`.
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
    /// Topics of a `synthetic` feed.
    #[serde(default = "default_topics")]
    pub topics: usize,
    /// Updates a second of a `synthetic` feed, over all its topics.
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
    /// By a WebSocket that stays open.
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

/// The APIs that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Provider")]
pub enum ProviderKind {
    /// CoinGecko.
    Coingecko,
    /// Binance spot.
    Binance,
    /// Coinbase Exchange.
    Coinbase,
    /// Kraken spot.
    Kraken,
    /// DefiLlama.
    Defillama,
    /// Token Metrics.
    TokenMetrics,
    /// mempool.space.
    Mempool,
    /// Etherscan.
    Etherscan,
    /// A node of a chain that is like Ethereum.
    Evm,
    /// The fear and greed index of alternative.me.
    FearGreed,
    /// Made in the process, for load tests.
    Synthetic,
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
    /// Units a month.
    pub per_month: Option<u64>,
}

/// How sources become one price.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Consolidate")]
pub struct ConsolidateConfig {
    /// Quotes that count as another: `{ USDT = "USD" }`. Never by default.
    pub quote_as: BTreeMap<String, String>,
    /// Order of sources for failover.
    pub prefer: Vec<String>,
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
fn default_topics() -> usize {
    100
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

impl ProviderKind {
    /// As it is written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coingecko => "coingecko",
            Self::Binance => "binance",
            Self::Coinbase => "coinbase",
            Self::Kraken => "kraken",
            Self::Defillama => "defillama",
            Self::TokenMetrics => "token_metrics",
            Self::Mempool => "mempool",
            Self::Etherscan => "etherscan",
            Self::Evm => "evm",
            Self::FearGreed => "fear_greed",
            Self::Synthetic => "synthetic",
        }
    }

    /// The public address of the API; none for what is made in the process, or of which everybody
    /// has their own.
    pub fn base_url(self) -> Option<&'static str> {
        match self {
            Self::Coingecko => Some("https://api.coingecko.com/api/v3"),
            Self::Binance => Some("https://api.binance.com"),
            Self::Coinbase => Some("https://api.exchange.coinbase.com"),
            Self::Kraken => Some("https://api.kraken.com"),
            Self::Defillama => Some("https://coins.llama.fi"),
            Self::TokenMetrics => Some("https://api.tokenmetrics.com/v2"),
            Self::Mempool => Some("https://mempool.space"),
            Self::Etherscan => Some("https://api.etherscan.io"),
            Self::FearGreed => Some("https://api.alternative.me"),
            Self::Evm | Self::Synthetic => None,
        }
    }

    /// Whether a feed with the provider's first endpoint must say for which symbols it asks.
    fn needs_symbols(self) -> bool {
        match self {
            Self::Coingecko
            | Self::Binance
            | Self::Coinbase
            | Self::Kraken
            | Self::Defillama
            | Self::TokenMetrics => true,
            Self::Mempool | Self::Etherscan | Self::Evm | Self::FearGreed | Self::Synthetic => {
                false
            }
        }
    }

    /// Whether `chain` means something to it.
    pub fn takes_chain(self) -> bool {
        matches!(self, Self::Etherscan | Self::Evm)
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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
        self.base_url.as_deref().or(public)
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

    /// Age at which a topic of this feed is stale.
    pub fn stale_after(&self) -> Span {
        self.stale_after.unwrap_or(Span(self.every.0.saturating_mul(5)))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::{IntoDeserializer, value};

    use super::*;

    #[test]
    fn a_provider_prints_as_it_is_written() {
        for kind in [
            ProviderKind::Coingecko,
            ProviderKind::Binance,
            ProviderKind::Coinbase,
            ProviderKind::Kraken,
            ProviderKind::Defillama,
            ProviderKind::TokenMetrics,
            ProviderKind::Mempool,
            ProviderKind::Etherscan,
            ProviderKind::Evm,
            ProviderKind::FearGreed,
            ProviderKind::Synthetic,
        ] {
            let name: value::StrDeserializer<'_, value::Error> = kind.name().into_deserializer();
            assert_eq!(ProviderKind::deserialize(name), Ok(kind));
        }
    }
}
