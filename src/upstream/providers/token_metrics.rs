//! Token Metrics: prices, candles, signals, grades and the market as a whole, below `…/v2` of its
//! API. Shapes: developers.tokenmetrics.com and Token Metrics' own clients. The API is loose about
//! types: numbers come as text too, dates with or without a time, keys in either case.

mod endpoints;
mod reading;

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{
    Batch, DecodeError, Provider, Request, Response,
    body::{self, excerpt},
    markets::{Market, distinct, endpoint, is_id, markets, symbol_mistake},
    mistake::{Mistake, Mistakes, all},
    row::Row,
};
use crate::{
    market::{Reason, Topic},
    units::{Micros, Secret},
    upstream::config::FeedConfig,
};

use endpoints::{ENDPOINTS, Endpoint, Kind, PAGE};

/// Pages of `/tokens` that are read at most: each costs a credit.
const LOOKUP_PAGES: usize = 10;

/// One endpoint for some tokens.
#[derive(Debug)]
pub(super) struct TokenMetrics {
    endpoint: &'static Endpoint,
    /// None where the endpoint is about the market as a whole.
    tokens: Vec<Token>,
    /// The topic of the market as a whole.
    market: Option<Topic>,
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
    pub(super) fn new(feed: &FeedConfig, api_key: Option<Secret>) -> Result<Self, Mistakes> {
        let endpoint = endpoint(feed, &ENDPOINTS)?;
        let (tokens, market) = match endpoint.kind {
            Kind::Market(name) | Kind::Indices(name) => {
                let topic = Topic::parse(&format!("market.{name}"));
                let wrong = |error| Mistake::at("endpoint", format!("has no topic: {error}"));
                (Vec::new(), Some(topic.map_err(wrong)?))
            }
            _ => {
                let markets = markets(feed)?.into_iter();
                let token = |market: Market| {
                    let symbol = market.symbol.clone();
                    Token::new(market, endpoint)
                        .map_err(|message| symbol_mistake(feed, &symbol, message))
                };
                (all(markets.map(token))?, None)
            }
        };
        let known = tokens.iter().all(|token| token.id.is_some());
        Ok(Self {
            endpoint,
            tokens,
            market,
            lookup: if known { Lookup::Done } else { Lookup::Page(1) },
            api_key,
        })
    }

    /// Known ids, each once, cut into what one request may name; a piece's place is the request's
    /// tag.
    fn pages(&self) -> Vec<Vec<&str>> {
        let ids = distinct(self.tokens.iter().filter_map(|token| token.id.as_deref()));
        ids.chunks(self.endpoint.ids).map(<[&str]>::to_vec).collect()
    }

    fn request(&self, path: &str, of: Option<(&'static str, String)>, page: usize) -> Request {
        let api_key = self.api_key.clone();
        let of = of.map(|(name, values)| (name.into(), values));
        let of_page = [("limit".into(), PAGE.to_string()), ("page".into(), page.to_string())];
        Request {
            path: path.to_owned(),
            query: of.into_iter().chain(of_page).collect(),
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

    /// Rows by id: of several, a history, that with the latest time, and of equals the first. Of
    /// candles those that are complete come before those that may still change: a poll that is too
    /// late for the end of one must not lose it to the beginning of the next.
    fn newest<'a>(
        &self,
        rows: Vec<Row<'a>>,
        now: Micros,
    ) -> BTreeMap<String, ((bool, Option<Micros>), Row<'a>)> {
        let mut newest: BTreeMap<String, ((bool, Option<Micros>), Row<'a>)> = BTreeMap::new();
        for row in rows {
            let Some(id) = row.id("TOKEN_ID") else {
                continue;
            };
            let date = row.date(self.endpoint.time);
            let rank = (self.endpoint.is_complete(date, now), date);
            if newest.get(&id).is_none_or(|(latest, _)| rank > *latest) {
                newest.insert(id, (rank, row));
            }
        }
        newest
    }
}

impl Token {
    fn new(market: Market, endpoint: &Endpoint) -> Result<Self, String> {
        let topic = match endpoint.kind {
            Kind::Signal(name) => parse(&format!("signal.{}.{name}", market.symbol))?,
            // Only prices have a unit that the quote can belie.
            _ if market.symbol.quote() != "USD" => {
                let symbol = &market.symbol;
                return Err(format!("is {symbol}, but Token Metrics' prices are in USD"));
            }
            Kind::Candle(interval, _) => parse(&format!("candle.{}.{interval}", market.symbol))?,
            _ => market.topic.clone(),
        };
        Ok(Self { id: market.id.clone(), topic, market })
    }
}

fn parse(topic: &str) -> Result<Topic, String> {
    Topic::parse(topic).map_err(|error| format!("makes no topic: {error}"))
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
        vec![self.request("/tokens", Some(("symbol", symbols.join(","))), page)]
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
                key_refused: false,
            });
        }
        Ok(())
    }

    fn requests(&self) -> Vec<Request> {
        if self.market.is_some() {
            return vec![self.request(self.endpoint.path, None, 1)];
        }
        let pages = self.pages().into_iter().enumerate();
        pages
            .map(|(tag, ids)| Request {
                tag,
                ..self.request(self.endpoint.path, Some(("token_id", ids.join(","))), 1)
            })
            .collect()
    }

    fn decode(&mut self, request: &Request, response: &Response) -> Result<Batch, DecodeError> {
        if let Some(topic) = &self.market {
            let mut batch = Batch::default();
            batch.take(topic, self.endpoint.overview(topic, &rows(response)?));
            return Ok(batch);
        }
        let pages = self.pages();
        let ids = pages.get(request.tag).ok_or_else(DecodeError::unasked)?;
        let newest = self.newest(rows(response)?, response.rx);
        let mut batch = Batch::default();
        for token in &self.tokens {
            let tick = match token.id.as_deref() {
                Some(id) if !ids.contains(&id) => continue,
                Some(id) => match newest.get(id) {
                    Some((_, row)) => self.endpoint.tick(&token.topic, row, response.rx),
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
        self.tokens.iter().map(|token| &token.topic).chain(&self.market).cloned().collect()
    }
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
