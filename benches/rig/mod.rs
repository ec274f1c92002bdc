//! A hub, a shard and subscribers whose sockets take everything: what `fanout`, `micro` and
//! `instructions` measure with.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::{
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tickwire::{
    delivery::{self, Delivery, Seat, SocketWriter, Subscriber, SubscriptionLimits, TransportKind},
    hub::{self, Hub, Slot},
    market::{Data, Decimal, Source, Tick, Topic, Update},
    protocol::{
        encoding::Format,
        event,
        frame::{self, Opcode},
        params::Subscribe,
    },
    shutdown::{self, Stage, Tasks, Trigger},
    telemetry::Telemetry,
    units::now_us,
};

/// A grace period that does not end while anything is measured.
pub const MINUTE: i64 = 60_000_000;
/// What most clients ask for.
pub const PLAIN: &str =
    r#"{"topics":["price.BTC-USD"],"mode":"every","snapshot":false,"status":false}"#;

/// Counts the frames that all sockets have taken and wakes whoever waits for a number of them.
pub struct Meter {
    taken: AtomicU64,
    wanted: AtomicU64,
    shut: AtomicBool,
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

/// A socket that takes everything, unless the rig has shut it.
struct Sink(Arc<Meter>);

impl SocketWriter for Sink {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.0.shut.load(Ordering::Acquire) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let frames = slices.iter().flat_map(|slice| frame::each(slice));
        self.0.take(frames.count() as u64);
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}

/// A hub with one topic, one shard, and subscribers of that topic.
pub struct Rig {
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
    /// `subscribers` clients that ask for `asked` and get their messages in `format`.
    pub fn new(subscribers: usize, asked: &str, format: Format) -> Self {
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
            shut: AtomicBool::new(false),
            waiter: thread::current(),
        });
        let ticks = ["64321.50", "64321.51"].map(tick);
        Self {
            slot: hub.declare(&ticks[0].topic),
            hub,
            ticks,
            source: "bench".into(),
            subscribers: (0..subscribers)
                .map(|_| {
                    let socket = Arc::new(Sink(meter.clone()));
                    subscribe(&seat, asked, format, socket)
                })
                .collect(),
            meter,
            tasks,
            trigger,
        }
    }

    /// Publishes `updates` values and waits until every subscriber has them.
    pub fn deliver(&self, updates: u64) {
        let frames = updates * self.subscribers.len() as u64;
        self.meter.wait_for(frames, || self.publish(updates));
    }

    /// Shuts the sockets, publishes `updates` values and waits until they wait.
    pub fn fill(&self, updates: u64) {
        self.meter.shut.store(true, Ordering::Release);
        self.publish(updates);
        let waiting = |subscriber: &Subscriber| {
            subscriber.subscriptions().iter().all(|row| row.ledger.queued == updates)
        };
        while !self.subscribers.iter().all(waiting) {
            thread::yield_now();
        }
    }

    /// Opens the sockets and writes what waits, all on this thread.
    pub fn drain(&self) {
        self.meter.shut.store(false, Ordering::Release);
        for subscriber in &self.subscribers {
            subscriber.writable(Instant::now());
        }
    }

    /// Sends an answer to every client.
    pub fn answer(&self, frame: &Bytes) {
        for subscriber in &self.subscribers {
            subscriber.send(frame.clone(), Instant::now());
        }
    }

    fn publish(&self, updates: u64) {
        // Two values in turn: an unchanged one is only confirmed.
        let next = self.slot.head(0).seq.is_multiple_of(2);
        let turns = self.ticks.iter().cycle().skip(usize::from(!next));
        for tick in turns.take(usize::try_from(updates).unwrap()) {
            self.hub.publish_to(&self.slot, tick, &self.source, now_us(), MINUTE);
        }
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

/// The fields of an update of the usual size.
pub fn data(price: &str) -> Data {
    let decimal = |text| Decimal::parse(text).unwrap();
    Data::new()
        .with("price", decimal(price))
        .with("bid", decimal("64321.10"))
        .with("ask", decimal("64321.90"))
        .with("volume_24h", decimal("12345.67890000"))
        .with("change_24h_pct", decimal("-1.234"))
}

/// A reading of them.
pub fn tick(price: &str) -> Tick {
    Tick { topic: Topic::parse("price.BTC-USD").unwrap(), data: data(price), ts: Some(now_us()) }
}

/// An update with them, as the hub makes it.
pub fn update(fields: &Data) -> Update {
    let mut json = Vec::new();
    event::data(&mut json, fields);
    Update {
        topic: Topic::parse("price.BTC-USD").unwrap(),
        epoch: Arc::from("bench"),
        seq: 123_456,
        ts: Some(1_790_000_000_123_000),
        rx: 1_790_000_000_150_123,
        source: Arc::from("bench"),
        data: json.into(),
    }
}

fn subscribe(
    seat: &Seat,
    asked: &str,
    format: Format,
    socket: Arc<dyn SocketWriter>,
) -> Subscriber {
    let asked: Subscribe = serde_json::from_str(asked).unwrap();
    let subscriber = seat.take(socket, format, Instant::now());
    let options = subscriber.options(&asked).unwrap();
    subscriber.subscribe(&asked, &options, |rows| {
        assert!(rows.iter().all(|row| row.ok));
        frame::frame(Opcode::Text, b"{}")
    });
    subscriber
}
