//! One shard without its thread.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::wire::{Message, Wire};
use crate::{
    delivery::{
        Bounds, Ledger, Options, SubscribeRow, SubscriptionLimits,
        client::{Client, Desk, Flow},
        index::{Index, Now, Touched},
        metrics::{Metrics, TransportKind},
        unsubscribe,
    },
    hub::{Config, Event, Hub, Inbox, Outcome, Trouble},
    market::{Data, Decimal, Reason, Tick, Topic},
    protocol::{
        encoding::Format,
        frame::{Opcode, frame},
        params::{Mode, Resume},
    },
    telemetry::Telemetry,
    units::Micros,
};

/// Updates kept of each topic: few, so that lag reaches past them.
pub(super) const HISTORY: usize = 4;
/// A value is live for this long.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(10);
pub(super) const ROOMY: Bounds = Bounds { updates: 1000, bytes: 1 << 20 };
pub(super) const LIMITS: SubscriptionLimits = SubscriptionLimits { topics: 64, matched_topics: 64 };

/// A hub, the index of its only shard, and the clients.
pub(super) struct World {
    pub(super) hub: Arc<Hub>,
    pub(super) index: Index,
    outlet: Inbox,
    pub(super) telemetry: Telemetry,
    metrics: Arc<Metrics>,
    start: Instant,
    elapsed: Duration,
    peers: Vec<Peer>,
    turns_held: bool,
}

struct Peer {
    client: Arc<Client>,
    wire: Wire,
    answers: u64,
}

pub(super) fn every() -> Options {
    Options { mode: Mode::Every, snapshot: false, status: false, ..Options::default() }
}

pub(super) fn latest() -> Options {
    Options { mode: Mode::Latest, ..every() }
}

pub(super) fn slow(interval: Duration) -> Options {
    Options { interval: Some(interval), ..latest() }
}

pub(super) fn with_snapshot(options: Options) -> Options {
    Options { snapshot: true, ..options }
}

pub(super) fn with_status(options: Options) -> Options {
    Options { status: true, ..options }
}

impl World {
    pub(super) fn new() -> Self {
        let telemetry = Telemetry::new().unwrap();
        let config = Config { history: HISTORY, ..Config::default() };
        let hub = Arc::new(Hub::new(config, 1, Arc::from("e1"), &telemetry));
        Self {
            index: Index::new(0, hub.clone()),
            outlet: hub.open(0).unwrap(),
            hub,
            metrics: Arc::new(Metrics::new(&telemetry, TransportKind::WebSocket)),
            telemetry,
            start: Instant::now(),
            elapsed: Duration::ZERO,
            peers: Vec::new(),
            turns_held: false,
        }
    }

    pub(super) fn now(&self) -> Now {
        let wall = Micros::try_from(self.elapsed.as_micros()).unwrap();
        Now { instant: self.start + self.elapsed, wall }
    }

    /// A client whose socket takes nothing yet.
    pub(super) fn connect(&mut self, bounds: Bounds) -> usize {
        let wire = Wire::default();
        let writer = Arc::new(wire.clone());
        let client = Client::new(
            writer,
            bounds,
            Format::default(),
            self.metrics.clone(),
            self.now().instant,
        );
        let client = Arc::new(client);
        let key = self.index.clients.insert(client.clone());
        client.key.set(u32::try_from(key).unwrap()).unwrap();
        let answers = 0;
        self.peers.push(Peer { client, wire, answers });
        self.peers.len() - 1
    }

    /// A client whose socket takes everything.
    pub(super) fn connect_open(&mut self) -> usize {
        let peer = self.connect(ROOMY);
        self.open(peer);
        peer
    }

    /// A client that comes anew, in the place of one that is gone.
    pub(super) fn reconnect(&mut self, peer: usize, bounds: Bounds) {
        self.disconnect(peer);
        self.connect(bounds);
        self.peers.swap_remove(peer);
    }

    /// Clients that connect from now on are reached by it.
    pub(super) fn by_transport(&mut self, transport: TransportKind) {
        self.metrics = Arc::new(Metrics::new(&self.telemetry, transport));
    }

