//! Real shards, real threads: publishers and clients that come and go at the same time.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{
    wire::{Message, Wire},
    world::every,
};
use crate::{
    delivery::{
        Config, Delivery, SocketWriter, SubscribeRow, Subscriber, SubscriptionLimits, TransportKind,
    },
    hub::{self, Hub},
    market::{Data, Tick, Topic},
    protocol::{
        encoding::Format,
        frame::{Opcode, frame},
        params::Subscribe,
    },
    shutdown::{self, Stage, Tasks},
    telemetry::Telemetry,
    units::ByteSize,
};

const PUBLISHERS: usize = 4;
const CLIENTS: usize = 8;
const TOPICS: usize = 8;
/// Half of the clients have so many topics all the time, and others by a pattern now and then.
const STAYING: usize = 4;
const UPDATES: i64 = 1500;
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket that takes everything and tells that it did.
#[derive(Clone, Default)]
struct Socket {
    wire: Wire,
    written: Arc<(Mutex<()>, Condvar)>,
}

impl SocketWriter for Socket {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let taken = self.wire.try_write_vectored(slices);
        self.written.1.notify_all();
        taken
    }
}

/// One client and what its answers said.
struct Client {
    subscriber: Subscriber,
    socket: Socket,
    answers: Vec<Answer>,
}

enum Answer {
    Subscribed(SubscribeRow),
    Unsubscribed(String),
}

fn topic(number: usize) -> String {
    format!("bench.{number}")
}

impl Client {
    fn new(delivery: &Delivery) -> Self {
        let socket = Socket::default();
        socket.wire.allow(usize::MAX);
        let seat = delivery.seat(TransportKind::WebSocket).unwrap();
        let subscriber = seat.take(Arc::new(socket.clone()), Format::default(), Instant::now());
        Self { subscriber, socket, answers: Vec::new() }
    }

    fn subscribe(&mut self, text: &str) {
        let number = self.answers.len() + 1;
        let answers = &mut self.answers;
        let asked = Subscribe { topics: vec![text.to_owned()], ..Subscribe::default() };
        self.subscriber.subscribe(&asked, &every(), |rows| {
            answers.push(Answer::Subscribed(rows[0].clone()));
            frame(Opcode::Text, format!(r#"{{"answer":{number}}}"#).as_bytes())
        });
    }

    fn unsubscribe(&mut self, text: &str) {
        assert!(self.subscriber.unsubscribe(&[text.to_owned()])[0].ok);
        self.answers.push(Answer::Unsubscribed(text.to_owned()));
        let json = format!(r#"{{"answer":{}}}"#, self.answers.len());
        self.subscriber.send(frame(Opcode::Text, json.as_bytes()), Instant::now());
    }

    /// Subscribes and unsubscribes while anything is published; ends with everything subscribed
    /// and received.
    fn run(mut self, number: usize, publishing: &AtomicUsize) -> Self {
        let comes_and_goes = |turn: usize| match number % 2 {
            0 => topic(turn % TOPICS),
            _ => "bench.>".to_owned(),
        };
        if number % 2 == 1 {
            (0..STAYING).for_each(|number| self.subscribe(&topic(number)));
        }
        let mut turn = number;
        while publishing.load(Ordering::Acquire) > 0 {
            let text = comes_and_goes(turn);
            self.subscribe(&text);
            self.subscriber.flush(Instant::now());
            thread::yield_now();
            self.unsubscribe(&text);
            turn += 1;
        }
        (0..TOPICS).for_each(|number| self.subscribe(&topic(number)));
        self.wait_until_all_is_delivered();
        self
    }

    fn wait_until_all_is_delivered(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut written = self.socket.written.0.lock();
        loop {
            self.subscriber.flush(Instant::now());
            let rows = self.subscriber.subscriptions();
            assert!(rows.iter().all(|row| row.ledger.balances() && row.ledger.dropped == 0));
            if rows.iter().all(|row| row.ledger.queued == 0) {
                return;
            }
            let late = self.socket.written.1.wait_until(&mut written, deadline).timed_out();
            assert!(!late, "something was not delivered");
        }
    }

    /// Everything between an answer and the end came in order and without a hole.
    fn judge(&self, hub: &Hub) {
        let mut next: BTreeMap<String, u64> = BTreeMap::new();
        let mut answers = self.answers.iter();
        for message in self.socket.wire.messages() {
            match message {
                Message::Answer(_) => match answers.next().unwrap() {
                    Answer::Subscribed(SubscribeRow { topic, seq: Some(seq), .. }) => {
                        next.entry(topic.clone()).or_insert(seq + 1);
                    }
                    Answer::Subscribed(_) => {}
                    Answer::Unsubscribed(text) if text == "bench.>" => {
                        let stays = |name: &String| (0..STAYING).any(|one| *name == topic(one));
                        next.retain(|name, _| stays(name));
                    }
                    Answer::Unsubscribed(topic) => drop(next.remove(topic)),
                },
                Message::Update { topic, seq, .. } => {
                    let expected = next.entry(topic.clone()).or_insert(seq);
                    assert_eq!(seq, *expected, "{topic}");
                    *expected += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        for number in 0..TOPICS {
            let head = hub.topic(&topic(number)).unwrap().head(0).seq;
            assert_eq!(next[&topic(number)], head + 1);
        }
    }
}

fn publish(hub: &Hub, publisher: usize) {
    for value in 0..UPDATES {
        for number in (publisher % 2..TOPICS).step_by(PUBLISHERS / 2) {
            let tick = Tick {
                topic: Topic::parse(&topic(number)).unwrap(),
                data: Data::new().with("value", value).with("by", publisher.to_string()),
                ts: None,
            };
            hub.publish(&tick, &Arc::from("bench"), value, i64::MAX / 4);
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_while_clients_come_and_go() {
    let telemetry = Telemetry::new().unwrap();
    let history = hub::Config { history: 1 << 20, ..hub::Config::default() };
    let hub = Arc::new(Hub::new(history, 2, Arc::from("e1"), &telemetry));
    let config =
        Config { queue_updates: 1 << 20, queue_bytes: ByteSize::mib(256), ..Config::default() };
    let limits = SubscriptionLimits { topics: 100, matched_topics: 100 };
    let (trigger, shutdown) = shutdown::channel();
    let sessions = Tasks::default();
    let delivery =
        Delivery::start(&config, limits, &hub, &telemetry, &sessions, &shutdown).unwrap();
    for number in 0..TOPICS / 2 {
        hub.declare(&Topic::parse(&topic(number)).unwrap());
    }
    let publishing = AtomicUsize::new(PUBLISHERS);
    let clients: Vec<Client> = thread::scope(|scope| {
        let running: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = Client::new(&delivery);
                let publishing = &publishing;
                scope.spawn(move || client.run(number, publishing))
            })
            .collect();
        for publisher in 0..PUBLISHERS {
            let (hub, publishing) = (&hub, &publishing);
            scope.spawn(move || {
                publish(hub, publisher);
                publishing.fetch_sub(1, Ordering::Release);
            });
        }
        running.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for client in &clients {
        client.judge(&hub);
    }
    trigger.advance(Stage::Closing);
}
