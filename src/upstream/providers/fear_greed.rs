//! alternative.me: the crypto fear and greed index, once a day. Shape: alternative.me's API page.

use std::time::Duration;

use super::{
    Batch, DecodeError, Provider, Request, Response,
    body::{self, excerpt},
    markets::endpoint,
    mistake::{Mistake, Mistakes},
    number::Number,
    row::Row,
};
use crate::{
    market::{Data, Tick, Topic},
    upstream::config::FeedConfig,
};

const ENDPOINTS: [(&str, &str); 1] = [("index", "/fng/")];

/// The index of today: one topic.
#[derive(Debug)]
pub(super) struct FearGreed {
    path: &'static str,
    topic: Topic,
}

impl FearGreed {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(super) fn new(feed: &FeedConfig) -> Result<Self, Mistakes> {
        Ok(Self {
            path: endpoint(feed, &ENDPOINTS)?,
            topic: Topic::parse("market.fear_greed")
                .map_err(|error| Mistake::at("endpoint", error.to_string()))?,
        })
    }

    fn tick(&self, row: &Row<'_>) -> Result<Tick, String> {
        let value = row.number("value").essential("value")?;
        let index = value.as_str().parse::<i64>().ok().filter(|index| (0..=100).contains(index));
        let index = index
            .ok_or_else(|| format!("value is not from 0 to 100: {}", excerpt(value.as_str())))?;
        Ok(Tick {
            topic: self.topic.clone(),
            data: Data::new()
                .with("value", index)
                .with_opt("label", row.text("value_classification")),
            ts: row.number("timestamp").time(1_000_000),
        })
    }
}

impl Provider for FearGreed {
    fn requests(&self) -> Vec<Request> {
        vec![Request {
            path: self.path.to_owned(),
            query: vec![("limit".into(), "1".to_owned())],
            ..Request::default()
        }]
    }

    fn decode(&mut self, _: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let answer: Row<'_> = body::json(response)?;
        if let Some(error) = answer.row("metadata").and_then(|metadata| metadata.text("error")) {
            return Err(DecodeError::reported(false, &error));
        }
        // The newest is the first, also where more came than were asked for.
        let newest = answer.rows("data").and_then(|rows| rows.into_iter().next());
        let Some(newest) = newest else {
            return Err(DecodeError::bad_body("`data` has no entry"));
        };
        let mut batch =
            Batch { next_in: until(newest.number("time_until_update")), ..Batch::default() };
        batch.take(&self.topic, self.tick(&newest));
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        vec![self.topic.clone()]
    }
}

/// Seconds that are to come.
fn until(seconds: Number) -> Option<Duration> {
    let us = seconds.time(1_000_000)?;
    u64::try_from(us).ok().map(Duration::from_micros)
}
