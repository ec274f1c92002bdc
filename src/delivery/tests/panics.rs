//! A fault in what is kept of one client ends that client alone. Real shards, real threads.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{
    wire::{Message, Wire},
    world::{World, counter, every, latest},
};
use crate::{
    delivery::{
        Config, Delivery, Options, SocketWriter, Subscriber, SubscriptionLimits, TransportKind,
    },
    hub::{self, Hub, Issued},
    market::{Data, Tick, Topic},
    protocol::{
        encoding::Format,
        frame::{Opcode, frame},
        params::Subscribe,
    },
    shutdown::{self, Stage, Tasks, Trigger},
    telemetry::{Logged, Telemetry},
    units::{Span, now_us},
};

const PATIENCE: Duration = Duration::from_secs(20);
const TOPIC: &str = "bench.0";

/// A socket that takes everything, until it panics.
#[derive(Clone, Default)]
struct Socket {
    wire: Wire,
    faulty: Arc<AtomicBool>,
    /// How long a write takes.
    takes: Arc<Mutex<Duration>>,
    written: Arc<(Mutex<()>, Condvar)>,
}

impl SocketWriter for Socket {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(!self.faulty.load(Ordering::Acquire), "a fault on purpose");
        let (begun, takes) = (Instant::now(), *self.takes.lock());
        while begun.elapsed() < takes {
            thread::yield_now();
        }
        let taken = self.wire.try_write_vectored(slices);
        let _held = self.written.0.lock();
        self.written.1.notify_all();
        taken
    }
}

/// One shard with its hub.
pub(super) struct Shard {
    hub: Arc<Hub>,
    delivery: Delivery,
    sessions: Tasks,
    telemetry: Telemetry,
    trigger: Trigger,
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.trigger.advance(Stage::Closing);
    }
}

/// One client.
pub(super) struct Client {
    pub(super) subscriber: Subscriber,
    socket: Socket,
}

impl Shard {
    fn start(coalesce: Duration) -> Self {
        Self::with(&Config { coalesce: Span(coalesce), ..Config::default() })
    }

    pub(super) fn with(config: &Config) -> Self {
        let telemetry = Telemetry::new().unwrap();
        let hub = Arc::new(Hub::new(hub::Config::default(), 1, Arc::from("e1"), &telemetry));
        let limits = SubscriptionLimits { topics: 10, matched_topics: 10 };
        let (trigger, shutdown) = shutdown::channel();
        let sessions = Tasks::default();
        let delivery =
            Delivery::start(config, limits, &hub, &telemetry, &sessions, &shutdown).unwrap();
        hub.declare(&Topic::parse(TOPIC).unwrap());
        Self { hub, delivery, sessions, telemetry, trigger }
    }

    /// A client that is subscribed to the topic.
    fn client(&self) -> Client {
        self.client_with_room(usize::MAX)
    }

    /// As [`Shard::client`]; its socket takes only so many bytes.
    fn client_with_room(&self, bytes: usize) -> Client {
        self.client_by(bytes, &every())
    }

    pub(super) fn client_by(&self, bytes: usize, options: &Options) -> Client {
        let socket = Socket::default();
        socket.wire.allow(bytes);
        let seat = self.delivery.seat(TransportKind::WebSocket).unwrap();
        let subscriber = seat.take(Arc::new(socket.clone()), Format::default(), Instant::now());
        let asked = Subscribe { topics: vec![TOPIC.to_owned()], ..Subscribe::default() };
        let answer = frame(Opcode::Text, br#"{"answer":1}"#);
        subscriber.subscribe(&asked, options, |rows| {
            assert!(rows[0].ok);
            answer
        });
        Client { subscriber, socket }
    }

    pub(super) fn publish(&self, value: i64) {
        let topic = Topic::parse(TOPIC).unwrap();
        let tick = Tick { topic, data: Data::new().with("value", value), ts: None };
        self.hub.publish(&tick, &Arc::from("bench"), value, i64::MAX / 4);
    }

    /// What was published last, for as long as the outlet or history has it.
    pub(super) fn last(&self) -> Weak<Issued> {
        Arc::downgrade(&self.hub.topic(TOPIC).unwrap().last().unwrap())
    }

    fn subscriptions(&self) -> u64 {
        counter(&self.telemetry.render(), "tickwire_subscriptions", "")
    }

    fn delivered(&self) -> u64 {
        counter(&self.telemetry.render(), "tickwire_delivered_total", "")
    }
}

impl Client {
    fn broken(&self) -> bool {
        self.subscriber.flow().broken
    }

