//! A connection that stands: spoken on, listened to and watched.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{self, Message};

use super::{Parts, values::Values};
use crate::{
    market::{Reason, Tick, Topic},
    units::Micros,
    upstream::{
        fetch::FetchError,
        providers::{
            Response,
            body::excerpt,
            stream::{Confirmed, Heard, Marks, StreamProvider},
        },
        stream::{
            connect::{Socket, failure},
            outgoing::Outgoing,
            watchdog::{Due, Watchdog},
        },
    },
};

/// Messages that are read before other tasks get a turn.
const TURN: u32 = 64;

/// Messages in a row that nobody can read, after which a connection is of no use.
const UNREADABLE_MAX: u32 = 16;

/// Texts about what is missing that are remembered, so that each is logged once.
const TOLD_MAX: usize = 256;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(250);

/// What the connections of a line have in common.
pub(super) struct Shared {
    pub(super) parts: Parts,
    pub(super) stale_after: Duration,
    /// What is missing and has been told.
    told: Mutex<BTreeSet<String>>,
}

/// A connection.
pub(super) struct Open {
    socket: Socket,
    provider: Box<dyn StreamProvider>,
    outgoing: Outgoing,
    watchdog: Watchdog,
    values: Values,
    pub(super) since: Instant,
    pub(super) delivers_since: Option<Instant>,
    /// It ends as was foreseen, and another is to follow it.
    pub(super) leaving: bool,
    /// The last reading of each topic and when it came, while another connection still delivers.
    held: Option<HashMap<Topic, (Tick, Micros)>>,
    unreadable: u32,
    turn: u32,
}

/// Why a connection stands no more.
pub(super) enum Down {
    Failed(FetchError),
    /// It was to end.
    Left(&'static str),
}

impl From<FetchError> for Down {
    fn from(failure: FetchError) -> Self {
        Self::Failed(failure)
    }
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        let stale_after = u64::try_from(parts.feed.stale_after()).unwrap_or(0);
        Self { stale_after: Duration::from_micros(stale_after), told: Mutex::default(), parts }
    }

    fn tell_missing(&self, missing: Vec<String>) {
        let mut told = self.told.lock();
        for missing in missing {
            if told.len() < TOLD_MAX && !told.contains(&missing) {
                let feed = self.parts.feed.name();
                tracing::warn!(%feed, missing, "not in the stream");
                told.insert(missing);
            }
        }
    }
}

impl Open {
    /// A connection of number `number` that has just been opened. It holds back what it hears while
    /// it `waits` for another to give way.
    pub(super) fn new(
        shared: &Shared,
        socket: Socket,
        mut provider: Box<dyn StreamProvider>,
        number: u64,
        waits: bool,
    ) -> Self {
        let (since, terms) = (Instant::now(), provider.terms());
        let now = since.into_std();
        Self {
            socket,
            outgoing: Outgoing::new(provider.opened(), terms.gap, now),
            watchdog: Watchdog::new(now, shared.stale_after, terms.lifetime, rand::random()),
            values: Values::new(number),
            since,
            delivers_since: None,
            leaving: false,
            held: waits.then(HashMap::new),
            unreadable: 0,
            turn: 0,
            provider,
        }
    }

