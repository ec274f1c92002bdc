//! Binance Spot: `@ticker`, `@miniTicker` and `@bookTicker`, raw and combined.
//!
//! As the real server does, it takes any name of a stream and sends nothing for one that it does
//! not have. What it says of requests that it cannot read is what the real one says.

mod event;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::units::Micros;

use super::{
    super::apis::binance::{Book, Full, Mini, Pair},
    At, Out, second,
};
use event::{BookEvent, Event, FullEvent, MiniEvent};

/// Streams of one connection.
const STREAMS_MAX: usize = 1_024;

/// A connection lives for a day.
const LIFE_US: Micros = 24 * 3_600 * 1_000_000;

/// It is told of its end so long before.
const WARNING_US: Micros = 600 * 1_000_000;

const METHODS: &str = "SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY";

/// Updates of a book in a step, from which their ids follow.
const BOOKS_PER_STEP: u64 = 10;

/// One client.
#[derive(Debug)]
pub(super) struct Session {
    combined: bool,
    streams: BTreeMap<String, Stream>,
    opened: Micros,
    warned: bool,
}

/// A stream that was asked for.
#[derive(Debug)]
struct Stream {
    /// What it tells of; `None` for one that does not exist.
    source: Option<(String, Kind)>,
    /// The second of the last message.
    second: Micros,
    /// What it said last, where it speaks of changes only.
    said: Option<[String; 4]>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Ticker,
    Mini,
    Book,
}

/// Why a request is refused.
struct Refusal {
    code: u8,
    msg: String,
}

impl Session {
    /// A client that asked for streams by its URL, separated by `/`. `None`: for too many.
    pub(super) fn new(combined: bool, streams: &str) -> Option<Self> {
        let mut session = Self { combined, streams: BTreeMap::new(), opened: 0, warned: false };
        let names: Vec<&str> = streams.split('/').filter(|name| !name.is_empty()).collect();
        session.subscribe(&names, 0).ok()?;
        Some(session)
    }

    fn subscribe(&mut self, names: &[&str], now: Micros) -> Result<(), Refusal> {
        let fresh = names.iter().filter(|name| !self.streams.contains_key(**name)).count();
        if self.streams.len() + fresh > STREAMS_MAX {
            return Err(invalid(format!("more than {STREAMS_MAX} streams")));
        }
        for name in names {
            let stream = || Stream { source: source(name), second: second(now), said: None };
            self.streams.entry((*name).to_owned()).or_insert_with(stream);
        }
        Ok(())
    }

    /// What a request is answered.
    fn answer(&mut self, request: &Value, now: Micros) -> Result<Value, Refusal> {
        let method = request.get("method").ok_or_else(|| invalid("missing field `method`"))?;
        let method = method.as_str().ok_or_else(|| invalid("`method` must be a string"))?;
        let params = request.get("params").unwrap_or(&Value::Null);
        match method {
            "SUBSCRIBE" => self.subscribe(&names(params)?, now).map(|()| Value::Null),
            "UNSUBSCRIBE" => {
                for name in names(params)? {
                    self.streams.remove(name);
                }
                Ok(Value::Null)
            }
            "LIST_SUBSCRIPTIONS" if params.as_array().is_some_and(|params| !params.is_empty()) => {
                Err(invalid("too many parameters"))
            }
            "LIST_SUBSCRIPTIONS" => Ok(self.streams.keys().cloned().collect()),
            "SET_PROPERTY" => {
                property(params)?;
                let value = params.get(1).and_then(Value::as_bool);
                let msg = "Invalid value type: expected Boolean".to_owned();
                self.combined = value.ok_or(Refusal { code: 1, msg })?;
                Ok(Value::Null)
            }
            "GET_PROPERTY" => property(params).map(|()| self.combined.into()),
            other => Err(invalid(format!("unknown variant `{other}`, expected one of {METHODS}"))),
        }
    }

    fn say<T: Serialize>(out: &mut Out, combined: bool, stream: &str, data: &T) {
        #[derive(Serialize)]
        struct Combined<'a, T> {
            stream: &'a str,
            data: &'a T,
        }
        if combined {
            out.say(&Combined { stream, data });
        } else {
            out.say(data);
        }
    }
}

impl super::Session for Session {
    fn messages_per_second(&self) -> usize {
        5
    }

    fn open(&mut self, at: At<'_>) -> Out {
        self.opened = at.now;
        for stream in self.streams.values_mut() {
            stream.second = second(at.now);
        }
        Out::default()
    }

