//! One random run: whatever happens to the shard is told to the model as well, and what can be
//! compared at once is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    model::{Model, Outcome as Expected, Positions, Request, Subscriber, matches},
    steps::{BORN, BOUNDS, LeftOff, PATTERNS, Step, TOPICS},
    terms::{Compiled, Terms, Value},
    verdict,
    world::World,
};
use crate::{
    delivery::{Ledger, Reader, SubscribeRow},
    hub::{Event, Outcome},
    protocol::{
        code::ErrorCode,
        params::{Position, Resume},
    },
};

thread_local! {
    static COMPILED: Compiled = Compiled::default();
}

pub(super) struct Run {
    pub(super) world: World,
    pub(super) model: Model,
    /// The accounts of subscriptions that were ended, and of those that were lost with their
    /// connection.
    pub(super) unsubscribed: Vec<Ledger>,
    pub(super) closed: Vec<Ledger>,
    /// Answers so far.
    answers: Vec<u64>,
}

impl Run {
    pub(super) fn new() -> Self {
        let mut world = World::new();
        for bounds in BOUNDS {
            world.connect(bounds);
        }
        let clients = BOUNDS.iter().map(|_| Subscriber::default()).collect();
        let model = Model { clients, ..Model::default() };
        let (unsubscribed, closed, answers) = (Vec::new(), Vec::new(), vec![0; BOUNDS.len()]);
        let mut run = Self { world, model, unsubscribed, closed, answers };
        for topic in 0..BORN {
            run.publish(topic, Value(9));
        }
        run
    }

    pub(super) fn step(&mut self, step: &Step) {
        match *step {
            Step::Burst { topic, count } => (1..=count).for_each(|add| {
                let log = self.model.topics.get(TOPICS[topic]);
                let last =
                    log.filter(|log| log.head() > 0).map_or(0, |log| log.value(log.head()).0);
                self.publish(topic, Value((last + add) % 16));
            }),
            Step::Publish { topic, tenths } => self.publish(topic, Value(tenths)),
            Step::Subscribe { client, pattern, ref terms, ref resume } => {
                let positions = resume.as_ref().map(|left_off| self.positions(left_off));
                self.subscribe(client, PATTERNS[pattern], terms, positions.as_ref());
            }
            Step::Unsubscribe { client, pattern } => self.unsubscribe(client, PATTERNS[pattern]),
            Step::Reconnect { client, pattern, ref terms, ref resume } => {
                let positions = match resume {
                    Some(left_off) => self.positions(left_off),
                    None => self.seen(client),
                };
                self.reconnect(client);
                self.subscribe(client, PATTERNS[pattern], terms, Some(&positions));
            }
            Step::Replay { topic, back, count, limit } => self.replay(topic, back, count, limit),
            Step::Pump { events } => self.pump(events),
            Step::PumpBatch => self.pump_batch(),
            Step::Lag => {
                self.world.lag();
                self.model.lag();
            }
            Step::Grant { client, bytes } => self.world.grant(client, bytes),
            Step::AtMostPerWrite { client, bytes } => {
                self.world.wire(client).at_most_per_write(bytes);
            }
            Step::Advance { by } => self.world.advance(by),
            Step::Trouble { topic, blocked } => {
                self.world.trouble(TOPICS[topic], blocked);
                self.model.declare(TOPICS[topic]);
            }
            Step::Recover => {
                self.world.recover();
                self.model.lag();
            }
            Step::Meanwhile(ref step) => {
                self.world.hold_turns(true);
                self.pump_batch();
                self.step(step);
                self.world.hold_turns(false);
            }
        }
        self.note_what_was_read();
    }

    /// How far each client has read history: when it does is chance, what it reads is not.
    pub(super) fn note_what_was_read(&mut self) {
        for peer in 0..self.model.clients.len() {
            let streams = &self.model.clients[peer].streams;
            let unread: Vec<_> = streams
                .iter()
                .filter(|(_, stream)| !stream.unread.is_empty())
                .map(|(topic, _)| topic.clone())
                .collect();
            for topic in unread {
                let state = self.world.client(peer).look();
                let view = state.outbox.views.iter().map(|(_, view)| view);
                let cursor = view
                    .filter(|view| view.slot.topic().as_str() == topic)
                    .find_map(|view| view.cursor.as_ref());
                let next = cursor.map_or(u64::MAX, |cursor| cursor.next);
                drop(state);
                self.model.read(peer, &topic, next);
            }
        }
    }

    fn publish(&mut self, topic: usize, value: Value) {
        if let Outcome::Issued(seq) = self.world.publish_data(TOPICS[topic], value.data()) {
            assert_eq!(self.model.publish(TOPICS[topic], value), seq);
        }
    }

    pub(super) fn pump(&mut self, events: usize) {
        for _ in 0..events {
            let Some(event) = self.world.pump_one() else { return };
            self.dispatched(&event);
            self.note_what_was_read();
        }
    }

    /// All that is in the channel at once, before any of it is written.
    pub(super) fn pump_batch(&mut self) {
        for event in self.world.pump() {
            self.dispatched(&event);
        }
        self.note_what_was_read();
    }

