//! Answers of upstreams into readings: every body in `tests/fixtures` that holds some, and one as
//! long as an upstream sends for all its markets at once. Readings and bytes a second.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be set up is meant to panic"
)]

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use serde_json::{Value, json};
use tickwire::{
    units::{Secret, now_us},
    upstream::{
        config::FeedConfig,
        providers::{Provider, Request, Response, Secrets, build},
    },
};

const MARKETS: usize = 250;

/// What a benchmark needs of a `cases.toml`.
#[derive(Deserialize)]
struct Cases {
    feeds: BTreeMap<String, Feed>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Feed {
    config: FeedConfig,
}

#[derive(Deserialize)]
struct Case {
    feed: String,
    #[serde(default)]
    tag: usize,
    body: Option<String>,
    #[serde(default)]
    ticks: Vec<String>,
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn provider(config: &FeedConfig) -> Box<dyn Provider> {
    let keyed = Secrets { api_key: Some(Secret::new("key")), ..Secrets::default() };
    build(config, &Secrets::default()).or_else(|_| build(config, &keyed)).unwrap()
}

fn measure(criterion: &mut Criterion, name: &str, config: &FeedConfig, tag: usize, body: Bytes) {
    let mut provider = provider(config);
    let bytes = body.len() as u64;
    let (request, response) =
        (Request { tag, ..Request::default() }, Response { body, rx: now_us() });
    let readings = provider.decode(&request, &response).unwrap().ticks.len();
    assert!(readings > 0, "{name} holds no reading");
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::ElementsAndBytes { elements: readings as u64, bytes });
    group.bench_function(name, |bencher| {
        bencher.iter(|| provider.decode(&request, &response).map(|batch| batch.ticks.len()));
    });
    group.finish();
}

fn recorded(criterion: &mut Criterion) {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        let Ok(text) = fs::read_to_string(folder.join("cases.toml")) else { continue };
        let Cases { feeds, cases } = toml::from_str(&text).unwrap();
        let provider = folder.file_name().unwrap().to_string_lossy().into_owned();
        for case in cases.iter().filter(|case| !case.ticks.is_empty()) {
            let Some(file) = &case.body else { continue };
            let name = format!("{provider}/{}/{file}", case.feed);
            let body = fs::read(folder.join(file)).unwrap();
            measure(criterion, &name, &feeds[&case.feed].config, case.tag, body.into());
        }
    }
}

/// The recorded answer of one market, as often as there are markets.
fn all_markets(criterion: &mut Criterion) {
    let recorded = fs::read(fixtures().join("binance/ticker_24hr.json")).unwrap();
    let recorded: Value = serde_json::from_slice(&recorded).unwrap();
    let row = |number: usize| {
        let mut row = recorded[0].clone();
        row["symbol"] = json!(format!("C{number}USDT"));
        row
    };
    let body: Vec<Value> = (0..MARKETS).map(row).collect();
    let symbols: Vec<String> = (0..MARKETS).map(|number| format!("C{number}-USDT")).collect();
    let config = json!({"name": "binance", "provider": "binance", "symbols": symbols});
    let config = serde_json::from_value(config).unwrap();
    let body = serde_json::to_vec(&body).unwrap();
    measure(criterion, "binance/250_markets", &config, 0, body.into());
}

/// Short runs: to be repeated often, beside other work.
fn brief() -> Criterion {
    let (warm_up, measurement) = (Duration::from_millis(300), Duration::from_secs(1));
    Criterion::default().sample_size(20).warm_up_time(warm_up).measurement_time(measurement)
}

criterion_group! {
    name = benches;
    config = brief();
    targets = recorded, all_markets
}
criterion_main!(benches);
