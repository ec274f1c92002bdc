//! Holds every provider against `tests/fixtures/<provider>/cases.toml`: what it asks, and what it
//! makes of an answer.

mod any_answer;
mod configuration;
mod json;
mod lookup;
mod stream;

use std::{collections::BTreeMap, fs, path::PathBuf};

use bytes::Bytes;
use serde::Deserialize;

use super::*;
use crate::market::Value;

const PROVIDERS: [&str; 11] = [
    "binance",
    "coinbase",
    "coingecko",
    "defillama",
    "etherscan",
    "evm",
    "fear_greed",
    "json",
    "kraken",
    "mempool",
    "token_metrics",
];

const KEY: &str = "secret-key";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    feeds: BTreeMap<String, Feed>,
    cases: Vec<Case>,
}

/// A configuration, and what it makes the provider ask and announce.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Feed {
    config: FeedConfig,
    #[serde(default)]
    preparation: Vec<String>,
    requests: Option<Vec<String>>,
    topics: Option<Vec<String>>,
}

/// An answer, and what the provider makes of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    feed: String,
    #[serde(default)]
    tag: usize,
    /// When the answer was complete.
    #[serde(default)]
    rx: i64,
    /// A file with the body, or else `text`.
    body: Option<String>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    ticks: Vec<String>,
    #[serde(default)]
    missing: Vec<String>,
    /// When the upstream says that something new will be there.
    next_in_s: Option<u64>,
    error: Option<String>,
}

fn fixture(provider: &str, file: &str) -> PathBuf {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fixtures.join(provider).join(file)
}

fn cases(provider: &str) -> Cases {
    let text = fs::read_to_string(fixture(provider, "cases.toml")).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{provider}: {error}"))
}

fn provider(config: &FeedConfig) -> Box<dyn Provider> {
    let takes_a_key = matches!(
        config.provider,
        ProviderKind::Coingecko
            | ProviderKind::TokenMetrics
            | ProviderKind::Etherscan
            | ProviderKind::Evm
    );
    let api_key = takes_a_key.then(|| Secret::new(KEY));
    build(config, &Secrets { api_key, ..Secrets::default() }).unwrap()
}

fn response(body: impl Into<Bytes>) -> Response {
    Response { body: body.into(), rx: 0 }
}

fn asked(requests: &[Request]) -> Vec<String> {
    let line = |request: &Request| {
        let query: Vec<String> =
            request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let secrets = request.secret_query.iter().map(|(name, _)| format!(" &{name}"));
        let headers = request.secret_headers.iter().map(|(name, _)| format!(" {name}"));
        format!(
            "{}{mark}{}{}{} weight={}",
            request.path,
            query.join("&"),
            if request.body.is_some() { " POST" } else { "" },
            secrets.chain(headers).collect::<String>(),
            request.weight
        )
    };
    requests.iter().map(line).collect()
}

/// A tick as a line: `price.BTC-USD.cg price=103663 ts=1747407859000000`.
fn line(tick: &Tick) -> String {
    let mut line = tick.topic.to_string();
    for (name, value) in tick.data.iter() {
        let value = match value {
            Value::Decimal(decimal) => decimal.to_string(),
            Value::Int(int) => format!("int:{int}"),
            Value::Text(text) => text.clone(),
            Value::Bool(yes) => yes.to_string(),
        };
        line += &format!(" {name}={value}");
    }
    if let Some(ts) = tick.ts {
        line += &format!(" ts={ts}");
    }
    line
}

#[test]
fn every_feed_asks_for_what_its_configuration_says() {
    for name in PROVIDERS {
        for (feed, expected) in cases(name).feeds {
            let provider = provider(&expected.config);
            let place = format!("{name} {feed}");
            let preparation = asked(&provider.preparation());
            assert_eq!(preparation, expected.preparation, "{place}");
            let requests = provider.requests();
            if let Some(expected) = expected.requests {
                assert_eq!(asked(&requests), expected, "{place}");
            }
            let tags: Vec<usize> = requests.iter().map(|request| request.tag).collect();
            assert_eq!(tags, Vec::from_iter(0..tags.len()), "{place}");
            if let Some(expected) = expected.topics {
                let topics: Vec<String> =
                    provider.topics().iter().map(ToString::to_string).collect();
                assert_eq!(topics, expected, "{place}");
            }
        }
    }
}

#[test]
fn every_answer_becomes_what_its_case_says() {
    for name in PROVIDERS {
        let Cases { feeds, cases } = cases(name);
        for (index, case) in cases.iter().enumerate() {
            let place = format!("{name} case {index} ({})", case.feed);
            let body = match &case.body {
                Some(file) => fs::read(fixture(name, file)).unwrap(),
                None => case.text.clone().into_bytes(),
            };
            let request = Request { tag: case.tag, ..Request::default() };
            let mut provider = provider(&feeds[&case.feed].config);
            match provider.decode(&request, &Response { rx: case.rx, ..response(body) }) {
                Ok(batch) => {
                    let ticks: Vec<String> = batch.ticks.iter().map(line).collect();
                    assert_eq!(ticks, case.ticks, "{place}");
                    assert_eq!(batch.missing, case.missing, "{place}");
                    let next_in = case.next_in_s.map(Duration::from_secs);
                    assert_eq!(batch.next_in, next_in, "{place}");
                    assert_eq!(None, case.error, "{place}");
                }
                Err(error) => {
                    let text = format!("{}: {}", error.reason.as_str(), error.message);
                    assert_eq!(Some(text), case.error, "{place}");
                }
            }
        }
    }
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_answer() {
    let feed = &cases("mempool").feeds["fees"].config;
    let body = b"\xef\xbb\xbf{\"fastestFee\":4}".to_vec();
    let batch = provider(feed).decode(&Request::default(), &response(body));
    assert_eq!(batch.unwrap().ticks.len(), 1);
}
