//! What an update costs before anybody gets it: encoding, and publishing into the hub.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up is meant to panic")]

mod rig;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rig::MINUTE;
use tickwire::{
    hub::{self, Hub},
    market::Source,
    protocol::{
        event,
        frame::{Builder, Opcode},
    },
    telemetry::Telemetry,
    units::now_us,
};

/// Publishes two values in turn, since an unchanged one is only confirmed.
fn publish(criterion: &mut Criterion, name: &str, interested: bool) {
    let hub = Hub::new(hub::Config::default(), 1, "bench".into(), &Telemetry::new().unwrap());
    let (ticks, source) = ([rig::tick("64321.50"), rig::tick("64321.51")], Source::from("bench"));
    let slot = hub.declare(&ticks[0].topic);
    let receiver = hub.open(0);
    if !interested {
        slot.leave(0);
    }
    let mut turns = ticks.iter().cycle();
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            let tick = turns.next().unwrap();
            black_box(hub.publish_to(&slot, tick, &source, now_us(), MINUTE))
        });
    });
    drop(receiver);
}

fn publishing(criterion: &mut Criterion) {
    publish(criterion, "publish/nobody_interested", false);
    publish(criterion, "publish/one_outlet", true);
}

fn encoding(criterion: &mut Criterion) {
    let update = rig::update(&rig::data("64321.50"));
    let encode = || {
        let mut builder = Builder::with_capacity(512);
        event::update(builder.payload(), &update);
        builder.finish(Opcode::Text)
    };
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Bytes(encode().len() as u64));
    group.bench_function("update_frame", |bencher| bencher.iter(|| black_box(encode())));
    group.bench_function("data", |bencher| {
        let fields = rig::data("64321.50");
        bencher.iter(|| {
            let mut out = Vec::with_capacity(256);
            event::data(&mut out, black_box(&fields));
            out
        });
    });
    group.finish();
}

criterion_group!(benches, publishing, encoding);
criterion_main!(benches);