    /// It is to be left when another can take over, and in any case in a while.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        self.watchdog.leave(Instant::now().into_std());
    }

    /// Publishes what comes until it stands no more.
    pub(super) async fn until_down(&mut self, shared: &Shared) -> Down {
        loop {
            match self.step(shared).await {
                Ok(_) => {}
                Err(Down::Failed(failure)) if failure.reason == Reason::Connect && self.leaving => {
                    return Down::Left("the venue closed it as it had announced");
                }
                Err(down) => return down,
            }
        }
    }

    /// Publishes from now on what it hears, beginning with what it has held back. What the one before
    /// it, which has read as far as `theirs`, has said already is not said again, nor anything older.
    pub(super) async fn take_over(&mut self, shared: &Shared, theirs: Marks) {
        let Some(held) = self.held.take() else { return };
        let ours = self.provider.marks();
        self.provider.resume(&theirs);
        let last = held.values().map(|(_, rx)| *rx).max();
        let newest = |(tick, rx): &(Tick, Micros)| match ours.get(&tick.topic) {
            Some(own) => theirs.get(&tick.topic).is_none_or(|theirs| own >= theirs),
            // Of what has neither a number nor a time, only the last word is known to be news.
            None => tick.ts.is_some() || Some(*rx) == last,
        };
        let ticks = held.into_values().filter(newest).map(|(tick, _)| tick).collect();
        self.publish(shared, ticks, Confirmed::Nothing, shared.parts.clock.now()).await;
    }

    /// How far it has read.
    pub(super) fn marks(&self) -> Marks {
        self.provider.marks()
    }

    /// Says farewell, whether it is heard or not.
    pub(super) async fn farewell(mut self) {
        drop(timeout(FAREWELL, self.socket.close(None)).await);
    }

    /// Waits for one thing to happen and says whether it brought values: where they are held back,
    /// whether it is ready to take over.
    pub(super) async fn step(&mut self, shared: &Shared) -> Result<bool, Down> {
        self.turn = (self.turn + 1) % TURN;
        if self.turn == 0 {
            yield_now().await;
        }
        let watch = self.watchdog.next();
        let wake = self.outgoing.due().map_or(watch, |due| due.min(watch));
        // Neither may keep the other from its turn, so none comes first.
        let message = tokio::select! {
            message = self.socket.next() => message,
            () = sleep_until(wake.into()) => return self.due(shared).await.map(|()| false),
        };
        match message {
            Some(Ok(Message::Text(text))) => self.hear(shared, text.into()).await,
            Some(Ok(Message::Binary(body))) => self.hear(shared, body).await,
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
    async fn due(&mut self, shared: &Shared) -> Result<(), Down> {
        let now = Instant::now().into_std();
        if let Some(message) = self.outgoing.take(now) {
            let sent =
                timeout(shared.parts.timeout, self.socket.send(Message::text(message))).await;
            let sent = sent.map_err(|_| {
                FetchError::new(Reason::Timeout, "the venue does not take what is sent")
            })?;
            sent.map_err(|error| failure(&error))?;
        }
        match self.watchdog.due(now) {
            None => {}
            Some(Due::Ping) => {
                // While subscriptions wait, there is enough to answer.
                let ping = self.outgoing.is_empty().then(|| self.provider.ping()).flatten();
                if !self.outgoing.extend(ping.into_iter().collect()) {
                    return Err(too_much().into());
                }
            }
            Some(Due::Roll) => self.call_the_roll(shared),
            Some(Due::Old) => return Err(Down::Left("it would soon be too old for the venue")),
            Some(Due::Stalled) => {
                let message = format!("no data for {:?}", self.watchdog.stall_after());
                return Err(FetchError::new(Reason::Timeout, message).into());
            }
        }
        Ok(())
    }

    /// Some venues say nothing of a symbol that they do not know.
    fn call_the_roll(&self, shared: &Shared) {
        if self.held.is_some() {
            return;
        }
        let publisher = shared.parts.publisher.lock();
        let mut missing = Vec::new();
        for topic in self.provider.topics() {
            if !self.values.has(&topic) {
                publisher.lacking(&topic, shared.parts.clock.now());
                missing.push(format!("{topic} has not been heard"));
            }
        }
        drop(publisher);
        shared.tell_missing(missing);
    }

    /// Makes of a message what it means.
    async fn hear(&mut self, shared: &Shared, body: Bytes) -> Result<bool, Down> {
        let rx = shared.parts.clock.now();
        let heard = match self.provider.read(&Response { body, rx }) {
            Ok(heard) => heard,
            Err(error) => {
                self.unreadable += 1;
                if self.unreadable >= UNREADABLE_MAX {
                    return Err(FetchError::new(error.reason, error.message).into());
                }
                shared.parts.feed.metrics().failed(error.reason);
                let message = format!("stream: {}", error.message);
                shared.parts.feed.noted(error.reason, &message, rx);
                return Ok(false);
            }
        };
        self.unreadable = 0;
        if let Some(error) = heard.refused {
            return Err(FetchError::new(error.reason, error.message).into());
        }
        let Heard { ticks, confirmed, missing, send, ignored, closing, .. } = heard;
        shared.parts.metrics.ignored.increment(ignored);
        if !self.outgoing.extend(send) {
            return Err(too_much().into());
        }
        let good = match &mut self.held {
            Some(held) => {
                let data = !ticks.is_empty();
                held.extend(ticks.into_iter().map(|tick| (tick.topic.clone(), (tick, rx))));
                if data {
                    self.watchdog.heard(Instant::now().into_std());
                }
                data && self.outgoing.is_empty()
            }
            None => self.publish(shared, ticks, confirmed, rx).await,
        };
        shared.tell_missing(missing);
        if closing && !self.leaving {
            return Err(Down::Left("the venue is about to close it"));
        }
        Ok(good)
    }

    /// Publishes what was said at `rx`, and says whether there was something good in it.
    async fn publish(
        &mut self,
        shared: &Shared,
        ticks: Vec<Tick>,
        confirmed: Confirmed,
        rx: Micros,
    ) -> bool {
        let Parts { feed, publisher, metrics, .. } = &shared.parts;
        let taken = self.values.take(publisher, ticks, confirmed, rx).await;
        metrics.ignored.increment(taken.passed_over);
        let now = Instant::now();
        if taken.data {
            self.watchdog.heard(now.into_std());
        }
        if taken.good {
            self.delivers_since.get_or_insert(now);
            feed.delivered(rx);
        }
        taken.good
    }
}

fn too_much() -> FetchError {
    FetchError::new(Reason::BadBody, "the venue asks for more than can be said")
}
