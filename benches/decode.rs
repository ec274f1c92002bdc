//! What it costs to turn an answer into ticks, for the largest answer of each provider in
//! `tests/fixtures`: bytes and ticks a second.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::{fs, hint::black_box, path::Path};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickwire::upstream::{
    config::FeedConfig,
    providers::{Provider, Request, Response, build},
};

/// A provider, the fixture of its largest answer, and the configuration that asks for what is there.
const ANSWERS: [(&str, &str, &str); 8] = [
    ("binance", "ticker_24hr.json", "symbols = ['BTC-USDT', 'ETH-USDT']"),
    ("coinbase", "ticker.json", "symbols = ['BTC-USD']"),
    ("kraken", "ticker.json", "symbols = ['BTC-USD', 'SOL-USD', 'DOGE-USD', 'ETH-BTC']"),
    (
        "coingecko",
        "coins_markets.json",
        "endpoint = 'coins_markets'\nsymbols = ['BTC-USD', 'ETH-USD', 'SOL-USD']\n\
         ids = { BTC-USD = 'bitcoin', ETH-USD = 'ethereum', SOL-USD = 'solana' }",
    ),
    (
        "defillama",
        "chains.json",
        "endpoint = 'chains'\nchains = ['ethereum', 'base', 'op_mainnet', 'ink']",
    ),
    (
        "token_metrics",
        "trading_signals.json",
        "endpoint = 'trading_signals'\nsymbols = ['BTC-USD', 'ETH-USD', 'SOL-USD']\n\
         ids = { BTC-USD = 3375, ETH-USD = 3306, SOL-USD = 3988 }",
    ),
    ("mempool", "mempool.json", "endpoint = 'mempool'"),
    ("mempool", "fees.json", "endpoint = 'fees'"),
];

fn provider(name: &str, rest: &str) -> Box<dyn Provider> {
    let text = format!("name = 'x'\nprovider = '{name}'\n{rest}");
    let feed: FeedConfig = toml::from_str(&text).expect("a feed");
    build(&feed, None).expect("a provider")
}

fn answer(body: Bytes) -> Response {
    Response { body, rx: 0 }
}

fn fixtures(c: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (name, file, rest) in ANSWERS {
        let body = fs::read(root.join(name).join(file)).expect("a fixture");
        measure(c, &format!("{name} {file}"), provider(name, rest), body);
    }
}

/// As many markets as one request asks for: what grows faster than the answer shows here.
fn hundred_markets(c: &mut Criterion) {
    let symbols: Vec<String> = (0..100).map(|number| format!("'A{number}-USD'")).collect();
    let symbols = format!("symbols = [{}]", symbols.join(","));
    let rows: Vec<String> = (0..100)
        .map(|number| {
            format!(
                r#"{{"symbol":"A{number}USD","lastPrice":"68900.50","bidPrice":"68900.49",
                "askPrice":"68900.51","volume":"8913.3","priceChangePercent":"-0.136",
                "highPrice":"69800.0","lowPrice":"67500.0","closeTime":1499869899040}}"#
            )
        })
        .collect();
    let body = format!("[{}]", rows.join(","));
    measure(c, "binance, 100 markets", provider("binance", &symbols), body.into());
    let rows: Vec<String> = (0..100)
        .map(|number| {
            format!(
                r#""A{number}USD":{{"a":["165.42000","120","120.000"],"b":["165.41000","3","3.000"],
                "c":["165.41000","1.25"],"v":["98123.5","310982.0"],"p":["164.9","165.1"],
                "t":[9023,30018],"l":["161.2","160.0"],"h":["167.0","168.9"],"o":"164.0"}}"#
            )
        })
        .collect();
    let body = format!(r#"{{"error":[],"result":{{{}}}}}"#, rows.join(","));
    measure(c, "kraken, 100 markets", provider("kraken", &symbols), body.into());
}

fn measure(c: &mut Criterion, name: &str, mut provider: Box<dyn Provider>, body: Vec<u8>) {
    let (request, response) = (Request::default(), answer(Bytes::from(body)));
    let ticks = provider.decode(&request, &response).expect("an answer of use").ticks.len();
    assert!(ticks > 0, "{name} holds nothing");
    let units = [
        ("bytes", Throughput::Bytes(response.body.len() as u64)),
        ("ticks", Throughput::Elements(ticks as u64)),
    ];
    for (unit, throughput) in units {
        let mut group = c.benchmark_group(format!("decode {name}"));
        group.throughput(throughput);
        group.bench_function(unit, |b| {
            b.iter(|| provider.decode(black_box(&request), black_box(&response)));
        });
        group.finish();
    }
}

criterion_group!(benches, fixtures, hundred_markets);
criterion_main!(benches);
