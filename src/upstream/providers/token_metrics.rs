//! Token Metrics: prices, trading signals and trader grades, below `…/v2` of its API. Shapes:
//! developers.tokenmetrics.com and Token Metrics' own clients. The API is loose about types:
//! numbers come as text too, dates with or without a time, keys in either case.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{
    Batch, DecodeError, Provider, Request, Response,
    body::{self, excerpt},
    markets::{Market, distinct, endpoint, is_id, markets},
    row::Row,
};
use crate::{
    market::{Data, Decimal, Reason, Tick, Topic},
    units::{Micros, Secret},
    upstream::config::FeedConfig,
};

/// Rows that an answer holds at most, and ids that a request names at most.
const PAGE: usize = 100;

/// Pages of `/tokens` that are read at most: each costs a credit.
const LOOKUP_PAGES: usize = 10;

/// What differs between the endpoints. A further one is a row in [`ENDPOINTS`].
#[derive(Debug)]
struct Endpoint {
    path: &'static str,
    /// The `<name>` in `signal.<SYMBOL>.<name>`; without one it is a price.
    signal: Option<&'static str>,
    /// Our name and the API's key of the field without which a row is of no use.
    essential: (&'static str, &'static str),
    /// The `state` that the essential field means.
    state: fn(&Decimal) -> Option<&'static str>,
    /// Further fields: our name and the API's key.
    fields: &'static [(&'static str, &'static str)],
}

const ENDPOINTS: [(&str, Endpoint); 3] = [
    (
        "price",
        Endpoint {
            path: "/price",
            signal: None,
            essential: ("price", "CURRENT_PRICE"),
            state: |_| None,
            fields: &[],
        },
    ),
    (
        "trading_signals",
        Endpoint {
            path: "/trading-signals",
            signal: Some("tm_trading_signal"),
            essential: ("value", "TRADING_SIGNAL"),
            state: position,
            fields: &[
                ("trend", "TOKEN_TREND"),
                ("trader_grade", "TM_TRADER_GRADE"),
                ("investor_grade", "TM_INVESTOR_GRADE"),
            ],
        },
    ),
    (
        "trader_grades",
        Endpoint {
            path: "/trader-grades",
            signal: Some("tm_trader_grade"),
            essential: ("value", "TM_TRADER_GRADE"),
            state: |_| None,
            fields: &[
                ("ta_grade", "TA_GRADE"),
                ("quant_grade", "QUANT_GRADE"),
                ("change_24h_pct", "TM_TRADER_GRADE_24H_PCT_CHANGE"),
            ],
        },
    ),
];

/// One endpoint for some tokens.
#[derive(Debug)]
pub(super) struct TokenMetrics {
    endpoint: &'static Endpoint,
    tokens: Vec<Token>,
    lookup: Lookup,
    api_key: Option<Secret>,
}

/// A token that the feed asks for.
#[derive(Debug)]
struct Token {
    market: Market,
    topic: Topic,
    /// Token Metrics' own id, as far as it is known.
    id: Option<String>,
}

/// Where the look-up of ids stands.
#[derive(Debug, PartialEq, Eq)]
enum Lookup {
    /// This page, counted from 1, is next.
    Page(usize),
    /// Nothing more to be found.
    Done,
}

impl TokenMetrics {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(super) fn new(feed: &FeedConfig, api_key: Option<Secret>) -> Result<Self, String> {
        let endpoint = endpoint(feed, &ENDPOINTS)?;
        let markets = markets(feed)?.into_iter();
        let tokens: Vec<Token> =
            markets.map(|market| Token::new(market, endpoint)).collect::<Result<_, _>>()?;
        let known = tokens.iter().all(|token| token.id.is_some());
        Ok(Self {
            endpoint,
            tokens,
            lookup: if known { Lookup::Done } else { Lookup::Page(1) },
            api_key,
        })
    }

    /// Known ids, each once, cut into what one request may name; a piece's place is the request's
    /// tag.
    fn pages(&self) -> Vec<Vec<&str>> {
        let ids = distinct(self.tokens.iter().filter_map(|token| token.id.as_deref()));
        ids.chunks(PAGE).map(<[&str]>::to_vec).collect()
    }

