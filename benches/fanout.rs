//! From one publish to N subscribers on one shard, whose sockets take everything at once: what is
//! left is the cost of the hub, the shard and the outboxes.
//!
//! `one_update` waits for each update to reach everybody before the next is published, so it also
//! holds the way between two threads. `burst_of_64` publishes 64 and waits once: the shard takes
//! them as one batch and writes to each client once.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up is meant to panic")]

use std::{
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickwire::{
    delivery::{self, Delivery, Seat, SocketWriter, Subscriber, SubscriptionLimits, TransportKind},
    hub::{self, Hub, Slot},
    market::{Data, Decimal, Source, Tick, Topic},
    protocol::{
        encoding::Format,
        frame::{self, Opcode},
        params::Subscribe,
    },
    shutdown::{self, Stage, Tasks, Trigger},
    telemetry::Telemetry,
    units::now_us,
};

const SUBSCRIBERS: [usize; 4] = [1, 100, 1000, 10_000];
const BURST: u64 = 64;
const MINUTE: i64 = 60_000_000;

/// Counts the frames that all sockets have taken and wakes whoever waits for a number of them.
struct Meter {
    taken: AtomicU64,
    wanted: AtomicU64,
    waiter: Thread,
}

impl Meter {
    fn take(&self, frames: u64) {
        let before = self.taken.fetch_add(frames, Ordering::AcqRel);
        let wanted = self.wanted.load(Ordering::Acquire);
        if before < wanted && before + frames >= wanted {
            self.waiter.unpark();
        }
    }

    /// Lets `act` cause `frames` frames and waits until they are taken.
    fn wait_for(&self, frames: u64, act: impl FnOnce()) {
        let wanted = self.taken.load(Ordering::Acquire) + frames;
        self.wanted.store(wanted, Ordering::Release);
        act();
        while self.taken.load(Ordering::Acquire) < wanted {
            thread::park_timeout(Duration::from_secs(1));
        }
    }
}

/// A socket that takes everything.
struct Sink(Arc<Meter>);

impl SocketWriter for Sink {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.take(slices.len() as u64);
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

/// A hub with one topic, one shard, and subscribers of that topic.
struct Rig {
    hub: Arc<Hub>,
    slot: Arc<Slot>,
    ticks: [Tick; 2],
    source: Source,
    meter: Arc<Meter>,
    subscribers: Vec<Subscriber>,
    tasks: Tasks,
    trigger: Trigger,
}

impl Rig {
    fn new(subscribers: usize) -> Self {
        let telemetry = Telemetry::new().unwrap();
        let hub = Hub::new(hub::Config::default(), 1, "bench".into(), &telemetry);
        let hub = Arc::new(hub);
        let (trigger, shutdown) = shutdown::channel();
        let tasks = Tasks::default();
        let limits = SubscriptionLimits { topics: 1, matched_topics: 1 };
        let config = delivery::Config::default();
        let delivery = Delivery::start(&config, limits, &hub, &telemetry, &tasks, &shutdown);
        let seat = delivery.unwrap().seat(TransportKind::WebSocket).unwrap();
        let meter = Arc::new(Meter {
            taken: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            waiter: thread::current(),
        });
        let ticks = ["64321.50", "64321.51"].map(tick);
        Self {
            slot: hub.declare(&ticks[0].topic),
            hub,
            ticks,
            source: "bench".into(),
            subscribers: (0..subscribers).map(|_| subscribe(&seat, &meter)).collect(),
            meter,
            tasks,
            trigger,
        }
    }

    /// Publishes `updates` values and waits until every subscriber has them.
    fn deliver(&self, updates: u64) {
        let frames = updates * self.subscribers.len() as u64;
        self.meter.wait_for(frames, || {
            // Two values in turn: an unchanged one is only confirmed. An even number of updates
            // and a single one at a time both go on where the last call left off.
            for tick in self.turns().take(usize::try_from(updates).unwrap()) {
                let rx = now_us();
                self.hub.publish_to(&self.slot, tick, &self.source, rx, MINUTE);
            }
        });
    }

    fn turns(&self) -> impl Iterator<Item = &Tick> {
        let next = self.slot.head(0).seq.is_multiple_of(2);
        self.ticks.iter().cycle().skip(usize::from(!next))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.subscribers.clear();
        self.trigger.advance(Stage::Closing);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let ended = runtime.unwrap().block_on(self.tasks.join(Duration::from_secs(5)));
        assert!(ended, "a task of the shard did not end");
    }
}

fn tick(price: &str) -> Tick {
    let decimal = |text| Decimal::parse(text).unwrap();
    Tick {
        topic: Topic::parse("price.BTC-USD").unwrap(),
        data: Data::new()
            .with("price", decimal(price))
            .with("bid", decimal("64321.10"))
            .with("ask", decimal("64321.90"))
            .with("volume_24h", decimal("12345.67890000"))
            .with("change_24h_pct", decimal("-1.234")),
        ts: Some(now_us()),
    }
}

fn subscribe(seat: &Seat, meter: &Arc<Meter>) -> Subscriber {
    let asked: Subscribe = serde_json::from_str(
        r#"{"topics":["price.BTC-USD"],"mode":"every","snapshot":false,"status":false}"#,
    )
    .unwrap();
    let subscriber = seat.take(Box::new(Sink(meter.clone())), Format::default(), Instant::now());
    let options = subscriber.options(&asked).unwrap();
    subscriber.subscribe(&asked, &options, |rows| {
        assert!(rows.iter().all(|row| row.ok));
        frame::frame(Opcode::Text, b"{}")
    });
    subscriber
}

fn fanout(criterion: &mut Criterion) {
    for (name, updates) in [("one_update", 1), ("burst_of_64", BURST)] {
        let mut group = criterion.benchmark_group(format!("fanout/{name}"));
        for subscribers in SUBSCRIBERS {
            let rig = Rig::new(subscribers);
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
