//! From the hub's outlets to the clients: shards, one client's queue and account, and the reading
//! side of the hub. Knows no transport: a transport brings a [`SocketWriter`] and drives a
//! [`Subscriber`].

mod account;
mod client;
mod config;
mod dispatch;
mod filter;
mod history;
mod index;
mod ledger;
mod metrics;
mod offer;
mod options;
mod outbox;
mod projection;
mod reader;
mod register;
mod resume;
mod rows;
mod run;
mod shard;
mod stage;
mod subscribe;
mod symbols;
mod tally;
mod turns;
mod unsubscribe;
mod view;

#[cfg(test)]
mod tests;

use std::{
    future::{Future, poll_fn},
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use serde::Serialize;

pub use client::{Flow, SocketWriter};
pub use config::Config;
pub use filter::{Fault, Filter, Filters, Memo, Place, Verdict};
pub use history::{Past, Span};
pub use ledger::Ledger;
pub use metrics::TransportKind;
pub use options::{Options, OptionsView, Shared};
pub use outbox::Bounds;
pub use reader::{Page, Reader, Replayed, SnapshotRow, TopicRow};
pub use rows::{ResumedRow, SubscribeRow, SubscriptionRow, UnsubscribeRow};
pub use subscribe::SubscriptionLimits;
pub use symbols::{FieldRow, SymbolRow};

use crate::{
    hub::Hub,
    protocol::{code::ErrorBody, encoding::Format, params::Subscribe},
    shutdown::{Shutdown, Tasks},
    telemetry::Telemetry,
};
use client::Client;
use index::Touched;
use metrics::Metrics;
use shard::Shard;
use subscribe::Begun;

/// Names of topics that a client subscribes before the others of its shard get their turn.
const NAMES_PER_TURN: usize = 64;

/// The shards, and what every client of them has in common.
#[derive(Debug)]
pub struct Delivery {
    shards: Vec<Arc<Shard>>,
    next: AtomicUsize,
    bounds: Bounds,
    metrics: [Arc<Metrics>; 2],
    sessions: Tasks,
    shared: Arc<Shared>,
    reader: Reader,
}

/// A place on a shard for one client.
#[derive(Debug, Clone)]
pub struct Seat {
    shard: Arc<Shard>,
    bounds: Bounds,
    metrics: Arc<Metrics>,
    sessions: Tasks,
    shared: Arc<Shared>,
}

/// One client's subscriptions and what waits for it. Gone from its shard when dropped; what waits
/// then is lost and counted as such.
#[derive(Debug)]
pub struct Subscriber {
    shard: Arc<Shard>,
    client: Arc<Client>,
    format: Format,
    shared: Arc<Shared>,
}

impl Delivery {
    /// Starts one shard for each outlet of `hub`. `sessions` counts the tasks of their clients.
    ///
    /// # Errors
    /// When a thread or its event loop cannot be had.
    pub fn start(
        config: &Config,
        limits: SubscriptionLimits,
        hub: &Arc<Hub>,
        telemetry: &Telemetry,
        sessions: &Tasks,
        shutdown: &Shutdown,
    ) -> io::Result<Self> {
        let shards = (0..hub.outlets())
            .map(|outlet| {
                let (hub, shutdown) = (hub.clone(), shutdown.clone());
                Shard::start(outlet, hub, limits, config, sessions, shutdown)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            shards,
            next: AtomicUsize::new(0),
            bounds: Bounds { updates: config.queue_updates, bytes: config.queue_bytes.0 },
            metrics: TransportKind::ALL.map(|kind| Arc::new(Metrics::new(telemetry, kind))),
            sessions: sessions.clone(),
            shared: Arc::default(),
            reader: Reader::new(hub.clone()),
        })
    }

    /// The reading side of the hub.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// A place for a client that is reached by `transport`, on the shards in turn.
    pub fn seat(&self, transport: TransportKind) -> Option<Seat> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let shard = self.shards.get(turn % self.shards.len().max(1))?.clone();
        let metrics = self.metrics.get(transport as usize)?.clone();
        let (sessions, shared) = (self.sessions.clone(), self.shared.clone());
        Some(Seat { shard, bounds: self.bounds, metrics, sessions, shared })
    }
}

impl Seat {
    /// Runs the client's task on its shard.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.sessions.spawn_on(name, task, self.shard.handle());
    }

    /// Takes the place, for a client that gets its messages in `format`.
    pub fn take(&self, writer: Arc<dyn SocketWriter>, format: Format, now: Instant) -> Subscriber {
        let metrics = self.metrics.clone();
        let client = Arc::new(Client::new(writer, self.bounds, format, metrics, now));
        self.shard.attach(client.clone());
        Subscriber { shard: self.shard.clone(), client, format, shared: self.shared.clone() }
    }
}

impl Subscriber {
    /// How the client gets its messages.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Checks how something is asked to be delivered.
    ///
    /// # Errors
    /// `bad_request`, `bad_filter` or `filter_too_costly`, with what is wrong.
    pub fn options(&self, asked: &Subscribe) -> Result<Options, ErrorBody> {
        Options::from_request(asked, &self.shared)
    }

