//! Coinbase Exchange, REST: `/products/{id}/ticker` and `/stats`, a request for each product, since
//! the API has none for several. Shapes: Coinbase Exchange's REST API reference.

pub(super) mod stream;

use super::{
    Batch, DecodeError, Provider, Request, Response, body,
    markets::{Market, endpoint, markets, path_part},
    mistake::{Mistakes, all},
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
    /// Key of the source time.
    time: Option<&'static str>,
}

const ENDPOINTS: [(&str, Endpoint); 2] = [
    (
        "ticker",
        Endpoint {
            path: "ticker",
            fields: &[("price", "price"), ("bid", "bid"), ("ask", "ask"), ("volume_24h", "volume")],
            time: Some("time"),
        },
    ),
    (
        // No time, and no change: the one that could be had of `open` would be digits that
        // Coinbase never sent.
        "stats",
        Endpoint {
            path: "stats",
            fields: &[
                ("price", "last"),
                ("volume_24h", "volume"),
                ("high_24h", "high"),
                ("low_24h", "low"),
            ],
            time: None,
        },
    ),
];

/// One endpoint for some products.
#[derive(Debug)]
pub(super) struct Coinbase {
    endpoint: &'static Endpoint,
    /// Markets with Coinbase's name of each, mostly the symbol itself; the place is the request's
    /// tag.
    products: Vec<(String, Market)>,
}

impl Coinbase {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(super) fn new(feed: &FeedConfig) -> Result<Self, Mistakes> {
        let endpoint = endpoint(feed, &ENDPOINTS)?;
        let named = |market: Market| {
            let id = market.id.clone().unwrap_or_else(|| market.symbol.to_string());
            Ok((path_part(&market.symbol, id)?, market))
        };
        let products = all(markets(feed)?.into_iter().map(named))?;
        Ok(Self { endpoint, products })
    }

    fn tick(&self, market: &Market, row: &Row<'_>) -> Result<Tick, String> {
        Ok(Tick {
            topic: market.topic.clone(),
            data: row.data(self.endpoint.fields)?,
            ts: self.endpoint.time.and_then(|key| row.date(key)),
        })
    }
}

impl Provider for Coinbase {
    fn requests(&self) -> Vec<Request> {
        let request = |(tag, (id, _)): (usize, &(String, Market))| Request {
            path: format!("/products/{id}/{}", self.endpoint.path),
            tag,
            ..Request::default()
        };
        self.products.iter().enumerate().map(request).collect()
    }

    fn decode(&mut self, request: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let (_, market) = self.products.get(request.tag).ok_or_else(DecodeError::unasked)?;
        let row: Row<'_> = body::json(response)?;
        // `{"message":"NotFound"}`: comes with status 404, but proxies send it on with 200.
        let price = self.endpoint.fields.first().and_then(|(_, key)| row.raw(key));
        if let (None, Some(message)) = (price, row.text("message")) {
            return Err(DecodeError::reported(false, &message));
        }
        let mut batch = Batch::default();
        batch.take(&market.symbol, self.tick(market, &row));
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        let topics = self.products.iter().map(|(_, market)| market.topic.clone());
        topics.collect()
    }
}
