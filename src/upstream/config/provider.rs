//! The APIs that are known, as a configuration names them.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

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
    /// Any API that answers in JSON, by configuration alone.
    Json,
    /// What clients publish.
    Push,
    /// Made in the process, for load tests.
    Synthetic,
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
            Self::Json => "json",
            Self::Push => "push",
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
            Self::Evm | Self::Json | Self::Push | Self::Synthetic => None,
        }
    }

    /// Where the API has a WebSocket: its public address, and where the sandbox imitates it.
    pub fn stream(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Binance => {
                Some(("wss://stream.binance.com:9443/stream", "sandbox:/binance/stream"))
            }
            Self::Coinbase => Some(("wss://ws-feed.exchange.coinbase.com", "sandbox:/coinbase/ws")),
            Self::Kraken => Some(("wss://ws.kraken.com/v2", "sandbox:/kraken/v2")),
            _ => None,
        }
    }

    /// Whether a feed with the provider's first endpoint must say for which symbols it asks.
    pub(super) fn needs_symbols(self) -> bool {
        match self {
            Self::Coingecko
            | Self::Binance
            | Self::Coinbase
            | Self::Kraken
            | Self::Defillama
            | Self::TokenMetrics => true,
            Self::Mempool
            | Self::Etherscan
            | Self::Evm
            | Self::FearGreed
            | Self::Json
            | Self::Push
            | Self::Synthetic => false,
        }
    }

    /// Whether its public address answers nobody without a key.
    pub fn needs_key(self) -> bool {
        matches!(self, Self::TokenMetrics | Self::Etherscan)
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
            ProviderKind::Json,
            ProviderKind::Push,
            ProviderKind::Synthetic,
        ] {
            let name: value::StrDeserializer<'_, value::Error> = kind.name().into_deserializer();
            assert_eq!(ProviderKind::deserialize(name), Ok(kind));
        }
    }
}
