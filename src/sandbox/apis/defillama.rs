//! DefiLlama: current prices of tokens, and the value locked on each chain. Both of its hosts are
//! one here. Values change every ten seconds.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    super::{
        market::{Coin, Market, Quote, Venue},
        number::{literal, number},
        world::World,
    },
    json, list,
};

/// Decimals of a price beyond those of an exchange's.
const MORE_DECIMALS: u8 = 4;

/// Tokens by their contract on Ethereum, with their tickers.
const CONTRACTS: [(&str, &str); 5] = [
    ("0x1f9840a85d5af5bf1d1762f925bdaddc4201f984", "UNI"),
    ("0x514910771af9ca656af840dff83e8264ecf986ca", "LINK"),
    ("0x6982508145454ce325ddbe47a25d4ec3d2311933", "PEPE"),
    ("0x7fc66500c84a76ad7e9c93437bfc5ac33e2ddae9", "AAVE"),
    ("0x95ad61b0a150d79219dcf64e1e6cc01f0b64c4ce", "SHIB"),
];

/// A chain: name, CoinGecko's id, token, CoinMarketCap's id, chain id, and how many coins of what
/// are locked there.
type Locked = (
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
    Option<u64>,
    &'static str,
    f64,
);

#[rustfmt::skip]
const CHAINS: [Locked; 11] = [
    ("Ethereum", Some("ethereum"), Some("ETH"), Some("1027"), Some(1), "ETH", 17.1e6),
    ("Solana", Some("solana"), Some("SOL"), Some("5426"), None, "SOL", 54.0e6),
    ("BSC", Some("binancecoin"), Some("BNB"), Some("1839"), Some(56), "BNB", 9.2e6),
    ("Bitcoin", Some("bitcoin"), Some("BTC"), Some("1"), None, "BTC", 87.5e3),
    ("Tron", Some("tron"), Some("TRON"), Some("1958"), None, "TRX", 18.5e9),
    ("Base", None, None, None, Some(8453), "ETH", 1.02e6),
    ("Arbitrum", Some("arbitrum"), Some("ARB"), Some("11841"), Some(42161), "ETH", 0.71e6),
    ("Avalanche", Some("avalanche-2"), Some("AVAX"), Some("5805"), Some(43114), "AVAX", 42.0e6),
    ("Sui", Some("sui"), Some("SUI"), Some("20947"), None, "SUI", 400.0e6),
    ("Polygon", Some("polygon-ecosystem-token"), Some("POL"), Some("3890"), Some(137), "ETH", 0.3e6),
    ("OP Mainnet", Some("optimism"), Some("OP"), Some("11840"), Some(10), "ETH", 0.2e6),
];

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new().route("/prices/current/{coins}", get(prices)).route("/v2/chains", get(chains))
}

#[derive(Serialize)]
struct Prices {
    coins: BTreeMap<String, Price>,
}

#[derive(Serialize)]
struct Price {
    #[serde(skip_serializing_if = "Option::is_none")]
    decimals: Option<u8>,
    symbol: &'static str,
    price: Box<RawValue>,
    timestamp: i64,
    confidence: Box<RawValue>,
}

/// Prices under the names that were asked for; one that is not known is absent.
async fn prices(State(world): State<Arc<World>>, Path(names): Path<String>) -> Response {
    let row = |market: &Market, name: &str| {
        let (chain, id) = name.split_once(':')?;
        let (coin, decimals) = match chain {
            "coingecko" => (by_id(market, id)?, None),
            "ethereum" => {
                let mut contracts = CONTRACTS.iter();
                let (_, ticker) = contracts.find(|(hash, _)| hash.eq_ignore_ascii_case(id))?;
                (market.coin(ticker)?, Some(18))
            }
            _ => return None,
        };
        let quote = quote(market, coin)?;
        let price = Price {
            decimals,
            symbol: coin.asset.symbol,
            price: number(quote.price, coin.asset.decimals + MORE_DECIMALS),
            timestamp: market.time_of(quote.step) / 1_000_000,
            confidence: literal("0.99".to_owned()),
        };
        Some((name.to_owned(), price))
    };
    let coins = world.see(|market| list(&names).filter_map(|name| row(market, name)).collect());
    json(StatusCode::OK, &Prices { coins })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Chain {
    #[serde(rename = "gecko_id")]
    gecko_id: Option<&'static str>,
    tvl: Box<RawValue>,
    token_symbol: Option<&'static str>,
    cmc_id: Option<&'static str>,
    name: &'static str,
    chain_id: Option<u64>,
}

async fn chains(State(world): State<Arc<World>>) -> Response {
    let row = |market: &Market, chain: &Locked| {
        let (name, gecko_id, token_symbol, cmc_id, chain_id, asset, coins) = *chain;
        let price = quote(market, market.coin(asset)?)?.price;
        let tvl = number(price * coins, MORE_DECIMALS);
        Some(Chain { gecko_id, tvl, token_symbol, cmc_id, name, chain_id })
    };
    let rows: Vec<Chain> =
        world.see(|market| CHAINS.iter().filter_map(|chain| row(market, chain)).collect());
    json(StatusCode::OK, &rows)
}

fn by_id<'a>(market: &'a Market, id: &str) -> Option<&'a Coin> {
    market.coins().iter().find(|coin| coin.asset.coingecko_id == id)
}

fn quote(market: &Market, coin: &Coin) -> Option<Quote> {
    let unit = market.worth("USD")?;
    Some(coin.quote(Venue::DefiLlama, unit, coin.asset.decimals + MORE_DECIMALS))
}
