//! A hub and scripted upstreams under paused time.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::super::*;
use crate::{
    hub::{self, Hub},
    market::{Data, Decimal, Tick, Topic},
    shutdown::{self, Tasks, Trigger},
    telemetry::Telemetry,
    upstream::{
        budget::{Budgets, Share},
        config::{BudgetConfig, ConsolidateConfig},
        consolidate::Consolidator,
        feed::Identity,
        fetch::Validators,
        freshness::Sweep,
        metrics::Metrics,
        providers::DecodeError,
        supervise::supervise,
    },
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
const START: Micros = 1_790_000_000_000_000;

/// What a scripted upstream does next. The last step is repeated for ever.
#[derive(Clone)]
pub(super) enum Step {
    Body(&'static str),
    Tagged(&'static str, &'static str),
    NotModified,
    Fail(Reason, Option<u64>),
    Hang,
    /// An answer that comes after so many seconds.
    Slow(u64),
    /// An answer that says how much of the minute is used.
    Used(u32),
}

#[derive(Default)]
pub(super) struct Script {
    steps: Mutex<VecDeque<Step>>,
    pub(super) calls: Mutex<Vec<(Instant, Option<Validators>)>>,
}

impl Script {
    fn next(&self) -> Step {
        let mut steps = self.steps.lock();
        match steps.len() {
            1 => steps[0].clone(),
            _ => steps.pop_front().unwrap(),
        }
    }

    /// Seconds between one call and the next.
    pub(super) fn gaps(&self) -> Vec<f64> {
        let calls = self.calls.lock();
        let gap = |pair: &[(Instant, Option<Validators>)]| (pair[1].0 - pair[0].0).as_secs_f64();
        calls.windows(2).map(gap).collect()
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.lock().len()
    }
}

impl Fetch for Script {
    fn fetch<'a>(
        &'a self,
        _: &'a Request,
        known: Option<&'a Validators>,
    ) -> BoxFuture<'a, Result<Answer, FetchError>> {
        self.calls.lock().push((Instant::now(), known.cloned()));
        let answer = |body: Option<&'static str>, etag: Option<&str>| Answer {
            body: body.map(|text| Bytes::from_static(text.as_bytes())),
            validators: Validators { etag: etag.map(str::to_owned), last_modified: None },
            used: None,
            date: None,
        };
        let step = self.next();
        Box::pin(async move {
            match step {
                Step::Body(text) => Ok(answer(Some(text), None)),
                Step::Tagged(text, etag) => Ok(answer(Some(text), Some(etag))),
                Step::NotModified => Ok(answer(None, None)),
                Step::Fail(reason, retry_after) => Err(FetchError {
                    retry_after: retry_after.map(Duration::from_secs),
                    ..FetchError::new(reason, "scripted")
                }),
                Step::Slow(secs) => {
                    tokio::time::sleep(Duration::from_secs(secs)).await;
                    Ok(answer(Some("5"), None))
                }
                Step::Used(used) => Ok(Answer { used: Some(used), ..answer(Some("5"), None) }),
                Step::Hang => std::future::pending().await,
            }
        })
    }
}

/// Reads a bare number as the price of BTC-USD; `panic` makes it panic.
struct Fake {
    topic: Topic,
    prepares: bool,
}

impl Provider for Fake {
    fn preparation(&self) -> Vec<Request> {
        match self.prepares {
            true => vec![Request::default()],
            false => Vec::new(),
        }
    }

    fn requests(&self) -> Vec<Request> {
        vec![Request::default()]
    }

    fn decode(&mut self, _: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let text = std::str::from_utf8(&response.body).unwrap();
        assert_ne!(text, "panic", "on purpose");
        let price = Decimal::parse(text).map_err(|error| DecodeError {
            reason: Reason::BadBody,
            message: error.to_string(),
            key_refused: false,
        })?;
        let tick =
            Tick { topic: self.topic.clone(), data: Data::new().with("price", price), ts: None };
        Ok(Batch { ticks: vec![tick], ..Batch::default() })
    }

    fn topics(&self) -> Vec<Topic> {
        vec![self.topic.clone()]
    }
}

/// A hub and feeds under paused time.
pub(super) struct Rig {
    pub(super) hub: Arc<Hub>,
    pub(super) telemetry: Telemetry,
    pub(super) clock: Clock,
    consolidator: Arc<Consolidator>,
    pub(super) tasks: Tasks,
    pub(super) trigger: Trigger,
    shutdown: shutdown::Shutdown,
}