    fn request(&self, path: &str, of: (&'static str, String), page: usize) -> Request {
        let api_key = self.api_key.clone();
        Request {
            path: path.to_owned(),
            query: vec![
                (of.0.into(), of.1),
                ("limit".into(), PAGE.to_string()),
                ("page".into(), page.to_string()),
            ],
            secret_headers: api_key.map(|key| ("x-api-key".into(), key)).into_iter().collect(),
            ..Request::default()
        }
    }

    /// Gives tokens without an id that of the first row with their symbol: rows come by rank, and
    /// lesser tokens borrow the symbols of great ones.
    fn resolve(&mut self, rows: &[Row<'_>]) {
        for row in rows {
            let (Some(symbol), Some(id)) = (row.text("TOKEN_SYMBOL"), row.id("TOKEN_ID")) else {
                continue;
            };
            if !is_id(&id) {
                continue;
            }
            for token in &mut self.tokens {
                let same = token.market.symbol.base().eq_ignore_ascii_case(&symbol);
                if token.id.is_none() && same {
                    token.id = Some(id.clone());
                }
            }
        }
    }

    fn tick(&self, token: &Token, row: &Row<'_>) -> Result<Tick, String> {
        let (name, key) = self.endpoint.essential;
        let value = row.number(key).essential(key)?;
        let state = (self.endpoint.state)(&value);
        let mut data = Data::new().with(name, value).with_opt("state", state);
        row.fill(&mut data, self.endpoint.fields);
        let as_of = row.date("DATE");
        if self.endpoint.signal.is_some() {
            data = data.with_opt("as_of", as_of).with("model", "token_metrics");
        }
        Ok(Tick { topic: token.topic.clone(), data, ts: as_of })
    }
}

impl Token {
    fn new(market: Market, endpoint: &Endpoint) -> Result<Self, String> {
        let topic = match endpoint.signal {
            Some(signal) => Topic::parse(&format!("signal.{}.{signal}", market.symbol))
                .map_err(|error| format!("`symbols`: {error}"))?,
            // Only prices have a unit that the quote can belie.
            None if market.symbol.quote() != "USD" => {
                return Err(format!(
                    "`symbols` has {}, but Token Metrics' prices are in USD",
                    market.symbol
                ));
            }
            None => market.topic.clone(),
        };
        Ok(Self { id: market.id.clone(), topic, market })
    }
}

impl Provider for TokenMetrics {
    fn preparation(&self) -> Vec<Request> {
        let Lookup::Page(page) = self.lookup else {
            return Vec::new();
        };
        // Those of the configuration are left out; those found on earlier pages are not, since the
        // pages are those of one and the same question.
        let asked = self.tokens.iter().filter(|token| token.market.id.is_none());
        let symbols = distinct(asked.map(|token| token.market.symbol.base()));
        vec![self.request("/tokens", ("symbol", symbols.join(",")), page)]
    }

    fn prepared(&mut self, _: &Request, response: &Response) -> Result<(), DecodeError> {
        let Lookup::Page(page) = self.lookup else {
            return Err(DecodeError::unasked());
        };
        let rows = rows(response)?;
        self.resolve(&rows);
        let known = self.tokens.iter().filter(|token| token.id.is_some()).count();
        let last = rows.len() < PAGE || page >= LOOKUP_PAGES;
        if known < self.tokens.len() && !last {
            self.lookup = Lookup::Page(page + 1);
        } else if known > 0 {
            self.lookup = Lookup::Done;
        } else {
            self.lookup = Lookup::Page(1);
            return Err(DecodeError {
                reason: Reason::NoData,
                message: "/tokens knows none of `symbols`".to_owned(),
            });
        }
        Ok(())
    }

    fn requests(&self) -> Vec<Request> {
        let pages = self.pages().into_iter().enumerate();
        pages
            .map(|(tag, ids)| Request {
                tag,
                ..self.request(self.endpoint.path, ("token_id", ids.join(",")), 1)
            })
            .collect()
    }

    fn decode(&mut self, request: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let pages = self.pages();
        let ids = pages.get(request.tag).ok_or_else(DecodeError::unasked)?;
        let newest = newest(rows(response)?);
        let mut batch = Batch::default();
        for token in &self.tokens {
            let tick = match token.id.as_deref() {
                Some(id) if !ids.contains(&id) => continue,
                Some(id) => match newest.get(id) {
                    Some((_, row)) => self.tick(token, row),
                    None => Err("is not in the answer".to_owned()),
                },
                // Told once a poll, not once a page.
                None if request.tag > 0 => continue,
                None => Err("is not known to /tokens".to_owned()),
            };
            batch.take(&token.market.symbol, tick);
        }
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        self.tokens.iter().map(|token| token.topic.clone()).collect()
    }
}

/// Rows by id: of several, a history, that with the latest `DATE`, and of equals the first.
fn newest(rows: Vec<Row<'_>>) -> BTreeMap<String, (Option<Micros>, Row<'_>)> {
    let mut newest: BTreeMap<String, (Option<Micros>, Row<'_>)> = BTreeMap::new();
    for row in rows {
        let Some(id) = row.id("TOKEN_ID") else {
            continue;
        };
        let date = row.date("DATE");
        if newest.get(&id).is_none_or(|(latest, _)| date > *latest) {
            newest.insert(id, (date, row));
        }
    }
    newest
}

/// The `data` of the envelope `{"success":true,"message":"…","length":1,"data":[…]}`.
fn rows(response: &Response) -> Result<Vec<Row<'_>>, DecodeError> {
    let envelope: Row<'_> = body::json(response)?;
    let message = envelope.text("message").unwrap_or_default();
    let success = envelope.raw("success").map(RawValue::get);
    let elements = envelope.raw("data").map_or("null", RawValue::get);
    let data = serde_json::from_str::<Vec<&RawValue>>(elements);
    match (success, data) {
        (Some("true" | "\"true\"") | None, Ok(elements)) => {
            Ok(elements.into_iter().filter_map(Row::read).collect())
        }
        (Some("true" | "\"true\""), Err(_)) => {
            Err(DecodeError::bad_body(format!("`data` is no array: {}", excerpt(elements))))
        }
        _ => Err(DecodeError::reported(false, &message)),
    }
}

/// What a trading signal of 1, 0 or −1 means.
fn position(signal: &Decimal) -> Option<&'static str> {
    let digits = match signal.as_str().split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => signal.as_str(),
    };
    match digits {
        "1" => Some("long"),
        "0" | "-0" => Some("flat"),
        "-1" => Some("short"),
        _ => None,
    }
}
