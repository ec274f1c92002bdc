//! One feed's connections: opened, listened to, renewed and opened again.

mod open;
mod values;

use std::{mem, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use self::open::{Down, Open, Shared};
use super::{
    connect::Dial,
    retry::{Retry, SETTLED},
};
use crate::{
    hub::{Transport, Trouble},
    market::Reason,
    units::Micros,
    upstream::{
        clock::Clock, feed::Feed, fetch::FetchError, metrics::StreamMetrics,
        providers::stream::StreamProvider, publish::Publisher,
    },
};

/// Makes a provider anew, at the start and after a panic.
pub type Factory = Box<dyn Fn() -> Result<Box<dyn StreamProvider>, String> + Send + Sync>;

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
    shared: Shared,
    dialler: Dialler,
    open: Option<Open>,
    /// What is to follow `open`, while that is left.
    next: Option<Open>,
    /// Whether the feed has been told that the stream is down.
    outage: bool,
}

/// Opens connections, one after the other.
struct Dialler {
    retry: Retry,
    opened: u64,
}

impl Line {
    /// Connects first at `first`.
    pub fn new(parts: Parts, first: Instant) -> Self {
        Self {
            shared: Shared::new(parts),
            dialler: Dialler { retry: Retry::new(first.into_std()), opened: 0 },
            open: None,
            next: None,
            outage: false,
        }
    }

    /// Makes everything anew that a panic could have left half-done.
    pub fn begin(&mut self) {
        (self.open, self.next) = (None, None);
        self.shared.parts.metrics.connected.set(0.0);
    }

    /// Connects, as often as it must, until values come.
    pub async fn until_delivers(&mut self) {
        loop {
            let step = match &mut self.open {
                None => {
                    let opened = self.dialler.connect(&self.shared, &mut self.outage, false).await;
                    opened.map(|open| self.open = Some(open)).map(|()| false)
                }
                Some(open) => open.step(&self.shared).await,
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
        let Parts { feed, clock, .. } = &self.shared.parts;
        tracing::info!(feed = %feed.name(), "the stream delivers");
        feed.comes_by(Transport::Ws);
        feed.recovered(clock.now());
    }

    /// Publishes what comes until the connection is lost; one that only grows old is followed by
    /// another without a break. Says whether it was a good one, after which the next may be expected
    /// soon.
    pub async fn deliver(&mut self) -> bool {
        loop {
            let Some(open) = &mut self.open else { return false };
            let down = match open.until_down(&self.shared).await {
                Down::Left(why) => match self.renew(why).await {
                    Ok(()) => continue,
                    Err(down) => down,
                },
                down @ Down::Failed(_) => down,
            };
            return self.lost(down).await;
        }
    }

    /// Opens another connection while this one still delivers, and lets it take over when it has
    /// subscribed and brings data. One that does not is opened again, with back-off, for as long as
    /// this one lasts.
    ///
    /// # Errors
    /// Why this one ended before the other was ready.
    async fn renew(&mut self, why: &'static str) -> Result<(), Down> {
        let Self { shared, dialler, open, next, .. } = self;
        let Some(old) = open else { return Err(Down::Left(why)) };
        let name = shared.parts.feed.name();
        tracing::info!(feed = %name, why, "the stream is left for a new one");
        let now = Instant::now();
        dialler.retry.left(now.into_std(), now - old.since, rand::random());
        old.leave();
        tokio::select! {
            // What has come by the old one goes out before the new one takes over.
            biased;
            down = old.until_down(shared) => return Err(down),
            () = dialler.succeed(shared, next) => {}
        }
        let Some(mut new) = next.take() else { return Ok(()) };
        new.take_over(shared, old.marks()).await;
        tracing::info!(feed = %name, "the new stream has taken over");
        if let Some(old) = open.replace(new) {
            old.farewell().await;
        }
        Ok(())
    }

    /// A panic came out of the loop.
    pub fn panicked(&mut self) {
        self.dialler.retry.panicked(Instant::now().into_std(), rand::random());
    }

    /// Says farewell, where there is a connection.
    pub async fn hang_up(&mut self) {
        self.shared.parts.metrics.connected.set(0.0);
        for open in [self.open.take(), self.next.take()].into_iter().flatten() {
            open.farewell().await;
        }
    }

    /// Draws the conclusions from the end of a connection, or from there being none. Says whether
    /// it had been a good one. One that was to follow it, though it is not ready, does so now.
    async fn lost(&mut self, down: Down) -> bool {
        let (now, old) = (Instant::now(), self.open.take());
        let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| now - at);
        let delivered = since(old.as_ref().and_then(|open| open.delivers_since));
        let mut good = delivered >= SETTLED;
        match down {
            // The next is on its way already.
            Down::Left(why) if old.as_ref().is_some_and(|open| open.leaving) => {
                let feed = self.shared.parts.feed.name();
                tracing::info!(%feed, why, "the stream ends before there is a new one");
                good |= self.next.is_some();
            }
            Down::Left(why) => {
                let feed = self.shared.parts.feed.name();
                tracing::info!(%feed, why, "the stream is left for a new one");
                let stood = since(old.as_ref().map(|open| open.since));
                good |= self.dialler.retry.left(now.into_std(), stood, rand::random());
            }
            Down::Failed(failure) => {
                let message = self.dialler.failed(&self.shared, &failure, delivered);
                let Parts { feed, publisher, clock, .. } = &self.shared.parts;
                let (due, wall) = (self.dialler.retry.due().into(), clock.now());
                let outage = &mut self.outage;
                tell_down(feed, publisher, outage, failure.reason, &message, due, wall);
            }
        }
        self.open = self.next.take();
        self.shared.parts.metrics.connected.set(if self.open.is_some() { 1.0 } else { 0.0 });
        if let Some(old) = old {
            if let Some(open) = &mut self.open {
                open.take_over(&self.shared, old.marks()).await;
            }
            old.farewell().await;
        }
        good
    }
}

impl Dialler {
    /// Opens a connection when the time has come and the budget has what it costs. It `waits` for
    /// another to give way.
    async fn connect(
        &mut self,
        shared: &Shared,
        outage: &mut bool,
        waits: bool,
    ) -> Result<Open, Down> {
        sleep_until(self.retry.due().into()).await;
        self.afford(shared, outage).await;
        let Parts { feed, publisher, metrics, .. } = &shared.parts;
        let made = (shared.parts.factory)();
        let provider = made.map_err(|message| FetchError::new(Reason::NoData, message))?;
        publisher.lock().declare(provider.topics());
        let asked = Instant::now();
        let socket = shared.parts.dial.dial().await;
        feed.metrics().duration.record(asked.elapsed());
        let socket = socket?;
        feed.metrics().answered(true);
        metrics.connected.set(1.0);
        if self.opened > 0 {
            metrics.reconnects.increment(1);
        }
        self.opened += 1;
        Ok(Open::new(shared, socket, provider, self.opened, waits))
    }

