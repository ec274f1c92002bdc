//! How one feed is: kept by its task, read by readiness and reports, told as `status.<feed>`.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{budget::Share, clock::Clock, metrics::Metrics};
use crate::{
    hub::{ErrorReport, FeedReport, Hub, Transport},
    market::{Breaker, Data, Reason, Source, State, Tick, Topic},
    units::{Micros, Span},
};

/// How often an unchanged status is told again.
const STATUS_EVERY: Micros = 10 * 1_000_000;

/// What of a feed never changes.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The `<source>` in topics and messages.
    pub name: Source,
    /// Its topic `status.<name>`.
    pub status: Topic,
    /// The name of its provider.
    pub provider: &'static str,
    /// Whether readiness waits for it.
    pub required: bool,
    /// Time between polls.
    pub interval: Duration,
    /// How it gets its values first; none for what is pushed or made in the process.
    pub transport: Option<Transport>,
    /// Age at which its topics are stale.
    pub stale_after: Micros,
}

impl Identity {
    /// Time between polls while its values come by `transport`: a stream is not polled.
    fn interval_by(&self, transport: Option<Transport>) -> Duration {
        if transport == Some(Transport::Ws) { Duration::ZERO } else { self.interval }
    }
}

/// One feed.
pub struct Feed {
    identity: Identity,
    hub: Arc<Hub>,
    clock: Clock,
    budget: Option<Share>,
    metrics: Metrics,
    started: Micros,
    inner: Mutex<Inner>,
}

struct Inner {
    last_success: Option<Micros>,
    next_due: Option<Micros>,
    interval: Duration,
    transport: Option<Transport>,
    breaker: Breaker,
    /// Nobody subscribes, and it has not been asked since.
    paused: bool,
    failing: Option<Failing>,
    last_error: Option<ErrorReport>,
    /// How many of its prices do not count because they lie far from what others say.
    outliers: u32,
    told: Option<(Status, Micros)>,
}

#[derive(Clone, Copy)]
struct Failing {
    reason: Reason,
    failures: u32,
}

/// What is told at once when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Status {
    state: State,
    breaker: Breaker,
    reason: Option<Reason>,
}

impl Feed {
    /// A feed that has not delivered yet.
    pub fn new(
        identity: Identity,
        hub: Arc<Hub>,
        clock: Clock,
        budget: Option<Share>,
        metrics: Metrics,
    ) -> Self {
        let inner = Inner {
            last_success: None,
            next_due: None,
            interval: identity.interval_by(identity.transport),
            transport: identity.transport,
            breaker: Breaker::Closed,
            paused: false,
            failing: None,
            last_error: None,
            outliers: 0,
            told: None,
        };
        Self {
            started: clock.now(),
            identity,
            hub,
            clock,
            budget,
            metrics,
            inner: Mutex::new(inner),
        }
    }

    /// The feed's name.
    pub fn name(&self) -> &Source {
        &self.identity.name
    }

