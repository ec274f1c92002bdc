//! Binance spot, combined streams: `/stream`. Shapes and limits: `web-socket-streams.md` of Binance's
//! Spot API documentation.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use super::super::{
    DecodeError, Response, body,
    markets::{Market, endpoint, markets},
    mistake::{Mistake, Mistakes},
    row::Row,
    stream::{Heard, Marks, StreamProvider, Terms},
};
use crate::{
    market::{Tick, Topic},
    upstream::config::FeedConfig,
};

/// Streams of one connection.
const STREAMS_MAX: usize = 1024;

/// Streams of one request: far from where a message becomes too large.
const BATCH: usize = 100;

/// Binance takes five messages a second, in which it counts our pongs.
const GAP: Duration = Duration::from_millis(250);

/// After this, Binance closes the connection.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What differs between the streams.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    fields: &'static [(&'static str, &'static str)],
    /// Key of the source time, in ms.
    time: Option<&'static str>,
    /// Key of a number that only grows.
    sequence: Option<&'static str>,
}

/// By the endpoints of the REST API, with the same fields.
const KINDS: [(&str, Kind); 3] = [
    (
        "ticker_24hr",
        Kind {
            name: "ticker",
            fields: &[
                ("price", "c"),
                ("bid", "b"),
                ("ask", "a"),
                ("volume_24h", "v"),
                ("change_24h_pct", "P"),
                ("high_24h", "h"),
                ("low_24h", "l"),
            ],
            // What the REST API calls `closeTime`, rather than the event's own time.
            time: Some("C"),
            sequence: None,
        },
    ),
    (
        "ticker_price",
        Kind { name: "miniTicker", fields: &[("price", "c")], time: Some("E"), sequence: None },
    ),
    (
        "book_ticker",
        Kind {
            name: "bookTicker",
            fields: &[("bid", "b"), ("ask", "a")],
            time: None,
            sequence: Some("u"),
        },
    ),
];

/// One kind of stream for some markets.
#[derive(Debug)]
pub(in crate::upstream::providers) struct BinanceStream {
    kind: &'static Kind,
    /// Names of the streams, `btcusdt@ticker`, in the order in which they are asked for.
    names: Vec<String>,
    markets: BTreeMap<String, Listed>,
}

#[derive(Debug)]
struct Listed {
    market: Market,
    sequence: Option<u64>,
}

impl BinanceStream {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(in crate::upstream::providers) fn new(feed: &FeedConfig) -> Result<Self, Mistakes> {
        let kind = endpoint(feed, &KINDS)?;
        let mut stream = Self { kind, names: Vec::new(), markets: BTreeMap::new() };
        for market in markets(feed)? {
            let pair = format!("{}{}", market.symbol.base(), market.symbol.quote());
            let name = format!("{}@{}", pair.to_ascii_lowercase(), kind.name);
            stream.names.push(name.clone());
            stream.markets.insert(name, Listed { market, sequence: None });
        }
        match stream.names.len() {
            ..=STREAMS_MAX => Ok(stream),
            count => {
                let message = format!(
                    "are {count}, and one connection to binance carries {STREAMS_MAX}: put the \
                     others into another feed"
                );
                Err(Mistake::at("symbols", message).into())
            }
        }
    }

    fn reading(&mut self, name: &str, row: &Row<'_>) -> Heard {
        // What we did not ask for means nothing.
        let Some(Listed { market, sequence }) = self.markets.get_mut(name) else {
            return Heard::default();
        };
        let number = self.kind.sequence.and_then(|key| row.count(key));
        if number.is_some() && number <= *sequence {
            return Heard { ignored: 1, ..Heard::default() };
        }
        *sequence = number.or(*sequence);
        let tick = row.data(self.kind.fields).map(|data| Tick {
            topic: market.topic.clone(),
            data,
            ts: self.kind.time.and_then(|key| row.number(key).time(1_000)),
        });
        Heard::tick(&market.symbol, tick)
    }
}

impl StreamProvider for BinanceStream {
    fn terms(&self) -> Terms {
        Terms { gap: GAP, lifetime: Some(LIFETIME) }
    }

    fn opened(&mut self) -> Vec<String> {
        self.markets.values_mut().for_each(|listed| listed.sequence = None);
        let message = |(index, names): (usize, &[String])| {
            json!({"method": "SUBSCRIBE", "params": names, "id": index + 1}).to_string()
        };
        self.names.chunks(BATCH).enumerate().map(message).collect()
    }

    fn read(&mut self, message: &Response) -> Result<Heard, DecodeError> {
        let row: Row<'_> = body::json(message)?;
        let name = row.text("stream");
        let data = row.row("data");
        let shutdown = |row: &Row<'_>| row.text("e").as_deref() == Some("serverShutdown");
        if shutdown(&row) || data.as_ref().is_some_and(shutdown) {
            return Ok(Heard { closing: true, ..Heard::default() });
        }
        match (name, data) {
            (Some(name), Some(data)) => Ok(self.reading(&name, &data)),
            (Some(_), None) => Err(DecodeError::bad_body("a stream without data")),
            (None, _) => Ok(refused(&row)),
        }
    }

    fn marks(&self) -> Marks {
        let mark = |listed: &Listed| Some((listed.market.topic.clone(), listed.sequence?));
        self.markets.values().filter_map(mark).collect()
    }

    fn resume(&mut self, marks: &Marks) {
        for Listed { market, sequence } in self.markets.values_mut() {
            *sequence = (*sequence).max(marks.get(&market.topic).copied());
        }
    }

    fn topics(&self) -> Vec<Topic> {
        let market = |name| self.markets.get(name).map(|listed| listed.market.topic.clone());
        self.names.iter().filter_map(market).collect()
    }
}

/// `{"result":null,"id":1}` is fine; `{"code":2,"msg":"Invalid request: …","id":1}` is not, and
/// stands in `error` in some places.
fn refused(row: &Row<'_>) -> Heard {
    let within = row.row("error");
    let error = within.as_ref().unwrap_or(row);
    match (error.id("code"), error.text("msg")) {
        (Some(code), message) => {
            let message = message.unwrap_or_default();
            Heard::refused(code == super::TOO_MANY_REQUESTS, &format!("{code} {message}"))
        }
        (None, _) => Heard::default(),
    }
}
