//! One feed's connection: opened, spoken on, listened to, watched, and opened again.

mod values;

use std::{collections::BTreeSet, mem, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{self, Message};

use self::values::Values;
use super::{
    connect::{Dial, Socket, failure},
    outgoing::Outgoing,
    retry::{Retry, SETTLED},
    watchdog::{Due, Watchdog},
};
use crate::{
    hub::{Transport, Trouble},
    market::Reason,
    units::Micros,
    upstream::{
        clock::Clock,
        feed::Feed,
        fetch::FetchError,
        metrics::StreamMetrics,
        providers::{
            Response,
            body::excerpt,
            stream::{Heard, StreamProvider},
        },
        publish::Publisher,
    },
};

/// Makes a provider anew, at the start and after a panic.
pub type Factory = Box<dyn Fn() -> Result<Box<dyn StreamProvider>, String> + Send>;

/// Messages that are read before other tasks get a turn.
const TURN: u32 = 64;

/// Messages in a row that nobody can read, after which a connection is of no use.
const UNREADABLE_MAX: u32 = 16;

/// Texts about what is missing that are remembered, so that each is logged once.
const TOLD_MAX: usize = 256;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(250);

/// What a line is made of.
pub struct Parts {
    /// Whose line it is.
    pub feed: Arc<Feed>,
    /// The time of messages.
    pub clock: Clock,
    /// What opens it.
    pub dial: Arc<dyn Dial>,
    /// What makes its provider.
    pub factory: Factory,
    /// Where its ticks go.
    pub publisher: Arc<Mutex<Publisher>>,
    /// What it counts.
    pub metrics: StreamMetrics,
    /// Longest that sending a message may take.
    pub timeout: Duration,
}

/// The line of one feed.
pub struct Line {
    parts: Parts,
    stale_after: Duration,
    retry: Retry,
    provider: Option<Box<dyn StreamProvider>>,
    open: Option<Open>,
    opened: u64,
    /// Whether the feed has been told that the stream is down.
    outage: bool,
    told: BTreeSet<String>,
}

/// A connection that stands.
struct Open {
    socket: Socket,
    outgoing: Outgoing,
    watchdog: Watchdog,
    values: Values,
    since: Instant,
    delivers_since: Option<Instant>,
    unreadable: u32,
    turn: u32,
}

/// Why a connection stands no more.
enum Down {
    Failed(FetchError),
    /// It was to end.
    Left(&'static str),
}

impl From<FetchError> for Down {
    fn from(failure: FetchError) -> Self {
        Self::Failed(failure)
    }
}

impl Line {
    /// Connects first at `first`.
    pub fn new(parts: Parts, first: Instant) -> Self {
        let stale_after = u64::try_from(parts.feed.stale_after()).unwrap_or(0);
        Self {
            stale_after: Duration::from_micros(stale_after),
            retry: Retry::new(first.into_std()),
            provider: None,
            open: None,
            opened: 0,
            outage: false,
            told: BTreeSet::new(),
            parts,
        }
    }

    /// Makes everything anew that a panic could have left half-done.
    pub fn begin(&mut self) {
        self.open = None;
        self.parts.metrics.connected.set(0.0);
        self.provider = None;
    }

    /// Connects, as often as it must, until values come.
    pub async fn until_delivers(&mut self) {
        loop {
            let step = match self.open {
                None => self.connect().await.map(|()| false),
                Some(_) => self.step().await,
            };
            match step {
                Ok(false) => {}
                Ok(true) => break,
                Err(down) => {
                    self.lost(down).await;
                }
            }
        }
        self.outage = false;
        let feed = &self.parts.feed;
        tracing::info!(feed = %feed.name(), "the stream delivers");
        feed.comes_by(Transport::Ws);
        feed.recovered(self.parts.clock.now());
    }

    /// Publishes what comes until the connection is lost. Says whether it was a good one, after
    /// which the next may be expected soon.
    pub async fn deliver(&mut self) -> bool {
        loop {
            if let Err(down) = self.step().await {
                return self.lost(down).await;
            }
        }
    }

    /// A panic came out of the loop.
    pub fn panicked(&mut self) {
        self.retry.panicked(Instant::now().into_std(), rand::random());
    }

    /// Says farewell, where there is a connection.
    pub async fn hang_up(&mut self) {
        self.parts.metrics.connected.set(0.0);
        let Some(mut open) = self.open.take() else { return };
        // Whether it is heard or not.
        drop(timeout(FAREWELL, open.socket.close(None)).await);
    }

    /// Opens a connection when the time has come and the budget has what it costs.
    async fn connect(&mut self) -> Result<(), Down> {
        sleep_until(self.retry.due().into()).await;
        let Parts { feed, clock, publisher, .. } = &self.parts;
        if let Some(share) = feed.budget() {
            let (publisher, outage, patience) = (&publisher, &mut self.outage, self.stale_after);
            let mut logged = false;
            let unaffordable = |wait, why: &str| {
                let due = Instant::now() + wait;
                // Where it was down before, nothing else would say so.
                if *outage && !mem::replace(&mut logged, true) {
                    tracing::warn!(feed = %feed.name(), why, "the stream cannot be connected");
                }
                tell_down(feed, publisher, outage, Reason::Budget, why, due, clock.now());
            };
            share.afford(0, clock, patience, unaffordable).await;
        }
        if self.provider.is_none() {
            let made = (self.parts.factory)();
            let provider = made.map_err(|message| FetchError::new(Reason::NoData, message))?;
            self.parts.publisher.lock().declare(provider.topics());
            self.provider = Some(provider);
        }
        let asked = Instant::now();
        let socket = self.parts.dial.dial().await;
        let now = Instant::now();
        feed.metrics().duration.record(now - asked);
        let (socket, Some(provider)) = (socket?, &mut self.provider) else { return Ok(()) };
        feed.metrics().answered(true);
        self.parts.metrics.connected.set(1.0);
        if self.opened > 0 {
            self.parts.metrics.reconnects.increment(1);
        }
        self.opened += 1;
        let (terms, at) = (provider.terms(), now.into_std());
        self.open = Some(Open {
            socket,
            outgoing: Outgoing::new(provider.opened(), terms.gap, at),
            watchdog: Watchdog::new(at, self.stale_after, terms.lifetime, rand::random()),
            values: Values::default(),
            since: now,
            delivers_since: None,
            unreadable: 0,
            turn: 0,
        });
        Ok(())
    }

    /// Waits for one thing to happen and says whether it brought values.
    async fn step(&mut self) -> Result<bool, Down> {
        let Some(open) = &mut self.open else { return Err(Down::Left("there is none")) };
        let watch = open.watchdog.next();
        let wake = open.outgoing.due().map_or(watch, |due| due.min(watch));
        // Neither may keep the other from its turn, so none comes first.
        let message = tokio::select! {
            message = open.socket.next() => message,
            () = sleep_until(wake.into()) => return self.due().await.map(|()| false),
        };
        open.turn = (open.turn + 1) % TURN;
        if open.turn == 0 {
            yield_now().await;
        }
        match message {
            Some(Ok(Message::Text(text))) => self.hear(text.into()).await,
            Some(Ok(Message::Binary(body))) => self.hear(body).await,
            Some(Ok(Message::Close(frame))) => {
                let why = frame.map_or_else(String::new, |frame| {
                    format!(": {} {}", u16::from(frame.code), excerpt(&frame.reason))
                });
                let message = format!("the venue closed the connection{why}");
                Err(FetchError::new(Reason::Connect, message).into())
            }
            // tungstenite answers pings.
            Some(Ok(_)) => Ok(false),
            Some(Err(error)) => Err(failure(&error).into()),
            None => Err(failure(&tungstenite::Error::ConnectionClosed).into()),
        }
    }

    /// Does what is due now.
    async fn due(&mut self) -> Result<(), Down> {
        let (Some(open), Some(provider)) = (&mut self.open, &mut self.provider) else {
            return Ok(());
        };
        let now = Instant::now().into_std();
        if let Some(message) = open.outgoing.take(now) {
            let sent = timeout(self.parts.timeout, open.socket.send(Message::text(message))).await;
            let sent = sent.map_err(|_| {
                FetchError::new(Reason::Timeout, "the venue does not take what is sent")
            })?;
            sent.map_err(|error| failure(&error))?;
        }
        match open.watchdog.due(now) {
            None => {}
            Some(Due::Ping) => {
                // While subscriptions wait, there is enough to answer.
                let ping = open.outgoing.is_empty().then(|| provider.ping()).flatten();
                if !open.outgoing.extend(ping.into_iter().collect()) {
                    return Err(too_much().into());
                }
            }
            Some(Due::Roll) => self.call_the_roll(),
            Some(Due::Old) => return Err(Down::Left("it would soon be too old for the venue")),
            Some(Due::Stalled) => {
                let message = format!("no data for {:?}", open.watchdog.stall_after());
                return Err(FetchError::new(Reason::Timeout, message).into());
            }
        }
        Ok(())
    }

    /// Some venues say nothing of a symbol that they do not know.
    fn call_the_roll(&mut self) {
        let (Some(open), Some(provider)) = (&self.open, &self.provider) else { return };
        let publisher = self.parts.publisher.lock();
        let mut missing = Vec::new();
        for topic in provider.topics() {
            if !open.values.has(&topic) {
                publisher.lacking(&topic, self.parts.clock.now());
                missing.push(format!("{topic} has not been heard"));
            }
        }
        drop(publisher);
        self.tell_missing(missing);
    }

    fn tell_missing(&mut self, missing: Vec<String>) {
        for missing in missing {
            if self.told.len() < TOLD_MAX && !self.told.contains(&missing) {
                let feed = self.parts.feed.name();
                tracing::warn!(%feed, missing, "not in the stream");
                self.told.insert(missing);
            }
        }
    }

    /// Makes of a message what it means.
    async fn hear(&mut self, body: Bytes) -> Result<bool, Down> {
        let (Some(open), Some(provider)) = (&mut self.open, &mut self.provider) else {
            return Ok(false);
        };
        let rx = self.parts.clock.now();
        let heard = match provider.read(&Response { body, rx }) {
            Ok(heard) => heard,
            Err(error) => {
                open.unreadable += 1;
                if open.unreadable >= UNREADABLE_MAX {
                    return Err(FetchError::new(error.reason, error.message).into());
                }
                self.parts.feed.metrics().failed(error.reason);
                let message = format!("stream: {}", error.message);
                self.parts.feed.noted(error.reason, &message, rx);
                return Ok(false);
            }
        };
        open.unreadable = 0;
        if let Some(error) = heard.refused {
            return Err(FetchError::new(error.reason, error.message).into());
        }
        let Heard { ticks, confirmed, missing, send, ignored, closing, .. } = heard;
        self.parts.metrics.ignored.increment(ignored);
        if !open.outgoing.extend(send) {
            return Err(too_much().into());
        }
        let taken = open.values.take(&self.parts.publisher, ticks, confirmed, rx).await;
        let now = Instant::now();
        if taken.data {
            open.watchdog.heard(now.into_std());
        }
        if taken.good {
            open.delivers_since.get_or_insert(now);
            self.parts.feed.delivered(rx);
        }
        self.tell_missing(missing);
        if closing {
            return Err(Down::Left("the venue is about to close it"));
        }
        Ok(taken.good)
    }

    /// Draws the conclusions from the end of a connection, or from there being none. Says whether
    /// it had been a good one.
    async fn lost(&mut self, down: Down) -> bool {
        let (now, wall) = (Instant::now(), self.parts.clock.now());
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| now - at);
        let delivered = since(self.open.as_ref().and_then(|open| open.delivers_since));
        let stood = since(self.open.as_ref().map(|open| open.since));
        let Parts { feed, publisher, .. } = &self.parts;
        let mut good = delivered >= SETTLED;
        match down {
            Down::Left(why) => {
                tracing::info!(feed = %feed.name(), why, "the stream is left for a new one");
                good |= self.retry.left(now.into_std(), stood, rand::random());
            }
            Down::Failed(failure) => {
                let wait = failure.retry_after;
                self.retry.failed(now.into_std(), delivered, wait, rand::random());
                if let (Some(wait), Some(share)) = (wait, feed.budget()) {
                    share.hold((now + wait).into_std());
                }
                let message = format!("stream: {}", failure.message);
                feed.metrics().failed(failure.reason);
                let due = self.retry.due().into();
                let outage = &mut self.outage;
                tell_down(feed, publisher, outage, failure.reason, &message, due, wall);
            }
        }
        self.hang_up().await;
        good
    }
}

/// Tells that the stream is down until `due` at least. While it is an `outage` already, polls may
/// deliver: it is only noted then.
fn tell_down(
    feed: &Feed,
    publisher: &Mutex<Publisher>,
    outage: &mut bool,
    reason: Reason,
    message: &str,
    due: Instant,
    now: Micros,
) {
    if mem::replace(outage, true) {
        feed.noted(reason, message, now);
        return;
    }
    let retry_at = Some(feed.expected(due));
    feed.failed(reason, message, now);
    publisher.lock().trouble(Trouble { reason, retry_at, blocked: false }, now);
}

fn too_much() -> FetchError {
    FetchError::new(Reason::BadBody, "the venue asks for more than can be said")
}
