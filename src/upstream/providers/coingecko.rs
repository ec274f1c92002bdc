//! CoinGecko: `/simple/price` and `/coins/markets`. Shapes: CoinGecko's API reference.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use super::{
    Batch, DecodeError, Provider, Request, Response, body,
    markets::{Market, distinct, endpoint, markets},
    mistake::{Mistake, Mistakes, all},
    row::Row,
};
use crate::{
    market::{Tick, Topic},
    units::Secret,
    upstream::config::{FeedConfig, ProviderKind},
};

/// Ids that one request to `/coins/markets` may name: its largest page.
const PAGE: usize = 250;

/// Fields of `/coins/markets`.
const MARKET_FIELDS: [(&str, &str); 6] = [
    ("price", "current_price"),
    ("volume_24h", "total_volume"),
    ("change_24h_pct", "price_change_percentage_24h"),
    ("high_24h", "high_24h"),
    ("low_24h", "low_24h"),
    ("market_cap", "market_cap"),
];

/// Fields of `/simple/price`, each with what follows the quote in its key: `usd_market_cap`.
const SIMPLE_FIELDS: [(&str, &str); 4] = [
    ("price", ""),
    ("volume_24h", "_24h_vol"),
    ("change_24h_pct", "_24h_change"),
    ("market_cap", "_market_cap"),
];

#[derive(Debug, Clone, Copy)]
enum Endpoint {
    /// One object by id, for all quotes at once.
    SimplePrice,
    /// An array, one quote and at most [`PAGE`] ids at a time.
    CoinsMarkets,
}

const ENDPOINTS: [(&str, Endpoint); 2] =
    [("simple_price", Endpoint::SimplePrice), ("coins_markets", Endpoint::CoinsMarkets)];

/// One endpoint for some markets.
#[derive(Debug)]
pub(super) struct Coingecko {
    endpoint: Endpoint,
    /// The markets of each request; its place is the request's tag.
    plan: Vec<Vec<Coin>>,
    /// What the endpoints' paths begin with.
    prefix: &'static str,
    secret_headers: Vec<(Cow<'static, str>, Secret)>,
}

/// A market with the names that CoinGecko knows it by.
#[derive(Debug, Clone)]
struct Coin {
    market: Market,
    id: String,
    /// The quote in lower case: `usd`.
    quote: String,
}

impl Coingecko {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(super) fn new(feed: &FeedConfig, api_key: Option<Secret>) -> Result<Self, Mistakes> {
        let endpoint = *endpoint(feed, &ENDPOINTS)?;
        let coins = all(markets(feed)?.into_iter().map(Coin::new))?;
        let public = ProviderKind::Coingecko.base_url().unwrap_or_default();
        let base_url = feed.base_url.as_deref().unwrap_or(public);
        let header =
            if base_url.contains("pro-api") { "x-cg-pro-api-key" } else { "x-cg-demo-api-key" };
        Ok(Self {
            endpoint,
            plan: match endpoint {
                Endpoint::SimplePrice => vec![coins],
                Endpoint::CoinsMarkets => pages(&coins),
            },
            // CoinGecko's documentation calls both forms the root of the API.
            prefix: if base_url.trim_end_matches('/').ends_with("/api/v3") {
                ""
            } else {
                "/api/v3"
            },
            secret_headers: api_key.map(|key| (header.into(), key)).into_iter().collect(),
        })
    }

    fn request(&self, tag: usize, coins: &[Coin]) -> Request {
        let ids = distinct(coins.iter().map(|coin| coin.id.as_str())).join(",");
        let quotes = distinct(coins.iter().map(|coin| coin.quote.as_str())).join(",");
        let yes = || "true".to_owned();
        let (path, query) = match self.endpoint {
            Endpoint::SimplePrice => (
                "/simple/price",
                vec![
                    ("ids".into(), ids),
                    ("vs_currencies".into(), quotes),
                    ("include_market_cap".into(), yes()),
                    ("include_24hr_vol".into(), yes()),
                    ("include_24hr_change".into(), yes()),
                    ("include_last_updated_at".into(), yes()),
                    ("precision".into(), "full".to_owned()),
                ],
            ),
            Endpoint::CoinsMarkets => (
                "/coins/markets",
                vec![
                    ("vs_currency".into(), quotes),
                    ("ids".into(), ids),
                    ("per_page".into(), PAGE.to_string()),
                    ("page".into(), "1".to_owned()),
                    ("precision".into(), "full".to_owned()),
                ],
            ),
        };
        Request {
            path: format!("{}{path}", self.prefix),
            query,
            secret_headers: self.secret_headers.clone(),
            tag,
            ..Request::default()
        }
    }

