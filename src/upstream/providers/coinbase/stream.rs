//! Coinbase Exchange, WebSocket feed: the channels `ticker` and `heartbeat`. Shapes: Coinbase
//! Exchange's WebSocket documentation.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use super::super::{
    DecodeError, Response, body,
    markets::{Market, endpoint, markets},
    mistake::Mistakes,
    row::Row,
    stream::{Confirmed, Heard, Marks, StreamProvider, Terms},
};
use crate::{
    market::{Tick, Topic},
    upstream::config::FeedConfig,
};

/// Products of one request. Coinbase documents no bound but that a message may be too big.
const BATCH: usize = 50;

/// Coinbase takes a hundred messages a second of an address; this leaves nine tenths to others.
const GAP: Duration = Duration::from_millis(100);

/// Fields by the endpoints of the REST API, with the same names. A ticker holds those of both.
const FIELDS: [(&str, &[(&str, &str)]); 2] = [
    (
        "ticker",
        &[
            ("price", "price"),
            ("bid", "best_bid"),
            ("ask", "best_ask"),
            ("volume_24h", "volume_24h"),
        ],
    ),
    (
        "stats",
        &[
            ("price", "price"),
            ("volume_24h", "volume_24h"),
            ("high_24h", "high_24h"),
            ("low_24h", "low_24h"),
        ],
    ),
];

/// The ticker of some products.
#[derive(Debug)]
pub(in crate::upstream::providers) struct CoinbaseStream {
    fields: &'static [(&'static str, &'static str)],
    products: Vec<Product>,
    /// Where each stands, by its id.
    places: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Product {
    id: String,
    market: Market,
    /// Coinbase does not know it, or does not let us have it.
    refused: bool,
    /// Of the last ticker.
    sequence: Option<u64>,
    trade: Option<String>,
}

impl CoinbaseStream {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(in crate::upstream::providers) fn new(feed: &FeedConfig) -> Result<Self, Mistakes> {
        let fields = endpoint(feed, &FIELDS)?;
        let product = |market: Market| Product {
            id: market.id.clone().unwrap_or_else(|| market.symbol.to_string()),
            market,
            refused: false,
            sequence: None,
            trade: None,
        };
        let products: Vec<Product> = markets(feed)?.into_iter().map(product).collect();
        let place = |(place, product): (usize, &Product)| (product.id.clone(), place);
        let places = products.iter().enumerate().map(place).collect();
        Ok(Self { fields, products, places })
    }

    fn product(&mut self, row: &Row<'_>) -> Option<&mut Product> {
        let place = *self.places.get(&row.text("product_id")?)?;
        self.products.get_mut(place)
    }

    fn ticker(&mut self, row: &Row<'_>) -> Heard {
        let fields = self.fields;
        let Some(product) = self.product(row) else {
            return Heard::default();
        };
        let sequence = row.count("sequence");
        if sequence.is_some() && sequence <= product.sequence {
            return Heard { ignored: 1, ..Heard::default() };
        }
        product.sequence = sequence.or(product.sequence);
        product.trade = row.id("trade_id");
        let tick = row.data(fields).map(|data| Tick {
            topic: product.market.topic.clone(),
            data,
            ts: row.date("time"),
        });
        Heard::tick(&product.market.symbol, tick)
    }

    /// A heartbeat comes each second, whether there was a trade or not.
    fn heartbeat(&mut self, row: &Row<'_>) -> Heard {
        let last = row.id("last_trade_id");
        let current = self.product(row).filter(|product| last.is_some() && product.trade == last);
        let confirmed = match current {
            Some(product) => Confirmed::One(product.market.topic.clone()),
            // A trade of which we have not heard, or not yet.
            None => Confirmed::Nothing,
        };
        Heard { confirmed, ..Heard::default() }
    }

    /// One product that is refused takes all of its request with it: the others are asked for
    /// again without it.
    fn refuse(&mut self, row: &Row<'_>) -> Heard {
        let message = row.text("message").unwrap_or_default();
        let reason = row.text("reason").unwrap_or_default();
        let text = format!("{message}: {reason}");
        let named = |product: &Product| !product.refused && names(&text, &product.id);
        let Some(at) = self.products.iter().position(named) else {
            return Heard::refused(false, &text);
        };
        let Some(product) = self.products.get_mut(at) else {
            return Heard::default();
        };
        product.refused = true;
        let missing = format!("{} is refused: {}", product.market.symbol, body::excerpt(&text));
        let batch = self.products.chunks(BATCH).nth(at / BATCH).unwrap_or_default();
        Heard {
            missing: vec![missing],
            send: subscribe(batch).into_iter().collect(),
            ..Heard::default()
        }
    }
}

impl StreamProvider for CoinbaseStream {
    fn terms(&self) -> Terms {
        Terms { gap: GAP, lifetime: None }
    }

    fn opened(&mut self) -> Vec<String> {
        for product in &mut self.products {
            // A product may be listed meanwhile: each connection asks for all of them.
            product.refused = false;
            product.sequence = None;
            product.trade = None;
        }
        self.products.chunks(BATCH).filter_map(subscribe).collect()
    }

    fn read(&mut self, message: &Response) -> Result<Heard, DecodeError> {
        let row: Row<'_> = body::json(message)?;
        Ok(match row.text("type").as_deref() {
            Some("ticker") => self.ticker(&row),
            Some("heartbeat") => self.heartbeat(&row),
            Some("error") => self.refuse(&row),
            // "Clients are expected to ignore messages they do not support."
            Some(_) => Heard::default(),
            None => return Err(DecodeError::bad_body("a message without a type")),
        })
    }

    fn marks(&self) -> Marks {
        let mark = |product: &Product| Some((product.market.topic.clone(), product.sequence?));
        self.products.iter().filter_map(mark).collect()
    }

    fn resume(&mut self, marks: &Marks) {
        for product in &mut self.products {
            product.sequence = product.sequence.max(marks.get(&product.market.topic).copied());
        }
    }

    fn topics(&self) -> Vec<Topic> {
        self.products.iter().map(|product| product.market.topic.clone()).collect()
    }
}

/// The request for those of `products` that are not refused.
fn subscribe(products: &[Product]) -> Option<String> {
    let ids: Vec<&str> = products
        .iter()
        .filter(|product| !product.refused)
        .map(|product| product.id.as_str())
        .collect();
    (!ids.is_empty()).then(|| {
        json!({"type": "subscribe", "product_ids": ids, "channels": ["ticker", "heartbeat"]})
            .to_string()
    })
}

/// Whether `text` has `id` as a whole word: `ETH-USD` is no part of `ETH-USDT`.
fn names(text: &str, id: &str) -> bool {
    let part = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '-' | '_' | ':');
    text.split(|ch| !part(ch)).any(|word| word == id)
}