    fn delivered(&self) -> u64 {
        self.subscriber.subscriptions().iter().map(|row| row.ledger.delivered).sum()
    }

    fn break_socket(&self) {
        self.socket.faulty.store(true, Ordering::Release);
    }

    fn got(&self) -> Vec<u64> {
        let number = |message| match message {
            Message::Update { seq, .. } => Some(seq),
            _ => None,
        };
        self.socket.wire.messages().into_iter().filter_map(number).collect()
    }

    /// Waits until it has got the updates `from` to `to`, and no other.
    pub(super) fn gets(&self, from: u64, to: u64) {
        let deadline = Instant::now() + PATIENCE;
        let mut written = self.socket.written.0.lock();
        while self.got().last().is_none_or(|last| *last < to) {
            let late = self.socket.written.1.wait_until(&mut written, deadline).timed_out();
            assert!(!late, "{:?} is all there is of {from} to {to}", self.got());
        }
        assert_eq!(self.got(), (from..=to).collect::<Vec<_>>());
    }
}

/// Waits until `what` is so.
pub(super) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::yield_now();
    }
}

fn all_get(clients: &[&Client], from: u64, to: u64) {
    for client in clients {
        client.gets(from, to);
    }
}

#[test]
fn a_panic_while_one_client_is_written_to_ends_that_client_alone() {
    let shard = Shard::start(Duration::ZERO);
    let (first, faulty, last) = (shard.client(), shard.client(), shard.client());
    shard.publish(1);
    all_get(&[&first, &faulty, &last], 1, 1);
    faulty.break_socket();
    shard.publish(2);
    all_get(&[&first, &last], 1, 2);
    // Once the next is there, the shard is done with all that the one before it touched.
    shard.publish(3);
    all_get(&[&first, &last], 1, 3);
    assert!(faulty.broken() && !first.broken() && !last.broken());
    drop(faulty);
    assert_eq!(shard.subscriptions(), 2);
    let newcomer = shard.client();
    shard.publish(4);
    newcomer.gets(4, 4);
    all_get(&[&first, &last], 1, 4);
}

#[test]
fn a_panic_in_the_account_of_one_client_ends_that_client_alone() {
    let shard = Shard::start(Duration::ZERO);
    let (first, faulty, last) = (shard.client(), shard.client(), shard.client());
    // One more than that is a panic, when what it got is noted.
    faulty.subscriber.client.look().outbox.lanes.pretend(u32::MAX);
    for value in 1..=2 {
        shard.publish(value);
        all_get(&[&first, &last], 1, value.unsigned_abs());
    }
    assert!(faulty.broken());
    assert!(!first.broken() && !last.broken());
}

#[test]
fn a_client_with_a_fault_does_not_end_the_one_whose_subscription_touches_it() {
    // The shard itself never comes to dispatch: the newcomer brings the topic up to its head.
    let shard = Shard::start(Duration::from_secs(3600));
    let (faulty, other) = (shard.client(), shard.client());
    shard.publish(1);
    faulty.break_socket();
    let newcomer = shard.client();
    assert!(faulty.broken() && !newcomer.broken());
    other.gets(1, 1);
}

#[test]
fn a_session_that_panics_leaves_its_shard_and_the_others_go_on() {
    let shard = Shard::start(Duration::ZERO);
    let (other, panics) = (shard.client(), shard.client_with_room(0));
    assert_eq!(shard.subscriptions(), 2);
    shard.publish(1);
    other.gets(1, 1);
    // Its account is faulty as well: that what waits is lost is one more panic, while the first
    // unwinds.
    panics.break_socket();
    let queued =
        || panics.subscriber.subscriptions().iter().map(|row| row.ledger.queued).sum::<u64>();
    eventually("the update waits", || queued() > 0);
    for (_, sub) in &mut panics.subscriber.client.lock().outbox.subs {
        sub.ledger.dropped = u64::MAX;
    }
    let seat = shard.delivery.seat(TransportKind::WebSocket).unwrap();
    seat.spawn("session", async move { panics.subscriber.writable(Instant::now()) });
    eventually("the session has ended", || shard.sessions.is_empty());
    assert_eq!(shard.subscriptions(), 1);
    shard.publish(2);
    other.gets(1, 2);
}