    /// The client is gone.
    pub(super) fn disconnect(&mut self, peer: usize) {
        let now = self.now();
        unsubscribe::detach(&mut self.index, &self.peers[peer].client, now);
    }

    /// Subscribes and answers, in the order in which a subscriber does.
    pub(super) fn subscribe(&mut self, peer: usize, text: &str, options: &Options) -> SubscribeRow {
        self.resume(peer, text, options, None)
    }

    /// As [`World::subscribe`], from where an earlier connection left off.
    pub(super) fn resume(
        &mut self,
        peer: usize,
        text: &str,
        options: &Options,
        resume: Option<&Resume>,
    ) -> SubscribeRow {
        self.resume_in_turns(peer, text, options, resume, |_| {})
    }

    pub(super) fn unsubscribe(&mut self, peer: usize, text: &str) {
        self.end(peer, &[text.to_owned()]);
    }

    /// As [`World::unsubscribe`], several in one request.
    pub(super) fn end(&mut self, peer: usize, texts: &[String]) {
        let client = self.peers[peer].client.clone();
        let now = self.now();
        let rows = unsubscribe::unsubscribe(&mut self.index, &client, texts, now);
        assert!(rows.iter().all(|row| row.ok));
        self.answer(peer);
    }

    /// Sends an answer; a client's first is number 1.
    pub(super) fn answer(&mut self, peer: usize) {
        let frame = self.next_answer(peer);
        self.send(peer, frame);
    }