    fn tick(&self, coin: &Coin, row: &Row<'_>) -> Result<Tick, String> {
        let (data, ts) = match self.endpoint {
            Endpoint::SimplePrice => {
                let key = |suffix| format!("{}{suffix}", coin.quote);
                let fields = SIMPLE_FIELDS.map(|(name, suffix)| (name, key(suffix)));
                let ts = row.number("last_updated_at").time(1_000_000);
                (row.data(&fields)?, ts)
            }
            Endpoint::CoinsMarkets => (row.data(&MARKET_FIELDS)?, row.date("last_updated")),
        };
        Ok(Tick { topic: coin.market.topic.clone(), data, ts })
    }
}

impl Coin {
    fn new(market: Market) -> Result<Self, Mistake> {
        let Some(id) = market.id.clone() else {
            let message = "is required: CoinGecko has ids of its own, such as bitcoin for BTC \
                           (the last part of the coin's page)";
            return Err(Mistake::id(&market.symbol, message));
        };
        Ok(Self { id, quote: market.symbol.quote().to_ascii_lowercase(), market })
    }
}

/// The ids cut into pages by quote. Naming the ids of each page, rather than asking for page 2 of
/// all, keeps URLs short and pages complete when the order changes between two requests.
fn pages(coins: &[Coin]) -> Vec<Vec<Coin>> {
    let mut pages = Vec::new();
    for quote in distinct(coins.iter().map(|coin| &coin.quote)) {
        let of_quote = coins.iter().filter(|coin| coin.quote == *quote);
        let of_quote: Vec<Coin> = of_quote.cloned().collect();
        pages.extend(of_quote.chunks(PAGE).map(<[Coin]>::to_vec));
    }
    pages
}

impl Provider for Coingecko {
    fn requests(&self) -> Vec<Request> {
        let plan = self.plan.iter().enumerate();
        plan.map(|(tag, coins)| self.request(tag, coins)).collect()
    }

    fn decode(&mut self, request: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let coins = self.plan.get(request.tag).ok_or_else(DecodeError::unasked)?;
        let rows = match self.endpoint {
            Endpoint::SimplePrice => entries(coins, response)?,
            Endpoint::CoinsMarkets => elements(response)?,
        };
        let mut batch = Batch::default();
        for coin in coins {
            let tick = match rows.get(&coin.id) {
                Some(row) => self.tick(coin, row),
                None => Err("is not in the answer".to_owned()),
            };
            batch.take(&coin.market.symbol, tick);
        }
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        let coins = self.plan.iter().flatten();
        coins.map(|coin| coin.market.topic.clone()).collect()
    }
}

/// The objects of `/simple/price` by id.
fn entries<'a>(
    coins: &[Coin],
    response: &'a Response,
) -> Result<BTreeMap<String, Row<'a>>, DecodeError> {
    let answer: Row<'a> = body::json(response)?;
    reported(&answer)?;
    let entry = |coin: &Coin| Some((coin.id.clone(), answer.row(&coin.id)?));
    Ok(coins.iter().filter_map(entry).collect())
}

/// The objects of `/coins/markets` by id; of an id that occurs twice the first counts.
fn elements(response: &Response) -> Result<BTreeMap<String, Row<'_>>, DecodeError> {
    if body::text(response)?.starts_with('{') {
        reported(&body::json(response)?)?;
    }
    let elements: Vec<&RawValue> = body::json(response)?;
    let mut rows = BTreeMap::new();
    for row in elements.into_iter().filter_map(Row::read) {
        if let Some(id) = row.text("id") {
            rows.entry(id).or_insert(row);
        }
    }
    Ok(rows)
}

/// Errors that come as an answer: `{"status":{"error_code":429,"error_message":"…"}}` and
/// `{"error":"…"}`. There is a coin with the id `status`, so the key alone says nothing.
fn reported(answer: &Row<'_>) -> Result<(), DecodeError> {
    if let Some(status) = answer.row("status") {
        let code = status.id("error_code").or_else(|| answer.id("error_code"));
        let message = status.text("error_message");
        if code.is_some() || message.is_some() {
            let code = code.unwrap_or_default();
            let text = format!("{code} {}", message.unwrap_or_default());
            return Err(DecodeError::reported(code == "429", &text));
        }
    }
    match answer.text("error") {
        Some(message) => Err(DecodeError::reported(false, &message)),
        None => Ok(()),
    }
}
