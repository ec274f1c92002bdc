//! Random interleavings of everything that can happen to a shard, against the model.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::{
    model::{Model, Request, Subscriber},
    steps::{BORN, BOUNDS, PATTERNS, Step, TOPICS, step},
    verdict,
    world::World,
};
use crate::{
    delivery::{Ledger, Options},
    hub::{Event, Outcome},
    protocol::params::Mode,
};

/// What became of the updates of subscriptions that have ended.
#[derive(Default)]
struct Ended {
    ledgers: Vec<Ledger>,
}

struct Run {
    world: World,
    model: Model,
    ended: Ended,
    /// Answers so far.
    answers: Vec<u64>,
}

impl Run {
    fn new() -> Self {
        let mut world = World::new();
        for bounds in BOUNDS {
            world.connect(bounds);
        }
        let clients = BOUNDS.iter().map(|_| Subscriber::default()).collect();
        let model = Model { clients, ..Model::default() };
        let answers = vec![0; BOUNDS.len()];
        let mut run = Self { world, model, ended: Ended::default(), answers };
        for topic in 0..BORN {
            run.publish(topic, 9);
        }
        run
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Burst { topic, count } => (0..count).for_each(|add| {
                let published = self.model.topics.get(TOPICS[topic]);
                let last = published.and_then(|log| log.prices.last());
                self.publish(topic, last.map_or(0, |last| last + 1) + add);
            }),
            Step::Publish { topic, price } => self.publish(topic, price),
            Step::Subscribe { client, pattern, ref options } => {
                self.subscribe(client, PATTERNS[pattern], options);
            }
            Step::Unsubscribe { client, pattern } => self.unsubscribe(client, PATTERNS[pattern]),
            Step::Pump { events } => self.pump(events),
            Step::Lag => {
                self.world.lag();
                self.model.lag();
            }
            Step::Grant { client, bytes } => self.world.grant(client, bytes),
            Step::AtMostPerWrite { client, bytes } => {
                self.world.wire(client).at_most_per_write(bytes);
            }
            Step::Advance { by } => self.world.advance(by),
            Step::Trouble { topic, blocked } => self.world.trouble(TOPICS[topic], blocked),
        }
    }

    fn publish(&mut self, topic: usize, price: u64) {
        if let Outcome::Issued(seq) = self.world.publish(TOPICS[topic], price) {
            assert_eq!(self.model.publish(TOPICS[topic], price), seq);
        }
    }

    fn pump(&mut self, events: usize) {
        for _ in 0..events {
            match self.world.pump_one() {
                Some(Event::Update(issued)) => {
                    self.model.dispatched(issued.update.topic.as_str(), issued.update.seq);
                }
                Some(Event::Status(_)) => {}
                None => return,
            }
        }
    }

    fn subscribe(&mut self, client: usize, pattern: &str, options: &Options) {
        let sub = self.model.subscribe(client, pattern, options.mode == Mode::Every);
        let due = self.model.reached_by(client, sub);
        self.answers[client] += 1;
        let row = self.world.subscribe(client, pattern, options);
        assert!(row.ok);
        if let Some(log) = self.model.topics.get(pattern) {
            assert_eq!(row.seq, Some(log.prices.len() as u64));
        }
        let request = Request::Subscribe {
            pattern: pattern.to_owned(),
            sub,
            status: options.status,
            state: row.state.map(|state| state.as_str().to_owned()),
            snapshots: if options.snapshot { due } else { Vec::new() },
        };
        self.model.clients[client].requests.insert(self.answers[client], request);
    }

    fn unsubscribe(&mut self, client: usize, pattern: &str) {
        let sub = self.model.clients[client].unsubscribe(pattern);
        if sub.is_some() {
            self.ended.ledgers.push(self.world.ledger(client, pattern));
        }
        self.answers[client] += 1;
        self.world.unsubscribe(client, pattern);
        let request = Request::Unsubscribe { pattern: pattern.to_owned(), sub };
        self.model.clients[client].requests.insert(self.answers[client], request);
    }

    /// Every sum is right, every account balances and says what the model says.
    fn audit(&self) {
        for (peer, subscriber) in self.model.clients.iter().enumerate() {
            assert!(!self.world.flow(peer).broken);
            let state = self.world.client(peer).lock();
            state.outbox.audit();
            let published: BTreeMap<_, _> = (state.outbox.subs.iter())
                .map(|(_, sub)| (sub.pattern.as_str(), sub.ledger.published))
                .collect();
            let expected = subscriber.subs.iter().map(|sub| (&*sub.pattern, sub.published));
            assert_eq!(published, expected.collect());
        }
    }

    /// Nothing more is published, rates end and the sockets take everything.
    fn drain(&mut self) {
        self.pump(usize::MAX);
        for peer in 0..BOUNDS.len() {
            self.world.open(peer);
        }
        self.world.advance(Duration::from_secs(3600));
        self.pump(usize::MAX);
        for peer in 0..BOUNDS.len() {
            self.world.open(peer);
            assert!(!self.world.flow(peer).waiting && self.world.flow(peer).next_held.is_none());
        }
    }

    fn judge(&self, drained: bool) {
        for (peer, subscriber) in self.model.clients.iter().enumerate() {
            let told = verdict::check(&self.model, peer, &self.world.messages(peer), drained);
            let always_told = subscriber.requests.values().all(|request| match request {
                Request::Subscribe { status, .. } => *status,
                Request::Unsubscribe { .. } => true,
            });
            if drained && always_told {
                for (topic, state) in told {
                    let slot = self.world.hub.topic(&topic);
                    let now = slot.map_or("down", |slot| slot.head(0).status.state.as_str());
                    assert_eq!(state, now, "{topic}");
                }
            }
        }
    }

    /// The accounts, ended ones too, add up to the metrics.
    fn reconcile(mut self) {
        let mut live = Vec::new();
        for peer in 0..BOUNDS.len() {
            live.extend(self.world.client(peer).lock().subscriptions());
            self.world.disconnect(peer);
        }
        let sum = |of: fn(&Ledger) -> u64| -> [u64; 2] {
            [live.iter().map(|row| of(&row.ledger)).sum(), self.ended.ledgers.iter().map(of).sum()]
        };
        let total = |of| sum(of).iter().sum::<u64>();
        let text = self.world.telemetry.render();
        let counter = |name: &str, label: &str| super::world::counter(&text, name, label);
        assert_eq!(counter("tickwire_offered_total", ""), total(|ledger| ledger.published));
        assert_eq!(counter("tickwire_delivered_total", ""), total(|ledger| ledger.delivered));
        assert_eq!(counter("tickwire_conflated_total", ""), total(|ledger| ledger.conflated));
        let lost = counter("tickwire_dropped_total", "overflow")
            + counter("tickwire_dropped_total", "lag");
        assert_eq!(lost, total(|ledger| ledger.dropped));
        let [closed, unsubscribed] = sum(|ledger| ledger.queued);
        assert_eq!(counter("tickwire_dropped_total", "closed"), closed);
        assert_eq!(counter("tickwire_dropped_total", "unsubscribed"), unsubscribed);
        assert_eq!(counter("tickwire_send_queue_bytes", ""), 0);
        assert_eq!(counter("tickwire_subscriptions", ""), 0);
    }
}