    /// Age at which its topics are stale.
    pub fn stale_after(&self) -> Micros {
        self.identity.stale_after
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Its part in a budget, where it has one.
    pub fn budget(&self) -> Option<&Share> {
        self.budget.as_ref()
    }

    /// It delivered a value at `now`.
    pub fn delivered(&self, now: Micros) {
        let mut inner = self.inner.lock();
        inner.last_success = Some(now);
        inner.paused = false;
    }

    /// Nobody wants it: it rests until it has been asked again.
    pub fn paused(&self, now: Micros) {
        let mut inner = self.inner.lock();
        tracing::debug!(feed = %self.name(), "nobody subscribes: not polled");
        inner.paused = true;
        inner.next_due = None;
        self.tell_changed(&mut inner, now);
    }

    /// Nothing is wrong any more.
    pub fn recovered(&self, now: Micros) {
        let mut inner = self.inner.lock();
        if let Some(failing) = inner.failing.take() {
            let failures = failing.failures;
            tracing::info!(feed = %self.name(), failures, "feed recovered");
        }
        self.tell_changed(&mut inner, now);
    }

    /// Something went wrong. Logged only where all was well before.
    pub fn failed(&self, reason: Reason, message: &str, now: Micros) {
        let mut inner = self.inner.lock();
        let failures = inner.failing.map_or(0, |failing| failing.failures);
        if failures == 0 {
            let reason = reason.as_str();
            tracing::warn!(feed = %self.name(), reason, error = message, "feed fails");
        }
        inner.paused = false;
        inner.failing = Some(Failing { reason, failures: failures.saturating_add(1) });
        inner.last_error = Some(ErrorReport { reason, at: now, message: message.to_owned() });
        self.tell_changed(&mut inner, now);
    }

    /// One of its prices does not count any more: others say something else. It delivers all the
    /// same, so that nothing else about it changes.
    pub fn outlier(&self, message: &str, now: Micros) {
        let reason = "outlier";
        tracing::warn!(feed = %self.name(), reason, error = message, "left out; more is counted");
        let mut inner = self.inner.lock();
        inner.outliers = inner.outliers.saturating_add(1);
        let (reason, message) = (Reason::Quarantined, message.to_owned());
        inner.last_error = Some(ErrorReport { reason, at: now, message });
        self.tell_changed(&mut inner, now);
    }

    /// The price of `topic` counts again, or is not there any more.
    pub fn outlier_over(&self, topic: &Topic, now: Micros) {
        tracing::info!(feed = %self.name(), %topic, "not left out any more");
        let mut inner = self.inner.lock();
        inner.outliers = inner.outliers.saturating_sub(1);
        self.tell_changed(&mut inner, now);
    }

    /// Something went wrong that is known to be wrong already, or that nobody has to miss.
    pub fn noted(&self, reason: Reason, message: &str, now: Micros) {
        let message = message.to_owned();
        self.inner.lock().last_error = Some(ErrorReport { reason, at: now, message });
    }

    /// From now on its values come by `transport`. A stream is not asked: it has no interval.
    pub fn comes_by(&self, transport: Transport) {
        let mut inner = self.inner.lock();
        inner.transport = Some(transport);
        inner.next_due = None;
        inner.interval = self.identity.interval_by(Some(transport));
    }

    /// The breaker's state; logged when it opens after having been closed.
    pub fn breaker(&self, state: Breaker, now: Micros) {
        let mut inner = self.inner.lock();
        if inner.breaker == state {
            return;
        }
        if inner.breaker == Breaker::Closed {
            tracing::warn!(feed = %self.name(), "breaker opens: requests are held back");
        }
        inner.breaker = state;
        self.metrics.breaker(state);
        self.tell_changed(&mut inner, now);
    }

    /// The next poll comes at `due`; `interval` is the time between polls now in force. Returns
    /// `due` on the wall clock.
    pub fn scheduled(&self, due: Instant, interval: Duration) -> Micros {
        self.inner.lock().interval = interval;
        self.expected(due)
    }

    /// The next attempt, of whatever kind, comes at `due`. Returns that on the wall clock.
    pub fn expected(&self, due: Instant) -> Micros {
        let wait = due.saturating_duration_since(Instant::now());
        let due = self.clock.now().saturating_add(Span(wait).as_us());
        self.inner.lock().next_due = Some(due);
        due
    }

    /// Lets time pass: ages are measured, and what has changed with time is told.
    pub fn sweep(&self, now: Micros) {
        let mut inner = self.inner.lock();
        let since = inner.last_success.unwrap_or(self.started);
        let age_us = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
        self.metrics.age(Duration::from_micros(age_us).as_secs_f64());
        let due = inner.told.is_none_or(|(_, at)| now.saturating_sub(at) >= STATUS_EVERY);
        if due {
            self.tell(&mut inner, now);
        } else {
            self.tell_changed(&mut inner, now);
        }
    }

    fn tell_changed(&self, inner: &mut Inner, now: Micros) {
        let status = inner.status(now, self.identity.stale_after);
        if inner.told.is_none_or(|(told, _)| told != status) {
            self.tell(inner, now);
        }
    }

    /// Publishes `status.<feed>`, under the feed's lock so that statuses cannot overtake one
    /// another.
    fn tell(&self, inner: &mut Inner, now: Micros) {
        let status = inner.status(now, self.identity.stale_after);
        inner.told = Some((status, now));
        let retry_at = inner.next_due.filter(|_| inner.failing.is_some());
        let remaining = self.budget.as_ref().map(|share| {
            let report = share.report(Instant::now().into_std(), now);
            i64::try_from(report.remaining).unwrap_or(i64::MAX)
        });
        let age_ms = inner.age_ms(now);
        let data = Data::new()
            .with("state", status.state.as_str())
            .with_opt("age_ms", age_ms.and_then(|age| i64::try_from(age).ok()))
            .with_opt("reason", status.reason.map(Reason::as_str))
            .with_opt("retry_at", retry_at)
            .with("breaker", status.breaker.as_str())
            .with_opt("budget_remaining", remaining);
        let tick = Tick { topic: self.identity.status.clone(), data, ts: Some(now) };
        self.hub.publish(&tick, &self.identity.name, now, 3 * STATUS_EVERY);
    }

    /// The feed as it is reported.
    pub fn report(&self, now: Micros) -> FeedReport {
        let inner = self.inner.lock();
        FeedReport {
            name: self.identity.name.to_string(),
            provider: self.identity.provider.to_owned(),
            transport: inner.transport,
            state: inner.state(now, self.identity.stale_after),
            required: self.identity.required,
            paused: inner.paused,
            last_success: inner.last_success,
            age_ms: inner.age_ms(now),
            next_due: inner.next_due,
            interval_ms: Span(inner.interval).as_ms(),
            breaker: inner.breaker,
            budget: self.budget.as_ref().map(|share| share.report(Instant::now().into_std(), now)),
            last_error: inner.last_error.clone(),
        }
    }
}

impl Inner {
    fn state(&self, now: Micros, stale_after: Micros) -> State {
        let Some(last) = self.last_success else {
            return State::Down;
        };
        let age = now.saturating_sub(last);
        // Half-open is still a doubt: only a success closes it.
        if self.breaker != Breaker::Closed || age >= stale_after.saturating_mul(3) {
            State::Down
        } else if age >= stale_after {
            State::Stale
        } else {
            State::Live
        }
    }

    fn status(&self, now: Micros, stale_after: Micros) -> Status {
        let state = self.state(now, stale_after);
        let reason = match (self.failing, state) {
            _ if self.paused => Some(Reason::Paused),
            (Some(failing), _) => Some(failing.reason),
            (None, _) if self.outliers > 0 => Some(Reason::Quarantined),
            (None, State::Live) => None,
            (None, State::Stale | State::Down) => Some(Reason::NoData),
        };
        Status { state, breaker: self.breaker, reason }
    }

    fn age_ms(&self, now: Micros) -> Option<u64> {
        let age = now.saturating_sub(self.last_success?);
        Some(u64::try_from(age / 1000).unwrap_or(0))
    }
}