    async fn afford(&self, shared: &Shared, outage: &mut bool) {
        let Parts { feed, clock, publisher, .. } = &shared.parts;
        let Some(share) = feed.budget() else { return };
        let mut logged = false;
        let unaffordable = |wait, why: &str| {
            // Where it was down before, nothing else would say so.
            if *outage && !mem::replace(&mut logged, true) {
                tracing::warn!(feed = %feed.name(), why, "the stream cannot be connected");
            }
            let due = Instant::now() + wait;
            tell_down(feed, publisher, outage, Reason::Budget, why, due, clock.now());
        };
        share.afford(0, clock, shared.stale_after, unaffordable).await;
    }

    /// Sees to it that `next` is a connection that brings data.
    async fn succeed(&mut self, shared: &Shared, next: &mut Option<Open>) {
        loop {
            let (down, stood) = match next {
                // The one that is to be followed delivers: there is no outage to be told.
                None => match self.connect(shared, &mut true, true).await {
                    Ok(open) => {
                        *next = Some(open);
                        continue;
                    }
                    Err(down) => (down, Duration::ZERO),
                },
                Some(open) => match open.step(shared).await {
                    Ok(true) => return,
                    Ok(false) => continue,
                    Err(down) => (down, open.since.elapsed()),
                },
            };
            *next = None;
            match down {
                Down::Left(_) => {
                    self.retry.left(Instant::now().into_std(), stood, rand::random());
                }
                Down::Failed(failure) => {
                    let message = self.failed(shared, &failure, Duration::ZERO);
                    let Parts { feed, clock, .. } = &shared.parts;
                    tracing::warn!(feed = %feed.name(), error = message, "no new stream yet");
                    feed.noted(failure.reason, &message, clock.now());
                }
            }
        }
    }

    /// An attempt or a connection that had `delivered` for a while failed. Returns what to say.
    fn failed(&mut self, shared: &Shared, failure: &FetchError, delivered: Duration) -> String {
        let now = Instant::now();
        let (wait, feed) = (failure.retry_after, &shared.parts.feed);
        self.retry.failed(now.into_std(), delivered, wait, rand::random());
        if let (Some(wait), Some(share)) = (wait, feed.budget()) {
            share.hold((now + wait).into_std());
        }
        feed.metrics().failed(failure.reason);
        format!("stream: {}", failure.message)
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