fn run(steps: &[Step], drain: bool) {
    let mut run = Run::new();
    for step in steps {
        run.step(step);
        run.audit();
    }
    if drain {
        run.drain();
        run.audit();
    }
    run.judge(drain);
    run.reconcile();
}

/// What the first client gets when the shard is up to date whenever one of the others does
/// something, with or without the others doing it. So little time passes that nothing becomes stale:
/// in which order the hub finds that topics have aged is chance. And the shard always takes all
/// events, since what nobody else wants is not in its channel.
fn bytes_of_first(steps: &[Step], alone: bool) -> Vec<u8> {
    let mut run = Run::new();
    for step in steps {
        let of_another = step.client().is_some_and(|client| client > 0);
        if of_another {
            run.pump(usize::MAX);
        }
        match step {
            _ if of_another && alone => {}
            Step::Advance { by } => run.world.advance((*by).min(Duration::from_millis(200))),
            Step::Pump { .. } => run.pump(usize::MAX),
            step => run.step(step),
        }
    }
    run.world.wire(0).bytes()
}

/// More where `PROPTEST_CASES` says so.
fn at_least(cases: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig { cases: asked.cases.max(cases), failure_persistence: None, ..asked }
}

proptest! {
    #![proptest_config(at_least(10_000))]

    #[test]
    fn whatever_happens_each_update_is_accounted_for(
        steps in prop::collection::vec(step(), 1..30),
        drain in prop::bool::weighted(0.8),
    ) {
        run(&steps, drain);
    }
}

proptest! {
    #![proptest_config(at_least(2_000))]

    #[test]
    fn a_client_gets_the_same_bytes_whatever_others_do(
        steps in prop::collection::vec(step(), 1..30),
    ) {
        prop_assert_eq!(bytes_of_first(&steps, false), bytes_of_first(&steps, true));
    }
}
