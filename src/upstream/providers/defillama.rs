//! DefiLlama: current prices of tokens (`coins.llama.fi`) and the value locked on chains
//! (`api.llama.fi`). Shapes: DefiLlama's API documentation.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{
    Batch, DecodeError, Provider, Request, Response, body,
    markets::{Market, distinct, endpoint, markets, path_part, symbol_mistake},
    mistake::{At, Mistake, Mistakes, all},
    row::Row,
};
use crate::{
    market::{Data, Tick, Topic},
    upstream::config::{FeedConfig, chain_token},
};

/// Tokens of one request. DefiLlama documents no bound; as many contracts make a URL of 3 KB.
const TOKENS_MAX: usize = 50;

/// How far from now a price may be and still be the current one. A token that is hardly traded has
/// none, rather than one of this morning.
const SEARCH_WIDTH: &str = "4h";

/// The chains of a feed that names none: those on which most is locked.
const CHAINS: [&str; 8] =
    ["ethereum", "solana", "bsc", "bitcoin", "tron", "base", "arbitrum", "avalanche"];

#[derive(Debug, Clone, Copy)]
enum Endpoint {
    Coins,
    Chains,
}

const ENDPOINTS: [(&str, Endpoint); 2] = [("coins", Endpoint::Coins), ("chains", Endpoint::Chains)];

/// The provider for the endpoint of `feed`.
///
/// # Errors
/// Names the key of the configuration that is wrong.
pub(super) fn defillama(feed: &FeedConfig) -> Result<Box<dyn Provider>, Mistakes> {
    Ok(match endpoint(feed, &ENDPOINTS)? {
        Endpoint::Coins => Box::new(Coins::new(feed)?),
        Endpoint::Chains => Box::new(Chains::new(feed)?),
    })
}

/// Prices of some tokens.
#[derive(Debug)]
struct Coins {
    /// Markets with DefiLlama's name of each: `coingecko:bitcoin`, `ethereum:0x…`.
    tokens: Vec<(String, Market)>,
}

/// The value locked on some chains.
#[derive(Debug)]
struct Chains {
    /// The chains' tokens of a topic, with their topics.
    chains: Vec<(String, Topic)>,
}

impl Coins {
    fn new(feed: &FeedConfig) -> Result<Self, Mistakes> {
        let named = |market: Market| {
            let symbol = &market.symbol;
            if symbol.quote() != "USD" {
                let message = format!("is {symbol}, but DefiLlama's prices are in USD");
                return Err(symbol_mistake(feed, symbol, message));
            }
            let Some(id) = market.id.clone() else {
                let message = "is required: write coingecko:bitcoin or ethereum:0x…";
                return Err(Mistake::id(symbol, message));
            };
            if !id.contains(':') {
                let message = "names no chain: write coingecko:bitcoin or ethereum:0x…";
                return Err(Mistake::id(symbol, message));
            }
            Ok((path_part(symbol, id)?, market))
        };
        Ok(Self { tokens: all(markets(feed)?.into_iter().map(named))? })
    }
}

impl Provider for Coins {
    fn requests(&self) -> Vec<Request> {
        let request = |(tag, tokens): (usize, &[(String, Market)])| {
            let ids = distinct(tokens.iter().map(|(id, _)| id.as_str()));
            Request {
                path: format!("/prices/current/{}", ids.join(",")),
                query: vec![("searchWidth".into(), SEARCH_WIDTH.to_owned())],
                tag,
                ..Request::default()
            }
        };
        self.tokens.chunks(TOKENS_MAX).enumerate().map(request).collect()
    }

    fn decode(&mut self, request: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let tokens =
            self.tokens.chunks(TOKENS_MAX).nth(request.tag).ok_or_else(DecodeError::unasked)?;
        let answer: Row<'_> = body::json(response)?;
        reported(&answer)?;
        let rows = answer.row("coins").ok_or_else(|| DecodeError::bad_body("no coins"))?;
        let mut batch = Batch::default();
        for (id, market) in tokens {
            let tick = match rows.row(id) {
                Some(row) => row.data(&[("price", "price")]).map(|data| Tick {
                    topic: market.topic.clone(),
                    data,
                    ts: row.number("timestamp").time(1_000_000),
                }),
                None => Err("is not in the answer".to_owned()),
            };
            batch.take(&market.symbol, tick);
        }
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        self.tokens.iter().map(|(_, market)| market.topic.clone()).collect()
    }
}

impl Chains {
    fn new(feed: &FeedConfig) -> Result<Self, Mistakes> {
        let named = feed.chains.iter().map(String::as_str);
        let names: Vec<&str> =
            if feed.chains.is_empty() { CHAINS.to_vec() } else { named.collect() };
        let mut chains: Vec<(String, Topic)> = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            let wrong = |message| Mistake::below("chains", At::Index(index), message);
            let token = chain_token(name)
                .ok_or_else(|| wrong(format!("is {name:?}, which cannot be part of a topic")))?;
            let topic = Topic::parse(&format!("onchain.{token}.tvl"))
                .map_err(|error| wrong(error.to_string()))?;
            if !chains.iter().any(|(known, _)| *known == token) {
                chains.push((token, topic));
            }
        }
        Ok(Self { chains })
    }
}

impl Provider for Chains {
    fn requests(&self) -> Vec<Request> {
        vec![Request { path: "/v2/chains".to_owned(), ..Request::default() }]
    }

    fn decode(&mut self, _: &Request, response: &Response) -> Result<Batch, DecodeError> {
        if body::text(response)?.starts_with('{') {
            reported(&body::json(response)?)?;
        }
        let elements: Vec<&RawValue> = body::json(response)?;
        let mut rows = BTreeMap::new();
        for row in elements.into_iter().filter_map(Row::read) {
            if let Some(token) = row.text("name").and_then(|name| chain_token(&name)) {
                rows.entry(token).or_insert(row);
            }
        }
        let mut batch = Batch::default();
        for (token, topic) in &self.chains {
            let tick = match rows.get(token) {
                Some(row) => row.number("tvl").essential("tvl").map(|tvl| Tick {
                    topic: topic.clone(),
                    data: Data::new().with("tvl_usd", tvl),
                    ts: None,
                }),
                None => Err("is not in the answer".to_owned()),
            };
            batch.take(token, tick);
        }
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        self.chains.iter().map(|(_, topic)| topic.clone()).collect()
    }
}

/// Errors that come as an answer: `{"message":"…"}` or `{"error":"…"}`.
fn reported(answer: &Row<'_>) -> Result<(), DecodeError> {
    match answer.text("message").or_else(|| answer.text("error")) {
        Some(message) => Err(DecodeError::reported(false, &message)),
        None => Ok(()),
    }
}
