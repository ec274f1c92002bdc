//! mempool.space: recommended fees, the height of the Bitcoin chain, and what waits for a block. Shapes: mempool.space's
//! REST API documentation.

use super::{
    Batch, DecodeError, Provider, Request, Response,
    body::{self, excerpt},
    markets::endpoint,
    mistake::{Mistake, Mistakes},
    row::Row,
};
use crate::{
    market::{Data, Tick, Topic},
    upstream::config::FeedConfig,
};

/// Fees in sat/vB.
const FEES: [(&str, &str); 5] = [
    ("fastest", "fastestFee"),
    ("half_hour", "halfHourFee"),
    ("hour", "hourFee"),
    ("economy", "economyFee"),
    ("minimum", "minimumFee"),
];

/// What differs between the endpoints.
#[derive(Debug)]
struct Endpoint {
    path: &'static str,
    topic: &'static str,
    /// Data, or why the answer has none although it can be read.
    data: fn(&Response) -> Result<Result<Data, String>, DecodeError>,
}

const ENDPOINTS: [(&str, Endpoint); 3] = [
    (
        "fees",
        Endpoint { path: "/api/v1/fees/recommended", topic: "onchain.bitcoin.fees", data: fees },
    ),
    (
        "height",
        Endpoint { path: "/api/blocks/tip/height", topic: "onchain.bitcoin.height", data: height },
    ),
    ("mempool", Endpoint { path: "/api/mempool", topic: "onchain.bitcoin.mempool", data: backlog }),
];

/// One endpoint: one topic.
#[derive(Debug)]
pub(super) struct Mempool {
    endpoint: &'static Endpoint,
    topic: Topic,
}

impl Mempool {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(super) fn new(feed: &FeedConfig) -> Result<Self, Mistakes> {
        let endpoint = endpoint(feed, &ENDPOINTS)?;
        Ok(Self {
            endpoint,
            topic: Topic::parse(endpoint.topic)
                .map_err(|error| Mistake::at("endpoint", error.to_string()))?,
        })
    }
}

impl Provider for Mempool {
    fn requests(&self) -> Vec<Request> {
        vec![Request { path: self.endpoint.path.to_owned(), ..Request::default() }]
    }

    fn decode(&mut self, _: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let tick = (self.endpoint.data)(response)?.map(|data| Tick {
            topic: self.topic.clone(),
            data,
            ts: None,
        });
        let mut batch = Batch::default();
        batch.take(&self.topic, tick);
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        vec![self.topic.clone()]
    }
}

fn fees(response: &Response) -> Result<Result<Data, String>, DecodeError> {
    let row: Row<'_> = body::json(response)?;
    Ok(row.data(&FEES))
}

/// The height comes as bare digits, `text/plain`.
fn height(response: &Response) -> Result<Result<Data, String>, DecodeError> {
    let text = body::text(response)?;
    match text.parse::<u32>() {
        Ok(height) => Ok(Ok(Data::new().with("height", i64::from(height)))),
        Err(_) => Err(DecodeError::bad_body(format!("not a block height: {}", excerpt(text)))),
    }
}

/// Transactions that wait, with their size in vB and their fees in satoshi.
fn backlog(response: &Response) -> Result<Result<Data, String>, DecodeError> {
    let row: Row<'_> = body::json(response)?;
    Ok(row.number("count").essential("count").and_then(|count| {
        let Ok(count) = count.as_str().parse::<u32>() else {
            return Err(format!("count is no count: {}", excerpt(count.as_str())));
        };
        let mut data = Data::new().with("count", i64::from(count));
        row.fill(&mut data, &[("vsize", "vsize"), ("total_fee", "total_fee")]);
        Ok(data)
    }))
}
