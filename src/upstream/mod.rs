//! The way in: slow, rate-limited APIs are polled on schedules that respect them, and what they
//! say is validated, consolidated and published to the hub.
//!
//! One loop (`poll`) serves every provider, and another (`stream`) those that have a WebSocket. What
//! they decide by is pure and in files of its own: `schedule`, `backoff`, `breaker` (together the
//! `pace`), `budget`, `validate`, and those below `stream`. A feed is one
//! task, watched over by `supervise`; feeds meet only in shared budgets, in `consolidate` and in
//! the hub.

pub mod address;
mod backoff;
mod breaker;
mod budget;
mod build;
mod calendar;
pub mod chains;
mod clock;
pub mod config;
mod consolidate;
pub mod credits;
mod demand;
mod feed;
mod fetch;
mod freshness;
mod http;
mod metrics;
mod minute;
mod pace;
mod poll;
pub mod probe;
pub mod providers;
mod publish;
mod push;
mod remember;
mod retry_after;
mod schedule;
mod secrets;
mod stream;
mod supervise;
mod synthetic;
mod validate;

use std::{future::Future, io, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::Instrument;

use self::{
    build::{Asking, Builder, Kind, Runner, Streaming},
    clock::Clock,
    config::{ConsolidateConfig, FeedConfig},
    consolidate::Consolidator,
    credits::{Book, Keeper},
    demand::Demand,
    feed::Feed,
    freshness::Sweep,
    metrics::{Metrics, StreamMetrics},
    poll::Poll,
    publish::Publisher,
    push::{Desk, Lane},
    stream::{Line, Parts, Stream},
    supervise::supervise,
    synthetic::{Load, Synthetic},
};
use crate::{
    hub::{FeedHealth, FeedReport, Hub, Intake},
    market::Source,
    shutdown::{Shutdown, Tasks},
    telemetry::Telemetry,
    units::Micros,
};

/// What the feeds need from others.
pub struct Deps {
    /// Where they publish.
    pub hub: Arc<Hub>,
    /// Where they count.
    pub telemetry: Telemetry,
    /// Where the sandbox listens, without a path: `http://127.0.0.1:4321`.
    pub sandbox_url: Option<String>,
    /// Where the months of budgets are counted.
    pub credits: Book,
}

/// Why a feed cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("feed `{feed}`: {message}")]
pub struct BuildError {
    /// The feed's name.
    pub feed: String,
    /// What is wrong with it.
    pub message: String,
}

/// The feeds, ready to start.
pub struct Upstream {
    hub: Arc<Hub>,
    telemetry: Telemetry,
    clock: Clock,
    consolidator: Arc<Consolidator>,
    feeds: Arc<[Arc<Feed>]>,
    runners: Vec<Runner>,
    desk: Arc<Desk>,
    keeper: Option<Keeper>,
}

/// Reports on the feeds.
struct Health(Arc<[Arc<Feed>]>);

impl Upstream {
    /// Sets the feeds up; nothing is asked yet.
    ///
    /// # Errors
    /// [`BuildError`] names the first feed that cannot be set up, and why.
    pub fn build(
        feeds: Vec<FeedConfig>,
        consolidate: ConsolidateConfig,
        deps: Deps,
    ) -> Result<Self, BuildError> {
        Metrics::describe(&deps.telemetry);
        let mut builder = Builder::new(deps);
        let mut runners = Vec::with_capacity(feeds.len());
        for config in feeds {
            let feed = config.name.clone();
            let wrong = |message| BuildError { feed: feed.clone(), message };
            let runner = builder.runner(config).map_err(wrong)?;
            if let Kind::Push { key: Some(key), .. } = &runner.kind
                && runners.iter().any(|other: &Runner| other.has_key(key))
            {
                return Err(wrong("another push feed has the same key".to_owned()));
            }
            runners.push(runner);
        }
        let names: Vec<Source> = runners.iter().map(|runner| runner.feed.name().clone()).collect();
        let Builder { clock, deps, budgets, .. } = builder;
        let consolidator = Arc::new(Consolidator::new(deps.hub.clone(), consolidate, &names));
        let lanes = runners.iter().filter_map(|runner| {
            let Kind::Push { key: Some(key), allowed } = &runner.kind else { return None };
            let (feed, config, hub) = (runner.feed.clone(), &runner.config, deps.hub.clone());
            let epoch = hub.epoch().clone();
            let publisher =
                Publisher::new(feed.clone(), hub, consolidator.clone(), config.max_jump_pct);
            let terms = (allowed.clone(), config.rate);
            Some(Lane::new(feed, clock.clone(), epoch, key.clone(), terms, publisher))
        });
        Ok(Self {
            desk: Arc::new(Desk(lanes.collect())),
            consolidator,
            feeds: runners.iter().map(|runner| runner.feed.clone()).collect(),
            hub: deps.hub,
            telemetry: deps.telemetry,
            clock,
            runners,
            keeper: budgets.into_book().keeper(),
        })
    }

    /// Takes what clients publish to `push` feeds.
    pub fn intake(&self) -> Arc<dyn Intake> {
        self.desk.clone()
    }

    /// Tells how the feeds are, also while and after they run.
    pub fn health(&self) -> Arc<dyn FeedHealth> {
        Arc::new(Health(self.feeds.clone()))
    }

    /// Starts a task for each feed that acts by itself, or a thread for one that makes its load here,
    /// and a task that lets time pass. They end when producers are to stop.
    ///
    /// # Errors
    /// As the system says, when there is no room for the thread of a feed.
    pub fn start(mut self, tasks: &Tasks, shutdown: Shutdown) -> io::Result<()> {
        if let Some(keeper) = self.keeper.take() {
            tasks.spawn("credits", keeper.run(shutdown.clone()));
        }
        let runners = std::mem::take(&mut self.runners);
        let count = runners.len();
        for (index, runner) in runners.into_iter().enumerate() {
            let Runner { feed, config, kind } = runner;
            let (hub, clock) = (self.hub.clone(), self.clock.clone());
            match kind {
                // It acts when somebody publishes.
                Kind::Push { .. } => {}
                Kind::Synthetic => {
                    let load = Load {
                        topics: config.topic_count(),
                        rate: config.rate,
                        payload_bytes: config.payload_bytes,
                    };
                    let work = Synthetic::new(feed.clone(), hub, clock, load);
                    let name = format!("feed-{}", feed.name());
                    tasks.spawn_thread(&name, supervise(work, shutdown.clone()))?;
                }
                Kind::Poll(poll) => {
                    let every = config.every.0;
                    let offset = schedule::start_offset(index, count, every, rand::random());
                    let first = Instant::now() + offset;
                    self.ask(&feed, &config, poll, first, tasks, shutdown.clone());
                }
            }
        }
        let sweep = Sweep {
            hub: self.hub,
            consolidator: self.consolidator,
            feeds: self.feeds,
            clock: self.clock,
        };
        tasks.spawn("sweep", sweep.run(shutdown));
        Ok(())
    }

    /// Starts the task of a feed that asks an upstream, first at `first`.
    fn ask(
        &self,
        feed: &Arc<Feed>,
        config: &FeedConfig,
        Asking { fetch, factory, stream }: Asking,
        first: Instant,
        tasks: &Tasks,
        shutdown: Shutdown,
    ) {
        let (hub, clock, every) = (self.hub.clone(), self.clock.clone(), config.every.0);
        let consolidator = self.consolidator.clone();
        let publisher = Publisher::new(feed.clone(), hub, consolidator, config.max_jump_pct);
        let publisher = Arc::new(Mutex::new(publisher));
        let for_polls = publisher.clone();
        let mut poll =
            Poll::new(feed.clone(), clock.clone(), fetch, factory, for_polls, every, first);
        if config.demand == config::Demand::Subscribed {
            poll = poll.on_demand(Demand::new(self.hub.clone()));
        }
        if config.adaptive {
            poll = poll.adaptive();
        }
        let Some(Streaming { dial, factory }) = stream else {
            spawn(tasks, feed, supervise(poll, shutdown));
            return;
        };
        let parts = Parts {
            feed: feed.clone(),
            clock,
            dial,
            factory,
            publisher,
            metrics: StreamMetrics::new(&self.telemetry, feed.name()),
            timeout: config.timeout.0,
        };
        let work = Stream::new(feed.clone(), Line::new(parts, first), poll, every);
        spawn(tasks, feed, supervise(work, shutdown));
    }
}

fn spawn(tasks: &Tasks, feed: &Feed, work: impl Future<Output = ()> + Send + 'static) {
    let span = tracing::info_span!("feed", name = %feed.name());
    tasks.spawn("feed", work.instrument(span));
}

impl FeedHealth for Health {
    fn feeds(&self, now: Micros) -> Vec<FeedReport> {
        self.0.iter().map(|feed| feed.report(now)).collect()
    }
}

#[cfg(test)]
mod tests;
