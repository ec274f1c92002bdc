//! Kraken's WebSocket API v2: the channel `ticker`.
//!
//! Prices are JSON numbers with the market's digits. Every symbol of a request has an answer of
//! its own, and a subscription begins with a snapshot.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::units::Micros;

use super::{
    super::{apis::kraken::Pair, date::rfc3339_micros, number::number},
    At, Out,
};

/// What the first connection is called; as long as the real ones.
const CONNECTION_FIRST: u64 = 13_834_774_380_200_032_777;

/// Nothing was said for so long: a heartbeat is due.
const SILENCE_US: Micros = 1_000_000;

/// One client.
#[derive(Debug, Default)]
pub(super) struct Session {
    subscriptions: BTreeMap<String, Subscription>,
    spoke: Micros,
}

#[derive(Debug)]
struct Subscription {
    trigger: Trigger,
    /// What the client has seen.
    said: Seen,
}

/// Bid, asked and their lots, and the last price.
type Seen = [Box<str>; 5];

/// What brings an update about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    /// The best bid or ask.
    Bbo,
    /// The last price.
    Trades,
}

#[derive(Serialize)]
struct Data<'a, T> {
    channel: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    data: &'a [T],
}

#[derive(Serialize)]
struct Status {
    api_version: &'static str,
    connection_id: u64,
    system: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Ticker<'a> {
    symbol: &'a str,
    bid: Box<RawValue>,
    bid_qty: Box<RawValue>,
    ask: Box<RawValue>,
    ask_qty: Box<RawValue>,
    last: Box<RawValue>,
    volume: Box<RawValue>,
    vwap: Box<RawValue>,
    low: Box<RawValue>,
    high: Box<RawValue>,
    change: Box<RawValue>,
    change_pct: Box<RawValue>,
    timestamp: String,
}

/// An answer to a request, or to its part about one symbol.
#[derive(Serialize, Default)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Accepted<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<&'a str>,
    time_in: String,
    time_out: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    req_id: Option<&'a Value>,
}

#[derive(Serialize)]
struct Accepted<'a> {
    channel: &'static str,
    symbol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<bool>,
}

/// What a request asks for.
struct Wanted<'a> {
    symbols: Vec<&'a str>,
    trigger: Trigger,
    snapshot: bool,
}

impl super::Session for Session {
    fn messages_per_second(&self) -> usize {
        100
    }

    fn open(&mut self, at: At<'_>) -> Out {
        self.spoke = at.now;
        // Unlike in time is unlike enough: nothing is looked up by it.
        let offset = u64::try_from(at.now).unwrap_or_default();
        let status = Status {
            api_version: "v2",
            connection_id: CONNECTION_FIRST.wrapping_add(offset),
            system: "online",
            version: "2.0.0",
        };
        Out::one(&Data { channel: "status", kind: "update", data: &[status] })
    }

    fn hear(&mut self, text: &str, at: At<'_>) -> Out {
        self.spoke = at.now;
        let request: Value = serde_json::from_str(text).unwrap_or_default();
        let time = rfc3339_micros(at.now);
        let req_id = request.get("req_id").filter(|id| id.is_i64() || id.is_u64());
        let method = request.get("method").and_then(Value::as_str);
        let answer = || Answer {
            method,
            time_in: time.clone(),
            time_out: time.clone(),
            req_id,
            ..Answer::default()
        };
        let fail = |error: &str| {
            Out::one(&Answer { success: Some(false), error: Some(error), ..answer() })
        };
        let Some(method) = method.filter(|_| req_id.is_some() || request.get("req_id").is_none())
        else {
            return fail("Malformed request");
        };
        if method == "ping" {
            return Out::one(&Answer { method: Some("pong"), ..answer() });
        }
        if !matches!(method, "subscribe" | "unsubscribe") {
            return fail("Method not supported");
        }
        let wanted = match Wanted::of(&request) {
            Ok(wanted) => wanted,
            Err(error) => return fail(&error),
        };
        self.carry_out(method, &wanted, at, answer)
    }

    fn tick(&mut self, at: At<'_>) -> Out {
        let mut out = Out::default();
        for (symbol, subscription) in &mut self.subscriptions {
            let Some(ticker) = Ticker::of(symbol, at) else { continue };
            let seen = ticker.seen();
            if subscription.trigger.fires(&subscription.said, &seen) {
                subscription.said = seen;
                out.say(&Data { channel: "ticker", kind: "update", data: &[ticker] });
            }
        }
        if !out.messages.is_empty() {
            self.spoke = at.now;
        } else if !self.subscriptions.is_empty() && at.now - self.spoke >= SILENCE_US {
            self.spoke = at.now;
            out.messages.push(r#"{"channel":"heartbeat"}"#.to_owned());
        }
        out
    }

    fn warn(&mut self, _: At<'_>) -> Out {
        Out::default()
    }
}

impl Session {
    fn subscribe(&mut self, symbol: &str, wanted: &Wanted<'_>, at: At<'_>) -> Result<(), String> {
        let Some(ticker) = Ticker::of(symbol, at) else {
            return Err(format!("Currency pair not supported {symbol}"));
        };
        if self.subscriptions.contains_key(symbol) {
            return Err("Already subscribed".to_owned());
        }
        // Also without a snapshot what comes is what changes.
        let subscription = Subscription { trigger: wanted.trigger, said: ticker.seen() };
        self.subscriptions.insert(symbol.to_owned(), subscription);
        Ok(())
    }

