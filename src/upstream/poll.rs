//! The poll loop, one for every provider: due, breaker, budget, fetch, decode, validate, publish.

pub(super) mod report;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use self::report::{Report, decode, ends_poll, log_missing, prepare};
use super::{
    clock::Clock,
    demand::Demand,
    feed::Feed,
    fetch::{Answer, Fetch, FetchError},
    pace::Pace,
    providers::{Batch, Provider, Request, Response},
    publish::Publisher,
    remember::Remembered,
    supervise::Work,
};
use crate::{
    hub::Trouble,
    market::{Breaker, Reason},
    units::Micros,
};

/// Makes a provider anew, at the start and after a panic.
pub type Factory = Box<dyn Fn() -> Result<Box<dyn Provider>, String> + Send>;

/// One feed's polling.
pub struct Poll {
    feed: Arc<Feed>,
    clock: Clock,
    fetch: Arc<dyn Fetch>,
    factory: Factory,
    publisher: Arc<Mutex<Publisher>>,
    demand: Option<Demand>,
    pace: Pace,
    interval: Duration,
    remembered: Remembered,
    /// What the last poll lacked, so that it is logged when it changes.
    missing: Vec<String>,
}

impl Poll {
    /// Polls each `interval`, first at `first`.
    pub fn new(
        feed: Arc<Feed>,
        clock: Clock,
        fetch: Arc<dyn Fetch>,
        factory: Factory,
        publisher: Arc<Mutex<Publisher>>,
        interval: Duration,
        first: Instant,
    ) -> Self {
        let stale_after = u64::try_from(feed.stale_after()).unwrap_or(0);
        let stale_after = Duration::from_micros(stale_after);
        Self {
            pace: Pace::new(interval, stale_after, first.into_std()),
            feed,
            clock,
            fetch,
            factory,
            publisher,
            demand: None,
            interval,
            remembered: Remembered::default(),
            missing: Vec::new(),
        }
    }

    /// Nothing is polled before `until`.
    pub fn hold(&mut self, until: Instant) {
        self.pace.hold(until.into_std());
    }

    /// What it polls for comes in another way from now on, perhaps in the middle of a poll.
    pub fn relieved(&mut self) {
        let next = self.after_this();
        self.pace.relieved();
        self.pace.hold(next);
        self.feed.breaker(self.pace.breaker(), self.clock.now());
    }

    /// What goes on beside it panicked with `message`, perhaps in the middle of a poll.
    pub fn interrupted(&mut self, message: &str) {
        let next = self.after_this();
        self.panicked(message);
        self.pace.hold(next);
    }

    /// When the poll after one that may be broken off now would be due.
    fn after_this(&self) -> std::time::Instant {
        let due = self.pace.due();
        if due > Instant::now().into_std() { due } else { due + self.interval }
    }

    /// Polls only while somebody wants it.
    pub fn on_demand(self, demand: Demand) -> Self {
        Self { demand: Some(demand), ..self }
    }

    /// Polls less often while answers say nothing new.
    pub fn adaptive(self) -> Self {
        Self { pace: self.pace.adaptive(), ..self }
    }

    /// A new provider; one that cannot be made is tried again as a failing upstream is.
    async fn provider(&mut self) -> Box<dyn Provider> {
        loop {
            match (self.factory)() {
                Ok(provider) => return provider,
                Err(message) => {
                    self.failed(&FetchError::new(Reason::NoData, message));
                    self.until_due().await;
                }
            }
        }
    }

    /// Waits until a poll is due, is wanted, and the breaker lets it through.
    async fn until_due(&mut self) {
        loop {
            let due = self.pace.due().into();
            match &mut self.demand {
                None => sleep_until(due).await,
                Some(demand) => {
                    let topics = self.publisher.lock().wanted();
                    demand.sleep_until(due, &topics).await;
                    if demand.is_gone() {
                        let now = self.clock.now();
                        self.feed.paused(now);
                        // What the breaker holds down stays down: nothing has been heard.
                        let blocked = self.pace.breaker() == Breaker::Open;
                        let paused = Trouble { blocked, ..Trouble::PAUSED };
                        self.publisher.lock().trouble(paused, now);
                        demand.come(&topics).await;
                        self.pace.at_once(Instant::now().into_std());
                    }
                }
            }
            if self.pace.allow(Instant::now().into_std()) {
                break;
            }
        }
        self.feed.breaker(self.pace.breaker(), self.clock.now());
    }