/// What `act` does to a client for whom an update waits, and whose end comes after it panicked.
fn leaves_no_interest(what: &str, act: impl FnOnce(&Client)) {
    let shard = Shard::start(Duration::ZERO);
    let (other, faulty) = (shard.client(), shard.client_with_room(0));
    shard.publish(1);
    other.gets(1, 1);
    assert_eq!(shard.hub.interest().counts(), BTreeMap::from([(TOPIC.to_owned(), 2)]), "{what}");
    assert!(catch_unwind(AssertUnwindSafe(|| act(&faulty))).is_err(), "{what} does not panic");
    drop(faulty);
    assert_eq!(shard.hub.interest().counts(), BTreeMap::from([(TOPIC.to_owned(), 1)]), "{what}");
    assert_eq!(shard.subscriptions(), 1, "{what}");
    shard.publish(2);
    other.gets(1, 2);
}

#[test]
fn a_panic_in_subscribing_unsubscribing_or_writing_leaves_no_interest_behind() {
    let topics = ["price.A-B", "bench.>", TOPIC].map(str::to_owned).to_vec();
    let asked = Subscribe { topics, ..Subscribe::default() };
    leaves_no_interest("subscribing", |client| {
        client.subscriber.subscribe(&asked, &every(), |_| panic!("a fault on purpose"));
    });
    leaves_no_interest("writing what a subscription brings", |client| {
        client.socket.wire.allow(usize::MAX);
        client.subscriber.writable(Instant::now());
        client.break_socket();
        client.subscriber.subscribe(&asked, &every(), |_| frame(Opcode::Text, b"{}"));
    });
    leaves_no_interest("unsubscribing", |client| {
        for (_, sub) in &mut client.subscriber.client.lock().outbox.subs {
            assert_eq!(sub.ledger.queued, 1);
            sub.ledger.dropped = u64::MAX;
        }
        client.subscriber.unsubscribe(&asked.topics);
    });
    leaves_no_interest("writing", |client| {
        client.break_socket();
        client.subscriber.writable(Instant::now());
    });
}

/// Panics where nobody expects it: outside of what is caught for one client.
struct Trap(AtomicBool);

impl Wake for Trap {
    fn wake(self: Arc<Self>) {
        assert!(!self.0.swap(false, Ordering::AcqRel), "a fault on purpose");
    }
}

#[test]
fn a_dispatch_loop_that_panics_is_started_again_and_nobody_misses_anything() {
    let shard = Shard::start(Duration::ZERO);
    let (first, faulty, last) = (shard.client(), shard.client(), shard.client());
    shard.publish(1);
    all_get(&[&first, &faulty, &last], 1, 1);
    faulty.break_socket();
    let waker = Waker::from(Arc::new(Trap(AtomicBool::new(true))));
    let mut context = Context::from_waker(&waker);
    while faulty.subscriber.poll_woken(&mut context).is_ready() {}
    // `last` is due when the loop panics at the client before it.
    shard.publish(2);
    all_get(&[&first, &last], 1, 2);
    shard.publish(3);
    all_get(&[&first, &last], 1, 3);
    assert!(faulty.broken());
    let clients = [&first, &faulty, &last];
    assert_eq!(clients.map(Client::delivered), [3, 1, 3]);
    eventually("what was delivered before the fault is counted", || shard.delivered() == 7);
}

#[test]
fn the_time_that_another_client_takes_is_no_latency_of_the_one_before_it() {
    let shard = Shard::start(Duration::ZERO);
    let first = shard.client();
    let slow = shard.client_by(usize::MAX, &latest());
    shard.publish(now_us());
    all_get(&[&first, &slow], 1, 1);
    eventually("both are counted", || shard.delivered() == 2);
    let within = |limit: &str| {
        let name = "tickwire_delivery_latency_seconds_bucket";
        counter(&shard.telemetry.render(), name, &format!("le=\"{limit}\""))
    };
    let (quick, all) = (within("0.25"), within("+Inf"));
    *slow.socket.takes.lock() = Duration::from_millis(300);
    shard.publish(now_us());
    all_get(&[&first, &slow], 1, 2);
    eventually("both are counted", || within("+Inf") == all + 2);
    assert_eq!(within("0.25"), quick + 1);
}

#[test]
fn a_fault_in_a_client_is_logged_once() {
    let log = Logged::here();
    let mut world = World::new();
    let client = world.connect_open();
    world.subscribe(client, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 1);
    world.client(client).look().outbox.lanes.pretend(u32::MAX);
    world.publish_and_pump("price.A-B", 3);
    assert!(world.flow(client).broken);
    assert_eq!(log.count("a fault in what is kept of a client"), 1);
}
