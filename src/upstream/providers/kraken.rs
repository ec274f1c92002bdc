//! Kraken spot, REST: `/0/public/Ticker`. Shapes: Kraken's Spot REST API reference.
//!
//! Kraken has four names for a pair: `XBTUSD`, `XBT/USD`, for old pairs `XXBTZUSD`, and whatever a
//! request may say for it. The answer is keyed by another one than was asked for.

pub(super) mod stream;

use std::collections::BTreeMap;

use super::{
    Batch, DecodeError, Provider, Request, Response, body,
    markets::{Market, endpoint, markets, symbol_mistake},
    mistake::Mistakes,
    row::Row,
};
use crate::{
    market::{Data, Symbol, Tick, Topic},
    upstream::config::FeedConfig,
};

/// Pairs of one request. Kraken documents no bound; this keeps the URL short.
const PAIRS_MAX: usize = 100;

/// Fields other than the price: our name, Kraken's key, and which element of its array. The second
/// element of `v`, `h` and `l` is of the last 24 hours, the first of the day in UTC.
const FIELDS: [(&str, &str, usize); 5] = [
    ("bid", "b", 0),
    ("ask", "a", 0),
    ("volume_24h", "v", 1),
    ("high_24h", "h", 1),
    ("low_24h", "l", 1),
];

/// Assets by their common name and what Kraken calls them.
const ASSETS: [(&str, &str); 2] = [("BTC", "XBT"), ("DOGE", "XDG")];

const ENDPOINTS: [(&str, ()); 1] = [("ticker", ())];

/// The ticker of some pairs.
#[derive(Debug)]
pub(super) struct Kraken {
    pairs: Vec<Pair>,
}

/// A market with Kraken's names of it.
#[derive(Debug)]
struct Pair {
    market: Market,
    /// The names by which an answer may have it; a request uses the first.
    names: Vec<String>,
}

impl Kraken {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(super) fn new(feed: &FeedConfig) -> Result<Self, Mistakes> {
        endpoint(feed, &ENDPOINTS)?;
        let pairs: Vec<Pair> = markets(feed)?.into_iter().map(Pair::new).collect();
        let mut owners: BTreeMap<&str, &Symbol> = BTreeMap::new();
        for pair in &pairs {
            for name in &pair.names {
                if let Some(other) = owners.insert(name, &pair.market.symbol) {
                    let symbol = &pair.market.symbol;
                    let message = format!(
                        "has {other} and {symbol}, which may both be {name} at Kraken: put them \
                         into two feeds"
                    );
                    return Err(symbol_mistake(feed, symbol, message).into());
                }
            }
        }
        Ok(Self { pairs })
    }

    fn chunk(&self, tag: usize) -> Option<&[Pair]> {
        self.pairs.chunks(PAIRS_MAX).nth(tag)
    }
}

impl Pair {
    fn new(market: Market) -> Self {
        let mut names: Vec<String> = market.id.clone().into_iter().collect();
        for name in names_of(&market.symbol) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Self { market, names }
    }

    fn tick(&self, row: &Row<'_>) -> Result<Tick, String> {
        let mut data = Data::new();
        data.push("price", row.element("c", 0).essential("c")?);
        for (name, key, index) in FIELDS {
            if let Some(decimal) = row.element(key, index).decimal() {
                data.push(name, decimal);
            }
        }
        Ok(Tick { topic: self.market.topic.clone(), data, ts: None })
    }
}

/// Kraken's names of a market: `XBTUSD` first, with which one asks.
fn names_of(symbol: &Symbol) -> Vec<String> {
    let (base, quote) = (asset(symbol.base()), asset(symbol.quote()));
    let mut names = vec![format!("{base}{quote}"), format!("{base}/{quote}")];
    // Old assets have three letters and an X before them, currencies a Z, in the names of pairs of
    // two such.
    if base.len() == 3 && quote.len() == 3 {
        names.extend(["XX", "XZ", "ZZ"].iter().filter_map(|prefixes| {
            let mut prefixes = prefixes.chars();
            Some(format!("{}{base}{}{quote}", prefixes.next()?, prefixes.next()?))
        }));
    }
    // Newer assets have no prefix, but the currency that they are paid in may have one: USDTZUSD.
    if quote.len() == 3 {
        names.push(format!("{base}Z{quote}"));
    }
    names
}

/// What Kraken calls an asset.
fn asset(name: &str) -> &str {
    ASSETS.iter().find(|(common, _)| *common == name).map_or(name, |(_, kraken)| *kraken)
}

impl Provider for Kraken {
    fn requests(&self) -> Vec<Request> {
        let request = |(tag, pairs): (usize, &[Pair])| {
            let names: Vec<&str> =
                pairs.iter().filter_map(|pair| pair.names.first()).map(String::as_str).collect();
            Request {
                path: "/0/public/Ticker".to_owned(),
                query: vec![("pair".into(), names.join(","))],
                tag,
                ..Request::default()
            }
        };
        self.pairs.chunks(PAIRS_MAX).enumerate().map(request).collect()
    }

    fn decode(&mut self, request: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let pairs = self.chunk(request.tag).ok_or_else(DecodeError::unasked)?;
        let answer: Row<'_> = body::json(response)?;
        reported(&answer)?;
        let rows = answer.row("result").ok_or_else(|| DecodeError::bad_body("no result"))?;
        let mut batch = Batch::default();
        for pair in pairs {
            let tick = match pair.names.iter().find_map(|name| rows.row(name)) {
                Some(row) => pair.tick(&row),
                None => Err("is not in the answer".to_owned()),
            };
            batch.take(&pair.market.symbol, tick);
        }
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        self.pairs.iter().map(|pair| pair.market.topic.clone()).collect()
    }
}

/// Errors come with status 200: `{"error":["EQuery:Unknown asset pair"]}`. A text with W is a
/// warning beside a result.
fn reported(answer: &Row<'_>) -> Result<(), DecodeError> {
    let errors: Vec<String> = answer
        .raw("error")
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default();
    match errors.iter().find(|error| !error.starts_with('W')) {
        // `EGeneral:Too many requests`, `EAPI:Rate limit exceeded`, `EService:Throttled: …`.
        Some(error) => Err(DecodeError::reported(error.contains("Too many requests"), error)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_names_of_a_market_are_krakens() {
        for (symbol, name) in [
            ("BTC-USD", "XBTUSD"),
            ("BTC-USD", "XBT/USD"),
            ("BTC-USD", "XXBTZUSD"),
            ("ETH-BTC", "XETHXXBT"),
            ("EUR-USD", "ZEURZUSD"),
            ("USDT-USD", "USDTZUSD"),
            ("DOGE-USD", "XDGUSD"),
            ("DOGE-BTC", "XXDGXXBT"),
            ("BTC-USDT", "XBTUSDT"),
            ("SOL-USD", "SOLUSD"),
        ] {
            let names = names_of(&Symbol::parse(symbol).unwrap());
            assert!(names.iter().any(|known| known == name), "{symbol}: {name} in {names:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_with_a_separator_leads_back(
            base in "[A-Z0-9]{1,8}", quote in "(USD|EUR|USDT|BTC|ETH|DOGE|[A-Z]{3,5})",
        ) {
            let symbol = Symbol::parse(&format!("{base}-{quote}")).unwrap();
            let back = names_of(&symbol).iter().filter(|name| name.contains('/')).all(|name| {
                Symbol::parse(name).as_ref() == Some(&symbol)
            });
            prop_assert!(back, "{symbol}");
        }
    }
}