    /// Makes all requests of one poll.
    async fn poll(&mut self, provider: &mut dyn Provider, prepared: bool) -> Report {
        let requests = if prepared { provider.requests() } else { provider.preparation() };
        self.remembered.keep(&requests);
        let mut report = Report::default();
        for request in &requests {
            if !self.afford(request).await {
                report.unwanted = true;
                break;
            }
            let answer = self.ask(request).await;
            let taken = match answer {
                Ok((answer, rx)) if prepared => self.take(provider, request, answer, rx),
                Ok((answer, rx)) => prepare(provider, request, answer, rx)
                    .inspect(|_| self.feed.metrics().answered(true)),
                Err(failure) => Err(failure),
            };
            match taken {
                Ok(part) => report.add(part),
                Err(failure) => {
                    self.feed.metrics().failed(failure.reason);
                    let over = ends_poll(failure.reason);
                    report.failure = Some(failure);
                    if over {
                        break;
                    }
                }
            }
        }
        report
    }

    /// Waits until the budget has what `request` costs, and takes it; not where nobody wants the
    /// feed any more by then.
    async fn afford(&mut self, request: &Request) -> bool {
        let Some(share) = self.feed.budget().cloned() else {
            return true;
        };
        let (feed, clock, publisher) = (&self.feed, &self.clock, &self.publisher);
        let (breaker, interval) = (self.pace.breaker(), self.pace.in_force());
        let unaffordable = |wait, why: &str| {
            let now = clock.now();
            let retry_at = feed.scheduled(Instant::now() + wait, interval);
            feed.failed(Reason::Budget, why, now);
            publisher.lock().trouble(unconfirmed(breaker, Reason::Budget, retry_at), now);
        };
        let afforded = share.afford(request.weight, clock, self.interval, unaffordable);
        let Some(demand) = &mut self.demand else {
            afforded.await;
            return true;
        };
        let topics = publisher.lock().wanted();
        tokio::select! {
            biased;
            () = afforded => true,
            () = demand.gone(&topics) => false,
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<(Answer, Micros), FetchError> {
        let sent = Instant::now();
        let fetch = self.fetch.clone();
        let known = self.remembered.validators(request);
        let fetched = fetch.fetch(request, known).await;
        self.feed.metrics().duration.record(sent.elapsed());
        let rx = self.clock.now();
        let used = match &fetched {
            Ok(answer) => answer.used,
            Err(error) => error.used,
        };
        if let (Some(share), Some(used)) = (self.feed.budget(), used) {
            share.observe_used(used, Instant::now().into_std());
        }
        fetched.map(|answer| (answer, rx))
    }

    /// Decodes and publishes an answer.
    fn take(
        &mut self,
        provider: &mut dyn Provider,
        request: &Request,
        answer: Answer,
        rx: Micros,
    ) -> Result<Report, FetchError> {
        let modified = answer.body.is_some();
        let batch = match answer.body {
            Some(body) => {
                let response = Response { body, rx };
                let batch = decode(&response, |response| provider.decode(request, response))?;
                self.remembered.remember(request, answer.validators, &batch);
                batch
            }
            None => {
                let held = self.remembered.held(request).ok_or_else(|| {
                    let message = "unchanged since an answer that we do not have";
                    FetchError::new(Reason::BadBody, message)
                })?;
                Batch { ticks: held.ticks.clone(), missing: held.missing.clone(), next_in: None }
            }
        };
        self.feed.metrics().answered(modified);
        let published = self.publisher.lock().publish(&batch.ticks, rx);
        self.feed.metrics().published(self.clock.now().saturating_sub(rx));
        if published.accepted > 0 {
            self.feed.delivered(rx);
        }
        Ok(Report {
            answered: true,
            published,
            missing: batch.missing,
            next_in: batch.next_in,
            ..Report::default()
        })
    }

    /// Draws the conclusions from a poll.
    fn settle(&mut self, report: Report, prepared: bool) {
        // No answer is no sign that what was held back has ended.
        if report.published.quarantined == 0 && report.published.accepted > 0 {
            self.publisher.lock().clean();
        }
        match &report.failure {
            // A preparation counts only as a whole.
            Some(failure) if !report.answered || !prepared => self.failed(failure),
            _ => self.succeeded(report, prepared),
        }
    }

    /// Something came of a poll, though not everything may have.
    fn succeeded(&mut self, report: Report, prepared: bool) {
        let (now, wall) = (Instant::now(), self.clock.now());
        self.pace.answered(report.is_unchanged(prepared));
        self.pace.succeeded(now.into_std(), report.next_in, rand::random());
        let complaint = report.complaint(prepared);
        self.obey(complaint.as_ref(), now);
        self.feed.breaker(self.pace.breaker(), wall);
        let wait = self.pace.due().saturating_duration_since(now.into_std());
        let interval = report.next_in.map_or(self.pace.in_force(), |_| wait);
        let retry_at = self.feed.scheduled(self.pace.due().into(), interval);
        match complaint {
            // What is passed over confirms nothing.
            None if report.published.accepted == 0 && report.published.passed_over > 0 => {}
            None => self.feed.recovered(wall),
            Some(complaint) => {
                self.feed.failed(complaint.reason, &complaint.message, wall);
                if report.published.accepted == 0 {
                    self.trouble(complaint.reason, retry_at, wall);
                }
            }
        }
        // Part of a poll does not tell what the whole lacks.
        if prepared && report.failure.is_none() {
            log_missing(self.feed.name(), &mut self.missing, report.missing);
        }
    }

    /// Nothing came of a poll.
    fn failed(&mut self, failure: &FetchError) {
        let (now, wall) = (Instant::now(), self.clock.now());
        self.pace.failed(now.into_std(), rand::random());
        self.obey(Some(failure), now);
        // How long it waits is told by when it is due: nobody is asked at that interval.
        let retry_at = self.feed.scheduled(self.pace.due().into(), self.pace.in_force());
        self.feed.failed(failure.reason, &failure.message, wall);
        self.feed.breaker(self.pace.breaker(), wall);
        self.trouble(failure.reason, retry_at, wall);
    }

    /// Leaves the upstream alone for as long as it asks, with every feed that shares the budget.
    fn obey(&mut self, failure: Option<&FetchError>, now: Instant) {
        let Some(wait) = failure.and_then(|failure| failure.retry_after) else {
            return;
        };
        let until = (now + wait).into_std();
        self.pace.hold(until);
        if let Some(share) = self.feed.budget() {
            share.hold(until);
        }
    }

    /// Tells the feed's topics that they could not be confirmed; they are down at once while the
    /// breaker is open.
    fn trouble(&self, reason: Reason, retry_at: Micros, now: Micros) {
        let trouble = unconfirmed(self.pace.breaker(), reason, retry_at);
        self.publisher.lock().trouble(trouble, now);
    }
}

fn unconfirmed(breaker: Breaker, reason: Reason, retry_at: Micros) -> Trouble {
    let blocked = breaker == Breaker::Open;
    let reason = if blocked { Reason::BreakerOpen } else { reason };
    Trouble { reason, retry_at: Some(retry_at), blocked }
}

impl Work for Poll {
    async fn run(&mut self) {
        let mut provider = self.provider().await;
        let mut prepared = provider.preparation().is_empty();
        self.publisher.lock().declare(provider.topics());
        loop {
            self.until_due().await;
            let report = self.poll(provider.as_mut(), prepared).await;
            if report.unwanted {
                self.pace.withdrawn(Instant::now().into_std());
                continue;
            }
            let now_prepared = !prepared && report.answered && report.failure.is_none();
            self.settle(report, prepared);
            if now_prepared {
                prepared = true;
                self.publisher.lock().declare(provider.topics());
                self.pace.at_once(Instant::now().into_std());
            }
        }
    }

    fn panicked(&mut self, message: &str) {
        self.feed.metrics().restarts.increment(1);
        let feed = self.feed.name();
        tracing::error!(%feed, error = message, "feed panicked and is restarted");
        self.failed(&FetchError::new(Reason::BadBody, format!("panicked: {message}")));
        // The restart itself is delay enough while the breaker is closed.
        if self.pace.breaker() == Breaker::Closed {
            self.pace.at_once(Instant::now().into_std());
        }
    }
}

#[cfg(test)]
mod tests;