/// One feed of a rig.
pub(super) struct Running {
    pub(super) feed: Arc<Feed>,
    pub(super) script: Arc<Script>,
    pub(super) made: Arc<AtomicUsize>,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::starting(START)
    }

    /// As [`Rig::new`], at another time of the wall clock.
    pub(super) fn starting(start: Micros) -> Self {
        let telemetry = Telemetry::new().unwrap();
        let hub = Arc::new(Hub::new(hub::Config::default(), 1, "e".into(), &telemetry));
        let (trigger, shutdown) = shutdown::channel();
        let feeds = ["a", "b"].map(Into::into);
        let consolidator = Consolidator::new(hub.clone(), ConsolidateConfig::default(), &feeds);
        Self {
            consolidator: Arc::new(consolidator),
            clock: Clock::tokio(start),
            tasks: Tasks::default(),
            hub,
            telemetry,
            trigger,
            shutdown,
        }
    }

    /// A feed polled every 2 s whose upstream follows `steps`.
    pub(super) fn feed(&self, name: &str, steps: &[Step]) -> Running {
        self.feed_with(name, steps, None, false)
    }

    pub(super) fn feed_with(
        &self,
        name: &str,
        steps: &[Step],
        budget: Option<Share>,
        prepares: bool,
    ) -> Running {
        self.start(name, steps, budget, prepares, |poll| poll)
    }

    /// A feed that is polled only while somebody subscribes.
    pub(super) fn feed_on_demand(&self, name: &str, steps: &[Step], prepares: bool) -> Running {
        let demand = Demand::new(self.hub.clone());
        self.start(name, steps, None, prepares, |poll| poll.on_demand(demand))
    }

    /// A feed that is polled less often while nothing changes.
    pub(super) fn feed_adaptive(&self, name: &str, steps: &[Step]) -> Running {
        self.start(name, steps, None, false, Poll::adaptive)
    }

    /// A feed that `set` has the last word about.
    pub(super) fn start(
        &self,
        name: &str,
        steps: &[Step],
        budget: Option<Share>,
        prepares: bool,
        set: impl FnOnce(Poll) -> Poll,
    ) -> Running {
        let identity = Identity {
            name: name.into(),
            status: Topic::parse(&format!("status.{name}")).unwrap(),
            provider: "fake",
            required: true,
            interval: 2 * SECOND,
            transport: Some(hub::Transport::Rest),
            stale_after: 10_000_000,
        };
        let (hub, clock) = (self.hub.clone(), self.clock.clone());
        let metrics = Metrics::new(&self.telemetry, name);
        let feed = Arc::new(Feed::new(identity, hub.clone(), clock, budget, metrics));
        let script = Arc::new(Script::default());
        script.steps.lock().extend(steps.iter().cloned());
        let made = Arc::new(AtomicUsize::new(0));
        let topic = Topic::parse(&format!("price.BTC-USD.{name}")).unwrap();
        let count = made.clone();
        let factory: Factory = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            let topic = topic.clone();
            Ok(Box::new(Fake { topic, prepares }))
        });
        let publisher = Publisher::new(feed.clone(), hub, self.consolidator.clone(), 50.0);
        let publisher = Arc::new(Mutex::new(publisher));
        let poll = Poll::new(
            feed.clone(),
            self.clock.clone(),
            script.clone(),
            factory,
            publisher,
            2 * SECOND,
            Instant::now(),
        );
        let poll = set(poll);
        let sweep = Sweep {
            hub: self.hub.clone(),
            consolidator: self.consolidator.clone(),
            feeds: Arc::new([feed.clone()]),
            clock: self.clock.clone(),
        };
        self.tasks.spawn("feed", supervise(poll, self.shutdown.clone()));
        self.tasks.spawn("sweep", sweep.run(self.shutdown.clone()));
        Running { feed, script, made }
    }

    pub(super) fn head(&self, topic: &str) -> hub::Head {
        self.hub.topic(topic).unwrap().head(self.clock.now())
    }

    pub(super) fn data(&self, topic: &str) -> String {
        let last = self.head(topic).last.unwrap();
        String::from_utf8(last.update.data.to_vec()).unwrap()
    }

    pub(super) fn budget(&self, per_minute: u32) -> Share {
        self.share(BudgetConfig { host: None, per_minute, weight: 1, per_month: None })
    }

    /// As [`Rig::budget`], with so many units a month as well.
    pub(super) fn budget_of_month(&self, per_minute: u32, month: u64) -> Share {
        self.share(BudgetConfig { host: None, per_minute, weight: 1, per_month: Some(month) })
    }

    fn share(&self, config: BudgetConfig) -> Share {
        let now = Instant::now().into_std();
        Budgets::default().share("host", None, &config, &self.telemetry, now)
    }
}

/// Lets paused time pass.
pub(super) async fn elapse(secs: u64) {
    tokio::time::sleep(Duration::from_secs(secs)).await;
}
