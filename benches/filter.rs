//! What a filter costs: to be read once, and on every update.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use tickwire::{
    delivery::{Filters, Memo},
    market::{Topic, Update},
};

const ONE_TERM: &str = "data.price > 60000";
const FIVE_TERMS: &str = "data.price > 60000 && data.bid < 70000 && source == \"coinbase\" && \
                          data.sources >= 2 && topic.startsWith(\"price.\")";

fn update() -> Update {
    Update {
        topic: Topic::parse("price.BTC-USD").expect("a topic"),
        epoch: "k3f9".into(),
        seq: 57,
        ts: Some(1_790_000_000_123_000),
        rx: 1_790_000_000_150_123,
        source: "coinbase".into(),
        data: Bytes::from_static(
            br#"{"price":"68900.50","bid":"68900.10","ask":"68900.90","volume_24h":"12345.678",
"change_24h_pct":"-2.51","high_24h":"70000.00","low_24h":"67000.00","sources":3,"spread_bps":"0.1"}"#,
        ),
    }
}

fn evaluation(c: &mut Criterion) {
    let (filters, update) = (Filters::new(), update());
    for (name, text) in [("one term", ONE_TERM), ("five terms", FIVE_TERMS)] {
        let filter = filters.compile(text).expect("a filter");
        c.bench_function(&format!("{name}, data read for it"), |b| {
            b.iter(|| filter.evaluate(black_box(&update)));
        });
    }
    // 100 distinct filters on one update, then a second subscriber of each.
    for (name, text) in [("one term", ONE_TERM), ("five terms", FIVE_TERMS)] {
        let hundred: Vec<_> = (0..100)
            .map(|n| filters.compile(&text.replace("60000", &format!("600{n:02}"))))
            .collect::<Result<_, _>>()
            .expect("filters");
        c.bench_function(&format!("100 filters of {name}, by a memo"), |b| {
            b.iter(|| {
                let (mut memo, update) = (Memo::default(), black_box(&update));
                hundred.iter().filter(|filter| memo.verdict(filter, update).passes()).count()
            });
        });
        let mut memo = Memo::default();
        c.bench_function(&format!("100 filters of {name}, known to the memo"), |b| {
            b.iter(|| {
                hundred.iter().filter(|filter| memo.verdict(filter, &update).passes()).count()
            });
        });
    }
}

fn compilation(c: &mut Criterion) {
    let filters = Filters::new();
    let kept = filters.compile(ONE_TERM).expect("a filter");
    c.bench_function("a filter in use, found", |b| b.iter(|| filters.compile(kept.text())));
    let hostile = format!("1{}", "==1".repeat(341));
    for (name, text) in [("five terms", FIVE_TERMS), ("1,024 hostile bytes", &hostile)] {
        // Dropped at once, so that each is read anew.
        c.bench_function(&format!("{name}, read"), |b| {
            b.iter(|| filters.compile(black_box(text)).is_ok());
        });
    }
}

criterion_group!(benches, evaluation, compilation);
criterion_main!(benches);
