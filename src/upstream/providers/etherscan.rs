//! Etherscan: its gas oracle, for the chains that it knows. Shapes: Etherscan's API V2 reference.

use super::{
    Batch, DecodeError, Provider, Request, Response, body,
    markets::endpoint,
    mistake::{Mistake, Mistakes},
    row::Row,
};
use crate::{
    market::{Data, Tick, Topic},
    units::Secret,
    upstream::{
        chains,
        config::{FeedConfig, ProviderKind},
    },
};

const ENDPOINTS: [(&str, &str); 1] = [("gas_oracle", "gasoracle")];

/// Prices in gwei. Chains without a base fee have none here either.
const PRICES: [(&str, &str); 4] = [
    ("base_fee", "suggestBaseFee"),
    ("slow", "SafeGasPrice"),
    ("standard", "ProposeGasPrice"),
    ("fast", "FastGasPrice"),
];

/// The field without which an answer is of no use.
const ESSENTIAL: &str = "ProposeGasPrice";

/// The gas oracle of one chain: one topic.
#[derive(Debug)]
pub(super) struct Etherscan {
    action: &'static str,
    chain_id: u64,
    topic: Topic,
    api_key: Option<Secret>,
}

impl Etherscan {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(super) fn new(feed: &FeedConfig, api_key: Option<Secret>) -> Result<Self, Mistakes> {
        let chain = feed.chain();
        chains::check(ProviderKind::Etherscan, chain).map_err(|why| Mistake::at("chain", why))?;
        Ok(Self {
            action: endpoint(feed, &ENDPOINTS)?,
            chain_id: chains::id(chain).ok_or_else(|| Mistake::at("chain", "is not known"))?,
            topic: Topic::parse(&format!("onchain.{chain}.gas"))
                .map_err(|error| Mistake::at("chain", error.to_string()))?,
            api_key,
        })
    }

    fn tick(&self, row: &Row<'_>) -> Result<Tick, String> {
        row.number(ESSENTIAL).essential(ESSENTIAL)?;
        let mut data = Data::new();
        row.fill(&mut data, &PRICES);
        Ok(Tick { topic: self.topic.clone(), data, ts: None })
    }
}

impl Provider for Etherscan {
    fn requests(&self) -> Vec<Request> {
        let api_key = self.api_key.clone();
        vec![Request {
            path: "/v2/api".to_owned(),
            query: vec![
                ("chainid".into(), self.chain_id.to_string()),
                ("module".into(), "gastracker".to_owned()),
                ("action".into(), self.action.to_owned()),
            ],
            secret_query: api_key.map(|key| ("apikey".into(), key)).into_iter().collect(),
            ..Request::default()
        }]
    }

    /// Errors come with status 200, as `{"status":"0","message":"NOTOK","result":"why"}`.
    fn decode(&mut self, _: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let answer: Row<'_> = body::json(response)?;
        let result = match (answer.id("status").as_deref(), answer.row("result")) {
            (Some("1"), Some(result)) => result,
            (Some("1"), None) => return Err(DecodeError::bad_body("`result` is no object")),
            _ => {
                let why = answer.text("result").or_else(|| answer.text("message"));
                return Err(DecodeError::reported(false, &why.unwrap_or_default()));
            }
        };
        let mut batch = Batch::default();
        batch.take(&self.topic, self.tick(&result));
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        vec![self.topic.clone()]
    }
}