    fn dispatched(&mut self, event: &Event) {
        if let Event::Update(issued) = event {
            self.model.dispatched(issued.update.topic.as_str(), issued.update.seq);
        }
    }

    fn subscribe(
        &mut self,
        client: usize,
        pattern: &str,
        terms: &Terms,
        positions: Option<&Positions>,
    ) {
        let options = COMPILED.with(|compiled| compiled.options(terms));
        let resume = positions.map(|positions| self.asked(positions));
        let expected = self.model.subscribe(client, pattern, terms, positions);
        self.answers[client] += 1;
        let row = self.world.resume(client, pattern, &options, resume.as_ref());
        self.row_is_right(pattern, &row, &expected, positions);
        let Expected { sub, snapshots, begun, .. } = expected;
        let request = Request::Subscribe {
            pattern: pattern.to_owned(),
            sub,
            terms: terms.clone(),
            state: row.state.map(|state| state.as_str().to_owned()),
            snapshots,
            begun,
        };
        self.model.clients[client].requests.insert(self.answers[client], request);
    }

    fn row_is_right(
        &self,
        pattern: &str,
        row: &SubscribeRow,
        expected: &Expected,
        positions: Option<&Positions>,
    ) {
        assert!(row.ok);
        if !pattern.contains(['*', '>']) {
            let head = self.model.topics.get(pattern).map_or(0, |log| log.head());
            assert_eq!(row.seq, Some(head));
            let recovered = positions.map(|positions| match expected.reached.first() {
                Some((_, _, goes_on)) => *goes_on,
                None => positions.get(pattern) == Some(&(true, 0)),
            });
            assert_eq!(row.recovered, recovered, "{pattern} after {positions:?}");
            return;
        }
        let matched = self.model.topics.keys().filter(|topic| matches(pattern, topic)).count();
        assert_eq!(row.matched, Some(matched));
        let listed = row.topics.as_ref().map(|rows| {
            rows.iter().map(|row| (row.topic.clone(), row.seq, row.recovered)).collect()
        });
        let reached: BTreeSet<_> = expected.reached.iter().cloned().collect();
        assert_eq!(listed, positions.map(|_| reached), "{pattern} after {positions:?}");
    }

    /// As a client says it.
    fn positions(&self, left_off: &LeftOff) -> Positions {
        let place = |of: &super::steps::Position| {
            let head = self.model.topics.get(TOPICS[of.topic]).map_or(0, |log| log.head());
            let seq = of.back.map_or(head + 3, |back| head.saturating_sub(back));
            let epoch = of.epoch.or(left_off.epoch) == Some(true);
            (TOPICS[of.topic].to_owned(), (epoch, seq))
        };
        left_off.positions.iter().map(place).collect()
    }

    /// As a client knows it that has read every message.
    fn seen(&self, client: usize) -> Positions {
        let seen = verdict::check(&self.model, client, &self.world.messages(client), false);
        seen.cursors.into_iter().map(|(topic, seq)| (topic, (true, seq))).collect()
    }

    /// As it is asked: every other position names its epoch.
    fn asked(&self, positions: &Positions) -> Resume {
        let right = self.world.hub.epoch().to_string();
        let position = |(place, (topic, (is_right, seq))): (usize, (&String, &(bool, u64)))| {
            let epoch = if *is_right { right.clone() } else { "another".to_owned() };
            let alone = place % 2 == 0 && *is_right;
            let seq = *seq;
            let position = if alone { Position::Seq(seq) } else { Position::In { epoch, seq } };
            (topic.clone(), position)
        };
        let seq = positions.iter().enumerate().map(position).collect();
        Resume { epoch: Some(right.clone()), seq }
    }

    fn unsubscribe(&mut self, client: usize, pattern: &str) {
        let ended = self.model.unsubscribe(client, pattern);
        if ended.is_some() {
            self.world.settle(client);
            self.unsubscribed.push(self.world.ledger(client, pattern));
        }
        self.answers[client] += 1;
        self.world.unsubscribe(client, pattern);
        let sub = ended.map(|sub| sub.id);
        let request = Request::Unsubscribe { pattern: pattern.to_owned(), sub };
        self.model.clients[client].requests.insert(self.answers[client], request);
    }

    fn reconnect(&mut self, client: usize) {
        verdict::check(&self.model, client, &self.world.messages(client), false);
        self.world.settle(client);
        let rows = self.world.client(client).look().subscriptions();
        self.closed.extend(rows.iter().map(|row| row.ledger));
        self.world.reconnect(client, BOUNDS[client]);
        self.model.clients[client] = Subscriber::default();
        self.answers[client] = 0;
    }