    pub(super) fn next_answer(&mut self, peer: usize) -> Bytes {
        let answers = &mut self.peers[peer].answers;
        *answers += 1;
        frame(Opcode::Text, format!(r#"{{"answer":{answers}}}"#).as_bytes())
    }

    pub(super) fn send(&mut self, peer: usize, frame: Bytes) {
        self.peers[peer].client.control(frame);
        self.peers[peer].client.flush(self.now().instant);
    }

    /// Publishes without letting the shard know yet.
    pub(super) fn publish(&mut self, topic: &str, price: u64) -> Outcome {
        let price = Decimal::parse(&price.to_string()).unwrap();
        self.publish_data(topic, Data::new().with("price", price))
    }

    /// As [`World::publish`], any data.
    pub(super) fn publish_data(&mut self, topic: &str, data: Data) -> Outcome {
        let tick = Tick { topic: Topic::parse(topic).unwrap(), data, ts: None };
        let stale_after = Micros::try_from(STALE_AFTER.as_micros()).unwrap();
        self.hub.publish(&tick, &Arc::from("test"), self.now().wall, stale_after)
    }

    /// Publishes different values and dispatches each.
    pub(super) fn publish_and_pump(&mut self, topic: &str, count: u64) {
        for _ in 0..count {
            let seq = self.hub.topic(topic).map_or(0, |slot| slot.head(0).seq);
            assert!(matches!(self.publish(topic, seq + 100), Outcome::Issued(_)));
            self.pump();
        }
    }

    pub(super) fn trouble(&mut self, topic: &str, blocked: bool) {
        let trouble = Trouble { reason: Reason::Timeout, retry_at: None, blocked };
        let topic = Topic::parse(topic).unwrap();
        self.hub.trouble(&topic, &Arc::from("test"), trouble, self.now().wall);
    }

    /// The shard takes one event out of its channel and writes to whom it touches.
    pub(super) fn pump_one(&mut self) -> Option<Event> {
        let event = self.outlet.try_recv().ok()?;
        self.dispatch(std::slice::from_ref(&event));
        Some(event)
    }

    /// The shard takes everything out of its channel, as one batch.
    pub(super) fn pump(&mut self) -> Vec<Event> {
        let events: Vec<_> = std::iter::from_fn(|| self.outlet.try_recv().ok()).collect();
        self.dispatch(&events);
        events
    }

    fn dispatch(&mut self, mut events: &[Event]) {
        let now = self.now();
        while !events.is_empty() {
            events = &events[self.index.dispatch(events, now)..];
            self.take_turns();
        }
    }

    /// The shard's loop is started again: whatever was left of its turns is lost, and what is in the
    /// channel comes twice.
    pub(super) fn recover(&mut self) {
        let now = self.now();
        self.index.recover(&mut Desk::default(), now);
        self.take_turns();
    }

    /// `latest` updates have waited long enough.
    pub(super) fn end_deferral(&mut self) {
        self.index.end_deferral();
        self.take_turns();
    }

    /// While they are held, nobody is served.
    pub(super) fn hold_turns(&mut self, hold: bool) {
        self.turns_held = hold;
        self.take_turns();
    }

    /// The client is offered what it is marked for.
    pub(super) fn settle(&mut self, peer: usize) {
        let now = self.now().instant;
        if let Some(key) = self.peers[peer].client.key.get() {
            self.index.settle(*key, now);
        }
    }

    fn take_turns(&mut self) {
        if self.turns_held {
            // Whoever reads history takes what is new from there as well, as the model has it.
            for peer in 0..self.peers.len() {
                let reads = |client: &Client| {
                    client.look().outbox.views.iter().any(|(_, view)| view.cursor.is_some())
                };
                if reads(&self.peers[peer].client) {
                    self.settle(peer);
                }
            }
            return;
        }
        let (now, mut desk) = (self.now().instant, Desk::default());
        while !self.index.turns.is_empty() {
            self.index.take_turn(&mut desk, now);
        }
    }

    /// The channel is overrun: what is in it is lost, and the shard catches up from history.
    pub(super) fn lag(&mut self) {
        while self.outlet.try_recv().is_ok() {}
        let now = self.now();
        self.index.resync(now);
        self.take_turns();
    }

    pub(super) fn flush(&self, touched: Touched) {
        for client in touched {
            client.flush(self.now().instant);
        }
    }

    /// Time passes. Who waits for a rate is written to when it has come.
    pub(super) fn advance(&mut self, by: Duration) {
        self.elapsed += by;
        self.hub.sweep(self.now().wall);
        for peer in &self.peers {
            if peer.client.flow().next_held.is_some_and(|due| due <= self.now().instant) {
                peer.client.flush(self.now().instant);
            }
        }
    }

    /// The socket takes `bytes` more.
    pub(super) fn grant(&self, peer: usize, bytes: usize) {
        self.peers[peer].wire.allow(bytes);
        self.peers[peer].client.writable(self.now().instant);
    }

    /// The socket takes everything from now on.
    pub(super) fn open(&self, peer: usize) {
        self.peers[peer].wire.allow(usize::MAX);
        self.peers[peer].client.writable(self.now().instant);
        while self.flow(peer).waiting && !self.flow(peer).broken {
            self.peers[peer].client.flush(self.now().instant);
        }
    }

    pub(super) fn wire(&self, peer: usize) -> &Wire {
        &self.peers[peer].wire
    }

    pub(super) fn client(&self, peer: usize) -> &Arc<Client> {
        &self.peers[peer].client
    }

    pub(super) fn flow(&self, peer: usize) -> Flow {
        self.peers[peer].client.flow()
    }

    pub(super) fn messages(&self, peer: usize) -> Vec<Message> {
        self.peers[peer].wire.messages()
    }

    /// What the client has got, in brief, without the answers.
    pub(super) fn got(&self, peer: usize) -> Vec<String> {
        let messages = self.messages(peer);
        let data = messages.iter().filter(|message| message.topic().is_some());
        data.map(Message::brief).collect()
    }

    pub(super) fn ledger(&self, peer: usize, text: &str) -> Ledger {
        let rows = self.peers[peer].client.look().subscriptions();
        let row = rows.into_iter().find(|row| row.topic == text).unwrap();
        assert!(row.ledger.balances(), "{text}: {:?}", row.ledger);
        row.ledger
    }

    pub(super) fn counter(&self, name: &str, label: &str) -> u64 {
        counter(&self.telemetry.render(), name, label)
    }
}

/// A figure out of the metrics' text, over all its labels but for those that do not contain
/// `label`.
pub(super) fn counter(text: &str, name: &str, label: &str) -> u64 {
    let lines = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
            && line.contains(label)
    });
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}
