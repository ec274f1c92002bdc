//! Binance spot, REST: `/api/v3/ticker/…`. Shapes and weights: `rest-api.md` of Binance's Spot API
//! documentation, market data endpoints.

pub(super) mod stream;

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{
    Batch, DecodeError, Provider, Request, Response, body,
    markets::{Market, endpoint, markets},
    mistake::Mistakes,
    row::Row,
};
use crate::{
    market::{Tick, Topic},
    upstream::config::FeedConfig,
};

/// What differs between the endpoints.
#[derive(Debug)]
struct Endpoint {
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
    /// Key of the source time, in ms.
    time: Option<&'static str>,
    /// Weight by number of symbols: the row whose bound is the first that is not below it.
    weights: &'static [(usize, u32)],
}

const ENDPOINTS: [(&str, Endpoint); 3] = [
    (
        "ticker_24hr",
        Endpoint {
            path: "/api/v3/ticker/24hr",
            fields: &[
                ("price", "lastPrice"),
                ("bid", "bidPrice"),
                ("ask", "askPrice"),
                ("volume_24h", "volume"),
                ("change_24h_pct", "priceChangePercent"),
                ("high_24h", "highPrice"),
                ("low_24h", "lowPrice"),
            ],
            time: Some("closeTime"),
            weights: &[(20, 2), (100, 40), (usize::MAX, 80)],
        },
    ),
    (
        "ticker_price",
        Endpoint {
            path: "/api/v3/ticker/price",
            fields: &[("price", "price")],
            time: None,
            weights: &[(1, 2), (usize::MAX, 4)],
        },
    ),
    (
        // The best bid and ask only. Their mean would be digits that no source ever sent, so these
        // ticks have no `price`.
        "book_ticker",
        Endpoint {
            path: "/api/v3/ticker/bookTicker",
            fields: &[("bid", "bidPrice"), ("ask", "askPrice")],
            time: None,
            weights: &[(1, 2), (usize::MAX, 4)],
        },
    ),
];

/// Code of the error "too many requests".
const TOO_MANY_REQUESTS: &str = "-1003";

/// One endpoint for some markets, all in one request.
#[derive(Debug)]
pub(super) struct Binance {
    endpoint: &'static Endpoint,
    /// Markets with Binance's name of each: `BTCUSDT`.
    markets: Vec<(String, Market)>,
}

impl Binance {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(super) fn new(feed: &FeedConfig) -> Result<Self, Mistakes> {
        let endpoint = endpoint(feed, &ENDPOINTS)?;
        let named = |market: Market| {
            let name = format!("{}{}", market.symbol.base(), market.symbol.quote());
            (name, market)
        };
        Ok(Self { endpoint, markets: markets(feed)?.into_iter().map(named).collect() })
    }

    fn tick(&self, market: &Market, row: &Row<'_>) -> Result<Tick, String> {
        Ok(Tick {
            topic: market.topic.clone(),
            data: row.data(self.endpoint.fields)?,
            ts: self.endpoint.time.and_then(|key| row.number(key).time(1_000)),
        })
    }
}

impl Provider for Binance {
    fn requests(&self) -> Vec<Request> {
        let names: Vec<String> =
            self.markets.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let weights = self.endpoint.weights.iter();
        vec![Request {
            path: self.endpoint.path.to_owned(),
            query: vec![("symbols".into(), format!("[{}]", names.join(",")))],
            weight: weights
                .filter(|(bound, _)| names.len() <= *bound)
                .map(|(_, weight)| *weight)
                .next()
                .unwrap_or(0),
            ..Request::default()
        }]
    }

    fn decode(&mut self, _: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let mut rows = BTreeMap::new();
        for row in elements(response)? {
            let Some(name) = row.text("symbol") else {
                continue;
            };
            rows.entry(name).or_insert(row);
        }
        let mut batch = Batch::default();
        for (name, market) in &self.markets {
            let tick = match rows.get(name) {
                Some(row) => self.tick(market, row),
                None => Err("is not in the answer".to_owned()),
            };
            batch.take(&market.symbol, tick);
        }
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        let topics = self.markets.iter().map(|(_, market)| market.topic.clone());
        topics.collect()
    }
}

/// The objects of an answer: an array of them, or for one symbol the object itself, unless it is an
/// error, `{"code":-1121,"msg":"Invalid symbol."}`, which proxies send on with status 200.
fn elements(response: &Response) -> Result<Vec<Row<'_>>, DecodeError> {
    if body::text(response)?.starts_with('[') {
        let elements: Vec<&RawValue> = body::json(response)?;
        return Ok(elements.into_iter().filter_map(Row::read).collect());
    }
    let row: Row<'_> = body::json(response)?;
    match (row.id("code"), row.raw("symbol")) {
        (Some(code), None) => {
            let message = row.text("msg").unwrap_or_default();
            Err(DecodeError::reported(code == TOO_MANY_REQUESTS, &format!("{code} {message}")))
        }
        _ => Ok(vec![row]),
    }
}