    /// Subscribes to what is asked, or replaces the options of what is subscribed, and queues the
    /// answer that `reply` makes of the rows ahead of what follows from them.
    pub fn subscribe(
        &self,
        asked: &Subscribe,
        options: &Options,
        reply: impl FnOnce(&[SubscribeRow]) -> Bytes,
    ) {
        self.client.cork();
        let mut subscribing = Subscribing::new(asked, options);
        while self.take_turn(&mut subscribing) {}
        self.answer(reply(&subscribing.rows));
    }

    /// As [`Subscriber::subscribe`], for whoever is on the client's shard: its other clients get their
    /// turn in between.
    pub async fn subscribe_in_turns(
        &self,
        asked: &Subscribe,
        options: &Options,
        reply: impl FnOnce(&[SubscribeRow]) -> Bytes,
    ) {
        self.client.cork();
        let mut subscribing = Subscribing::new(asked, options);
        while self.take_turn(&mut subscribing) {
            tokio::task::yield_now().await;
        }
        self.answer(reply(&subscribing.rows));
    }

    /// Subscribes to a part, without an answer, and writes to the others whom that brings something.
    /// Tells whether anything is left.
    fn take_turn(&self, subscribing: &mut Subscribing<'_>) -> bool {
        let Subscribing { asked, options, left, begun, rows } = subscribing;
        let (client, resume) = (&self.client, asked.resume.as_ref());
        let mut touched = Vec::new();
        let mut took = |(next, more): (Begun, Touched)| {
            touched.extend(more);
            match next {
                Begun::Whole(row) => {
                    rows.push(row);
                    None
                }
                partly @ Begun::Partly(..) => Some(partly),
            }
        };
        if let Some(before) = begun.take() {
            *begun = took(self.shard.go_on(client, before, options, resume));
        } else {
            let (turn, rest) = left.split_at(turn_of(left).min(left.len()));
            *left = rest;
            for text in turn {
                // A pattern is alone in its turn.
                *begun = took(self.shard.subscribe(client, text, options, resume));
            }
        }
        // The others first: a fault in this one must not keep from them what is theirs.
        let now = Instant::now();
        for client in touched {
            client.flush_apart(now);
        }
        begun.is_some() || !left.is_empty()
    }

    fn answer(&self, answer: Bytes) {
        self.client.uncork(answer);
        self.client.flush(Instant::now());
    }

    /// Ends the subscriptions of `topics`. Nothing of them is written after this returns.
    pub fn unsubscribe(&self, topics: &[String]) -> Vec<UnsubscribeRow> {
        self.shard.unsubscribe(&self.client, topics)
    }

    /// Every subscription with its account at this moment.
    pub fn subscriptions(&self) -> Vec<SubscriptionRow> {
        self.client.look().subscriptions()
    }

    /// Sends a message, ahead of data.
    pub fn say<T: Serialize + ?Sized>(&self, message: &T, now: Instant) {
        self.send(self.format.message(message), now);
    }

    /// Queues an answer or a control frame, ahead of data, and writes what the socket takes.
    pub fn send(&self, frame: Bytes, now: Instant) {
        self.client.control(frame);
        self.client.flush(now);
    }

    /// Sends a ping, which does not count as something said.
    pub fn ping(&self, frame: Bytes, now: Instant) {
        self.client.ping(frame, now);
    }

    /// Writes what waits, as far as the socket takes it.
    pub fn flush(&self, now: Instant) {
        self.client.flush(now);
    }

    /// To be called when the socket has become writable.
    pub fn writable(&self, now: Instant) {
        self.client.writable(now);
    }

    /// How writing goes.
    pub fn flow(&self) -> Flow {
        self.client.flow()
    }

    /// Waits until [`Subscriber::flow`] may have changed in a way that its owner must act on.
    pub async fn woken(&self) {
        poll_fn(|context| self.poll_woken(context)).await;
    }

    /// As [`Subscriber::woken`]. Only one task may wait.
    pub fn poll_woken(&self, context: &mut Context<'_>) -> Poll<()> {
        self.client.poll_woken(context)
    }

    /// Ends all subscriptions. What waits is dropped, but for the rest of a frame that is partly
    /// written; answers and control frames can still be sent.
    pub fn end(&self) {
        self.shard.detach(&self.client);
    }
}

/// A request to subscribe on its way.
struct Subscribing<'a> {
    asked: &'a Subscribe,
    options: &'a Options,
    left: &'a [String],
    /// A pattern of which not every topic has begun.
    begun: Option<Begun>,
    rows: Vec<SubscribeRow>,
}

impl<'a> Subscribing<'a> {
    fn new(asked: &'a Subscribe, options: &'a Options) -> Self {
        let rows = Vec::with_capacity(asked.topics.len());
        Self { asked, options, left: &asked.topics, begun: None, rows }
    }
}

/// How many of `texts` are subscribed in one turn: a pattern is one, since it is held against every
/// topic that there is.
fn turn_of(texts: &[String]) -> usize {
    let is_topic = |text: &&String| !text.contains(['*', '>']);
    texts.iter().take(NAMES_PER_TURN).take_while(is_topic).count().max(1)
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.shard.detach(&self.client);
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