    fn hear(&mut self, text: &str, at: At<'_>) -> Out {
        #[derive(Serialize)]
        struct Answer<'a> {
            result: Value,
            id: &'a Value,
        }
        #[derive(Serialize)]
        struct Failure<'a> {
            code: u8,
            msg: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a Value>,
        }
        let request: Value = match serde_json::from_str(text) {
            Ok(request) => request,
            Err(error) => {
                return Out::one(&Failure {
                    code: 3,
                    msg: format!("Invalid JSON: {error}"),
                    id: None,
                });
            }
        };
        let id = request.get("id").unwrap_or(&Value::Null);
        if !is_id(id) {
            let Refusal { code, msg } = invalid("request ID must be an unsigned integer");
            return Out::one(&Failure { code, msg, id: None });
        }
        match self.answer(&request, at.now) {
            Ok(result) => Out::one(&Answer { result, id }),
            Err(Refusal { code, msg }) => Out::one(&Failure { code, msg, id: Some(id) }),
        }
    }

    fn tick(&mut self, at: At<'_>) -> Out {
        let age = at.now - self.opened;
        if age >= LIFE_US {
            return Out::close(1_001, "24 hours");
        }
        let mut out = Out::default();
        if age >= LIFE_US - WARNING_US && !self.warned {
            out = self.warn(at);
        }
        for (name, stream) in &mut self.streams {
            if let Some(message) = stream.tick(at) {
                Self::say(&mut out, self.combined, name, &message);
            }
        }
        out
    }

    fn warn(&mut self, at: At<'_>) -> Out {
        #[derive(Serialize)]
        struct Event {
            e: &'static str,
            #[serde(rename = "E")]
            at_ms: i64,
        }
        let mut out = Out::default();
        if !self.warned {
            self.warned = true;
            let event = Event { e: "serverShutdown", at_ms: at.now / 1_000 };
            Self::say(&mut out, self.combined, "!serverShutdown", &event);
        }
        out
    }
}

impl Stream {
    fn tick(&mut self, at: At<'_>) -> Option<Event> {
        let (symbol, kind) = self.source.as_ref()?;
        let pair = Pair::find(at.market, symbol)?;
        let at_ms = at.now / 1_000;
        if let Kind::Book = kind {
            let book = Book::of(pair);
            let prices = [&book.bid_price, &book.bid_qty, &book.ask_price, &book.ask_qty];
            let says = prices.map(Clone::clone);
            if self.said.as_ref() == Some(&says) {
                return None;
            }
            self.said = Some(says);
            let id = at.market.step().saturating_add(1).saturating_mul(BOOKS_PER_STEP);
            return Some(Event::Book(BookEvent::of(id, book)));
        }
        if second(at.now) == self.second {
            return None;
        }
        self.second = second(at.now);
        Some(match kind {
            Kind::Mini => {
                Event::Mini(MiniEvent::of("24hrMiniTicker", at_ms, Mini::of(at.market, pair)))
            }
            _ => Event::Full(Box::new(FullEvent::of(at_ms, Full::of(at.market, pair)))),
        })
    }
}

/// What a name means: names are in lower case, but for the kind's.
fn source(name: &str) -> Option<(String, Kind)> {
    let (symbol, kind) = name.split_once('@')?;
    let kind = match kind {
        "ticker" => Kind::Ticker,
        "miniTicker" => Kind::Mini,
        "bookTicker" => Kind::Book,
        _ => return None,
    };
    let lower = !symbol.bytes().any(|byte| byte.is_ascii_uppercase());
    lower.then(|| (symbol.to_ascii_uppercase(), kind))
}

fn names(params: &Value) -> Result<Vec<&str>, Refusal> {
    let params = params.as_array().ok_or_else(|| invalid("params must be an array"))?;
    params
        .iter()
        .map(|param| param.as_str().ok_or_else(|| invalid("stream names must be strings")))
        .collect()
}

fn property(params: &Value) -> Result<(), Refusal> {
    match params.get(0).map(Value::as_str) {
        Some(Some("combined")) => Ok(()),
        Some(Some(_)) => Err(Refusal { code: 0, msg: "Unknown property".to_owned() }),
        _ => Err(invalid("property name must be a string")),
    }
}

/// A whole number, a short text or nothing.
fn is_id(id: &Value) -> bool {
    match id {
        Value::Null => true,
        Value::Number(number) => number.is_i64(),
        Value::String(text) => text.chars().count() <= 36,
        _ => false,
    }
}

fn invalid(what: impl std::fmt::Display) -> Refusal {
    Refusal { code: 2, msg: format!("Invalid request: {what}") }
}
