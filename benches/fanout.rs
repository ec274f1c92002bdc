//! From one publish to N subscribers on one shard, whose sockets take everything at once: what is
//! left is the cost of the hub, the shard and the outboxes.
//!
//! `one_update` waits for each update to reach everybody before the next is published, so it also
//! holds the way between two threads. `burst_of_64` publishes 64 and waits once: the shard takes
//! them as one batch and writes to each client once.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up is meant to panic")]

mod rig;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rig::{PLAIN, Rig};
use tickwire::protocol::encoding::Format;

const SUBSCRIBERS: [usize; 4] = [1, 100, 1000, 10_000];
const BURST: u64 = 64;

fn fanout(criterion: &mut Criterion) {
    for (name, updates) in [("one_update", 1), ("burst_of_64", BURST)] {
        let mut group = criterion.benchmark_group(format!("fanout/{name}"));
        for subscribers in SUBSCRIBERS {
            let rig = Rig::new(subscribers, PLAIN, Format::default());
            group.throughput(Throughput::Elements(updates * subscribers as u64));
            group.bench_function(BenchmarkId::from_parameter(subscribers), |bencher| {
                bencher.iter(|| rig.deliver(updates));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, fanout);
criterion_main!(benches);
