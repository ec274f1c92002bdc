//! Kraken spot, WebSocket API v2: the channel `ticker`. Shapes: Kraken's Spot WebSocket v2 reference.
//! Its names of markets are regular, `BTC/USD`, so that `ids` are for the REST API alone.

use std::{collections::HashMap, time::Duration};

use serde_json::json;

use super::super::{
    DecodeError, Response, body,
    markets::{Market, endpoint, markets},
    mistake::Mistakes,
    row::Row,
    stream::{Confirmed, Heard, StreamProvider, Terms},
};
use crate::{
    market::{Symbol, Tick, Topic},
    upstream::config::FeedConfig,
};

/// Pairs of one request. Kraken documents no bound; this keeps the message short.
const BATCH: usize = 100;

/// Kraken publishes no rate for subscriptions, and closes on those who go too fast.
const GAP: Duration = Duration::from_millis(200);

/// The fields of the REST API.
const FIELDS: [(&str, &str); 6] = [
    ("price", "last"),
    ("bid", "bid"),
    ("ask", "ask"),
    ("volume_24h", "volume"),
    ("high_24h", "high"),
    ("low_24h", "low"),
];

/// The ticker of some pairs.
#[derive(Debug)]
pub(in crate::upstream::providers) struct KrakenStream {
    markets: Vec<Market>,
    /// Where each stands.
    places: HashMap<Symbol, usize>,
    /// Numbers of our requests.
    requests: u64,
    /// While Kraken is being maintained a heartbeat says nothing about a price.
    maintained: bool,
}

impl KrakenStream {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(in crate::upstream::providers) fn new(feed: &FeedConfig) -> Result<Self, Mistakes> {
        endpoint(feed, &super::ENDPOINTS)?;
        let markets = markets(feed)?;
        let place = |(place, market): (usize, &Market)| (market.symbol.clone(), place);
        let places = markets.iter().enumerate().map(place).collect();
        Ok(Self { markets, places, requests: 0, maintained: false })
    }

    fn market(&self, name: &str) -> Option<&Market> {
        // `Symbol::parse` knows that XBT is BTC.
        let place = *self.places.get(&Symbol::parse(name)?)?;
        self.markets.get(place)
    }

    fn ticker(&self, row: &Row<'_>) -> Result<Heard, DecodeError> {
        let rows =
            row.rows("data").ok_or_else(|| DecodeError::bad_body("a ticker without data"))?;
        let mut heard = Heard::default();
        for row in rows {
            let Some(market) = row.text("symbol").and_then(|name| self.market(&name)) else {
                continue;
            };
            match row.data(&FIELDS) {
                Ok(data) => heard.ticks.push(Tick {
                    topic: market.topic.clone(),
                    data,
                    ts: row.date("timestamp"),
                }),
                Err(why) => heard.missing.push(format!("{} {why}", market.symbol)),
            }
        }
        Ok(heard)
    }

    fn status(&mut self, row: &Row<'_>) {
        let rows = row.rows("data").unwrap_or_default();
        if let Some(system) = rows.iter().find_map(|row| row.text("system")) {
            self.maintained = system == "maintenance";
        }
    }

    fn alive(&self) -> Heard {
        let confirmed = if self.maintained { Confirmed::Nothing } else { Confirmed::All };
        Heard { confirmed, ..Heard::default() }
    }

    /// An answer to one of our requests: each symbol of a subscription has its own.
    fn answer(&self, row: &Row<'_>) -> Heard {
        let refused = row.raw("success").is_some_and(|raw| raw.get() == "false");
        let error = row.text("error");
        if !refused && error.is_none() {
            return Heard::default();
        }
        let error = error.unwrap_or_default();
        let named = row.text("symbol").and_then(|name| self.market(&name));
        let mut words = error.split_ascii_whitespace();
        match named.or_else(|| words.find_map(|word| self.market(word))) {
            Some(market) => Heard {
                missing: vec![format!("{} is refused: {}", market.symbol, body::excerpt(&error))],
                ..Heard::default()
            },
            None => Heard::refused(false, &error),
        }
    }
}

impl StreamProvider for KrakenStream {
    fn terms(&self) -> Terms {
        Terms { gap: GAP, lifetime: None }
    }

    fn opened(&mut self) -> Vec<String> {
        self.maintained = false;
        let mut messages = Vec::new();
        for markets in self.markets.chunks(BATCH) {
            let name =
                |market: &Market| format!("{}/{}", market.symbol.base(), market.symbol.quote());
            let names: Vec<String> = markets.iter().map(name).collect();
            self.requests += 1;
            // At each trade, since the price is what matters: with `bbo`, one that leaves the best
            // bid and ask where they are is not told.
            let params = json!({
                "channel": "ticker", "symbol": names, "event_trigger": "trades", "snapshot": true,
            });
            let request = json!({"method": "subscribe", "params": params, "req_id": self.requests});
            messages.push(request.to_string());
        }
        messages
    }

    fn ping(&mut self) -> Option<String> {
        self.requests += 1;
        Some(json!({"method": "ping", "req_id": self.requests}).to_string())
    }

    fn read(&mut self, message: &Response) -> Result<Heard, DecodeError> {
        let row: Row<'_> = body::json(message)?;
        let (channel, method) = (row.text("channel"), row.text("method"));
        Ok(match (channel.as_deref(), method.as_deref()) {
            (Some("ticker"), _) => self.ticker(&row)?,
            (Some("heartbeat"), _) => self.alive(),
            (Some("status"), _) => {
                self.status(&row);
                Heard::default()
            }
            (_, Some("pong")) => self.alive(),
            (None, None) if row.raw("error").is_none() => {
                return Err(DecodeError::bad_body("neither a channel nor a method"));
            }
            (None, _) => self.answer(&row),
            (Some(_), _) => Heard::default(),
        })
    }

    fn topics(&self) -> Vec<Topic> {
        self.markets.iter().map(|market| market.topic.clone()).collect()
    }
}
