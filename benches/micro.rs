//! The steps between the hub and a socket, one by one: matching patterns, encoding, what waits for
//! a client, and what a client sends. `hub`, `fanout`, `filter` and `decode` measure the rest.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be set up is meant to panic"
)]

mod rig;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rig::{PLAIN, Rig};
use tickwire::{
    hub::{self, Hub},
    market::{Decimal, Pattern, Topic},
    protocol::{
        command,
        deflate::{self, Window},
        encoding::{Encoding, Format},
        event,
        frame::{Builder, Opcode},
    },
    session::inbound::{Inbound, Received, Rules},
    telemetry::Telemetry,
};
use tokio::net::{TcpListener, TcpStream};

const TOPIC: &str = "price.BTC-USD.binance";
const QUEUED: u64 = 64;
const SHARED: usize = 200;
const REQUEST: &str = r#"{"id":7,"method":"subscribe","params":{"topics":["price.BTC-USD","price.ETH-USD","signal.>"],"mode":"latest","snapshot":true}}"#;

fn matching(criterion: &mut Criterion) {
    let pattern = |text| Pattern::parse(text).unwrap();
    let mut group = criterion.benchmark_group("match");
    for (name, text) in [
        ("topic", TOPIC),
        ("star", "price.*.binance"),
        ("tail", "price.>"),
        ("miss_first", "signal.>"),
        ("miss_last", "price.*.kraken"),
    ] {
        let pattern = pattern(text);
        group.bench_function(name, |bencher| bencher.iter(|| pattern.matches(black_box(TOPIC))));
    }
    let (star, tail) = (pattern("price.*.binance"), pattern("price.>"));
    group.bench_function("specificity", |bencher| {
        bencher.iter(|| black_box(&star).cmp_specificity(&tail));
    });
    group.bench_function("read", |bencher| {
        bencher.iter(|| Pattern::parse(black_box("price.*.binance")).is_ok());
    });
    // What a subscription to a pattern asks the hub, once.
    let hub = Hub::new(hub::Config::default(), 1, "bench".into(), &Telemetry::new().unwrap());
    for number in 0..10_000 {
        let text = format!("price.C{number}-USD.f{}", number % 10);
        hub.declare(&Topic::parse(&text).unwrap());
    }
    let tenth = pattern("price.*.f3");
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("hub_of_10000", |bencher| bencher.iter(|| hub.matching(&tenth).len()));
    group.finish();
}

const FORMATS: [(&str, Format); 4] = [
    ("json", Format { encoding: Encoding::Json, deflate: None }),
    ("msgpack", Format { encoding: Encoding::MessagePack, deflate: None }),
    ("json_deflate", Format { encoding: Encoding::Json, deflate: Some(Window::LARGEST) }),
    ("msgpack_deflate", Format { encoding: Encoding::MessagePack, deflate: Some(Window::LARGEST) }),
];

fn encoding(criterion: &mut Criterion) {
    // Long enough for compression to be worth it.
    let decimal = |text| Decimal::parse(text).unwrap();
    let fields = rig::data("64321.50")
        .with("high_24h", decimal("65100.00"))
        .with("low_24h", decimal("63012.40"))
        .with("market_cap", decimal("1267801234567.89"));
    let update = rig::update(&fields);
    let mut group = criterion.benchmark_group("encode");
    for (name, format) in FORMATS {
        let encode = || format.frame(|out| event::update(out, black_box(&update)));
        let plain = FORMATS[0].1.frame(|out| event::update(out, &update)).len();
        group.throughput(Throughput::Bytes(plain as u64));
        group.bench_function(name, |bencher| bencher.iter(encode));
    }
    group.finish();
}