    fn unsubscribe(&mut self, symbol: &str) -> Result<(), String> {
        self.subscriptions.remove(symbol).map(drop).ok_or("Subscription Not Found".to_owned())
    }

    /// Each symbol's answer, then the snapshots.
    fn carry_out<'a>(
        &mut self,
        method: &str,
        wanted: &Wanted<'a>,
        at: At<'_>,
        answer: impl Fn() -> Answer<'a>,
    ) -> Out {
        let subscribes = method == "subscribe";
        let (mut out, mut fresh) = (Out::default(), Vec::new());
        for symbol in &wanted.symbols {
            let outcome = match subscribes {
                true => self.subscribe(symbol, wanted, at),
                false => self.unsubscribe(symbol),
            };
            if let Err(error) = outcome {
                out.say(&Answer {
                    success: Some(false),
                    error: Some(&error),
                    symbol: Some(symbol),
                    ..answer()
                });
                continue;
            }
            if subscribes && wanted.snapshot {
                fresh.push(*symbol);
            }
            let snapshot = subscribes.then_some(wanted.snapshot);
            let result = Some(Accepted { channel: "ticker", symbol, snapshot });
            out.say(&Answer { result, success: Some(true), ..answer() });
        }
        out.messages.extend(Self::snapshots(&fresh, at).messages);
        out
    }

    /// What a fresh subscription begins with.
    fn snapshots(fresh: &[&str], at: At<'_>) -> Out {
        let mut out = Out::default();
        for symbol in fresh {
            if let Some(ticker) = Ticker::of(symbol, at) {
                out.say(&Data { channel: "ticker", kind: "snapshot", data: &[ticker] });
            }
        }
        out
    }
}

impl Trigger {
    fn fires(self, said: &Seen, seen: &Seen) -> bool {
        let [.., said_last] = said;
        let [.., seen_last] = seen;
        match self {
            Self::Trades => said_last != seen_last,
            Self::Bbo => said.iter().zip(seen).take(4).any(|(said, seen)| said != seen),
        }
    }
}

impl<'a> Ticker<'a> {
    /// The ticker of a pair as `BTC/USD`; `None` for one that is not traded.
    fn of(symbol: &'a str, at: At<'_>) -> Option<Self> {
        let pair = Pair::find(at.market, symbol)?;
        let (quote, decimals) = (pair.quote(at.market)?, pair.decimals());
        let price = |price| number(price, decimals);
        let lots = |which| number(Pair::lots(&quote, which) as f64, 8);
        Some(Self {
            symbol,
            bid: price(quote.bid),
            bid_qty: lots(2),
            ask: price(quote.ask),
            ask_qty: lots(1),
            last: price(quote.price),
            volume: number(quote.volume, 8),
            vwap: price(quote.average()),
            low: price(quote.low),
            high: price(quote.high),
            change: price(quote.change()),
            change_pct: number(quote.change_pct(), 2),
            timestamp: rfc3339_micros(at.market.time_of(quote.step)),
        })
    }

    fn seen(&self) -> Seen {
        [&self.bid, &self.bid_qty, &self.ask, &self.ask_qty, &self.last].map(|raw| raw.get().into())
    }
}

impl<'a> Wanted<'a> {
    fn of(request: &'a Value) -> Result<Self, String> {
        let params = request.get("params").ok_or("Malformed request")?;
        let channel = params.get("channel").and_then(Value::as_str).unwrap_or_default();
        if channel != "ticker" {
            return Err(format!("Channel not supported {channel}"));
        }
        let symbols = params.get("symbol").and_then(Value::as_array);
        let symbols: Option<Vec<&str>> =
            symbols.and_then(|symbols| symbols.iter().map(Value::as_str).collect());
        let trigger = match params.get("event_trigger").map(Value::as_str) {
            None | Some(Some("trades")) => Trigger::Trades,
            Some(Some("bbo")) => Trigger::Bbo,
            Some(_) => return Err("Event trigger not supported".to_owned()),
        };
        let snapshot = match params.get("snapshot") {
            None => true,
            Some(value) => value.as_bool().ok_or("Snapshot must be a boolean")?,
        };
        match symbols {
            Some(symbols) if !symbols.is_empty() => Ok(Self { symbols, trigger, snapshot }),
            _ => Err("Symbol(s) missing".to_owned()),
        }
    }
}