    fn replay(&self, topic: usize, back: u64, count: Option<u64>, limit: usize) {
        let reader = Reader::new(self.world.hub.clone());
        let log = self.model.topics.get(TOPICS[topic]);
        let head = log.map_or(0, |log| log.head());
        let from = (head + 1).saturating_sub(back);
        let to = count.map(|count| from + count);
        let kept = |seq: u64| log.is_some_and(|log| log.kept(seq).is_some());
        let got = reader.replay(TOPICS[topic], from, to, Some(limit));
        let got = got.map(|replayed| {
            let seq = |raw: &serde_json::value::RawValue| {
                let json: serde_json::Value = serde_json::from_str(raw.get()).unwrap();
                json["seq"].as_u64().unwrap()
            };
            let seqs: Vec<_> = replayed.updates.iter().map(|raw| seq(raw)).collect();
            (seqs, replayed.next)
        });
        let got = got.map_err(|error| error.code);
        let expected = if from == 0 {
            Err(ErrorCode::BadRequest)
        } else if head == 0 {
            Err(ErrorCode::UnknownTopic)
        } else if from <= head && !kept(from) {
            Err(ErrorCode::Unrecoverable)
        } else {
            let all: Vec<_> = (from..=to.map_or(head, |to| to.min(head))).collect();
            let page = &all[..all.len().min(limit)];
            Ok((page.to_vec(), all.get(limit).copied()))
        };
        assert_eq!(got, expected, "{} from {from} to {to:?}", TOPICS[topic]);
    }

    /// Nothing more is published, rates end and the sockets take everything.
    pub(super) fn drain(&mut self) {
        self.pump(usize::MAX);
        self.open_all();
        self.world.advance(Duration::from_secs(3600));
        self.note_what_was_read();
        self.pump(usize::MAX);
        self.open_all();
        for peer in 0..BOUNDS.len() {
            assert!(!self.world.flow(peer).waiting && self.world.flow(peer).next_held.is_none());
        }
    }

    fn open_all(&mut self) {
        for peer in 0..BOUNDS.len() {
            self.world.open(peer);
        }
        self.note_what_was_read();
    }

    /// Every sum is right, every account balances and says what the model says, and what counts as
    /// wanted is what is subscribed.
    pub(super) fn audit(&self) {
        let mut wanted = BTreeMap::new();
        for sub in self.model.clients.iter().flat_map(|client| &client.subs) {
            *wanted.entry(sub.pattern.clone()).or_default() += 1;
        }
        assert_eq!(self.world.hub.interest().counts(), wanted);
        for (peer, subscriber) in self.model.clients.iter().enumerate() {
            assert!(!self.world.flow(peer).broken);
            let mut state = self.world.client(peer).look();
            state.outbox.post();
            state.outbox.audit();
            let accounts: BTreeMap<_, _> = (state.outbox.subs.iter())
                .inspect(|(_, sub)| assert!(sub.ledger.balances(), "{:?}", sub.ledger))
                .map(|(_, sub)| (sub.pattern.as_str(), (sub.ledger.published, sub.ledger.filtered)))
                .collect();
            let expected = subscriber.subs.iter();
            let expected = expected.map(|sub| (&*sub.pattern, (sub.published, sub.filtered)));
            assert_eq!(accounts, expected.collect(), "client {peer}");
        }
    }

    pub(super) fn judge(&self, drained: bool) {
        for (peer, subscriber) in self.model.clients.iter().enumerate() {
            let seen = verdict::check(&self.model, peer, &self.world.messages(peer), drained);
            if !drained {
                continue;
            }
            let accounts = seen.accounts();
            for (pattern, account) in accounts {
                assert_eq!(self.world.ledger(peer, pattern), account, "client {peer}, {pattern}");
            }
            let always_told = subscriber.requests.values().all(|request| match request {
                Request::Subscribe { terms, .. } => terms.status,
                Request::Unsubscribe { .. } => true,
            });
            for (topic, state) in seen.states.iter().filter(|_| always_told) {
                let slot = self.world.hub.topic(topic);
                let now = slot.map_or("down", |slot| slot.head(0).status.state.as_str());
                assert_eq!(state, now, "{topic}");
            }
        }
    }

    /// The accounts, ended ones too, add up to the metrics.
    pub(super) fn reconcile(mut self) {
        for peer in 0..BOUNDS.len() {
            let rows = self.world.client(peer).look().subscriptions();
            self.closed.extend(rows.iter().map(|row| row.ledger));
            self.world.disconnect(peer);
        }
        assert_eq!(self.world.hub.interest().counts(), BTreeMap::new());
        let sum = |of: fn(&Ledger) -> u64| -> [u64; 2] {
            [self.closed.iter().map(of).sum(), self.unsubscribed.iter().map(of).sum()]
        };
        let total = |of| sum(of).iter().sum::<u64>();
        let text = self.world.telemetry.render();
        let counter = |name: &str, label: &str| super::world::counter(&text, name, label);
        assert_eq!(counter("tickwire_offered_total", ""), total(|ledger| ledger.published));
        assert_eq!(counter("tickwire_delivered_total", ""), total(|ledger| ledger.delivered));
        assert_eq!(counter("tickwire_conflated_total", ""), total(|ledger| ledger.conflated));
        assert_eq!(counter("tickwire_filtered_total", ""), total(|ledger| ledger.filtered));
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