/// What waits for a client. `drain` writes 64 updates to one client that was blocked, `answer` sends
/// one answer; the others publish one update to 200 clients that want it in the same way, so that
/// against `every` they show what a way of delivery costs.
fn outbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    let plain = Format::default();
    let rig = Rig::new(1, PLAIN, plain);
    group.throughput(Throughput::Elements(QUEUED));
    group.bench_function("drain", |bencher| {
        bencher.iter_custom(|turns| {
            let mut taken = Duration::ZERO;
            for _ in 0..turns {
                rig.fill(QUEUED);
                let start = Instant::now();
                rig.drain();
                taken += start.elapsed();
            }
            taken
        });
    });
    group.throughput(Throughput::Elements(1));
    let answer = plain.carry(Opcode::Text, br#"{"id":7,"result":{"pong":true}}"#);
    group.bench_function("answer", |bencher| bencher.iter(|| rig.answer(&answer)));
    drop(rig);
    let with = |options: &str| PLAIN.replace(r#""mode":"every""#, options);
    for (name, asked, format) in [
        ("every", PLAIN.to_owned(), plain),
        ("latest", with(r#""mode":"latest""#), plain),
        ("fields", with(r#""mode":"every","fields":["price","bid"]"#), plain),
        ("filter", with(r#""mode":"every","filter":"data.price > 60000""#), plain),
        ("min_change", with(r#""mode":"every","min_change":{"field":"price","abs":0.001}"#), plain),
        ("msgpack", PLAIN.to_owned(), FORMATS[1].1),
    ] {
        let rig = Rig::new(SHARED, &asked, format);
        group.throughput(Throughput::Elements(SHARED as u64));
        group.bench_function(name, |bencher| bencher.iter(|| rig.deliver(1)));
    }
    group.finish();
}

/// A masked text frame as a client sends it.
fn masked(payload: &[u8], compressed: bool) -> Vec<u8> {
    let mut builder = Builder::with_capacity(payload.len());
    builder.payload().extend_from_slice(payload);
    let plain = if compressed {
        builder.finish_compressed(Opcode::Text)
    } else {
        builder.finish(Opcode::Text)
    };
    let (head, _) = plain.split_at(plain.len() - payload.len());
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = head.to_vec();
    frame[1] |= 0x80;
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// One message of a client that said nothing before, from the bytes that the socket gave.
fn inbound(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let (socket, _peer) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, peer)
    });
    let topics: Vec<_> = (0..256).map(|number| format!("price.C{number}-USD.binance")).collect();
    let long = serde_json::json!({"id":8,"method":"subscribe","params":{"topics":topics}});
    let mut group = criterion.benchmark_group("inbound");
    for (name, text) in [("request", REQUEST.to_owned()), ("256_topics", long.to_string())] {
        let mut packed = Vec::new();
        assert!(deflate::compress(text.as_bytes(), Window::LARGEST, &mut packed));
        group.throughput(Throughput::Bytes(text.len() as u64));
        for (way, frame, deflate) in [
            ("plain", masked(text.as_bytes(), false), false),
            ("inflate", masked(&packed, true), true),
        ] {
            let rules = Rules { message_bytes: 64 << 10, frames_per_s: 1e12, deflate };
            let read = |bytes| {
                let mut inbound = Inbound::new(bytes, rules, Instant::now());
                let Received::Text(read) = inbound.next(&socket, &mut Vec::new()) else {
                    panic!("not read");
                };
                read
            };
            assert_eq!(read(frame.clone()).as_str(), text);
            group.bench_function(format!("{way}/{name}"), |bencher| {
                bencher.iter_batched(|| frame.clone(), read, BatchSize::SmallInput);
            });
        }
        group.bench_function(format!("parse/{name}"), |bencher| {
            bencher.iter(|| command::parse(black_box(&text)).is_ok());
        });
    }
    group.finish();
}

/// Short runs: each group is to be repeated often, beside other work.
fn brief() -> Criterion {
    let (warm_up, measurement) = (Duration::from_millis(500), Duration::from_millis(1500));
    Criterion::default().sample_size(30).warm_up_time(warm_up).measurement_time(measurement)
}

criterion_group! {
    name = benches;
    config = brief();
    targets = matching, encoding, outbox, inbound
}
criterion_main!(benches);
