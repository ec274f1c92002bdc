//! A consolidator with four feeds, `a`, `b`, `c` and `slow`, and a clock that is set by hand.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    hub::{self, FeedReport, Hub, Transition, Trouble},
    market::{Data, Decimal, Reason, Source, Tick, Topic},
    shutdown::{self, Tasks, Trigger},
    telemetry::Telemetry,
    units::Micros,
    upstream::{
        clock::Clock,
        config::ConsolidateConfig,
        consolidate::Consolidator,
        feed::{Feed, Identity},
        freshness::Sweep,
        metrics::Metrics,
    },
};

pub(super) const SECOND: Micros = 1_000_000;

pub(super) const OPEN: Trouble =
    Trouble { reason: Reason::BreakerOpen, retry_at: None, blocked: true };

pub(super) const RATE_LIMITED: Trouble =
    Trouble { reason: Reason::RateLimited, retry_at: Some(99), blocked: false };

/// Feeds in configured order, and after how many seconds they are stale.
pub(super) const FEEDS: [(&str, Micros); 4] = [("a", 10), ("b", 10), ("c", 10), ("slow", 60)];

pub(super) struct Rig {
    pub hub: Arc<Hub>,
    pub consolidator: Arc<Consolidator>,
    telemetry: Telemetry,
    feeds: BTreeMap<&'static str, Arc<Feed>>,
}

/// A consolidated price as a client sees it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    pub seq: u64,
    pub source: String,
    pub ts: Option<Micros>,
    pub rx: Micros,
    pub data: Value,
}

pub(super) fn topic(symbol: &str, feed: &str) -> Topic {
    Topic::parse(&format!("price.{symbol}.{feed}")).unwrap()
}

impl Rig {
    pub(super) fn new(config: ConsolidateConfig) -> Self {
        let telemetry = Telemetry::new().unwrap();
        let hub = Arc::new(Hub::new(hub::Config::default(), 1, "e".into(), &telemetry));
        let feed = |(name, stale_after): (&'static str, Micros)| {
            let identity = Identity {
                name: name.into(),
                status: Topic::parse(&format!("status.{name}")).unwrap(),
                provider: "fake",
                required: false,
                interval: Duration::from_secs(1),
                stale_after: stale_after * SECOND,
                transport: None,
            };
            let metrics = Metrics::new(&telemetry, name);
            let feed = Feed::new(identity, hub.clone(), Clock::wall(), None, metrics);
            feed.delivered(0);
            (name, Arc::new(feed))
        };
        let feeds = FEEDS.map(feed).into();
        let names: Vec<Source> = FEEDS.iter().map(|(name, _)| (*name).into()).collect();
        let consolidator = Arc::new(Consolidator::new(hub.clone(), config, &names));
        Self { hub, consolidator, telemetry, feeds }
    }

    /// `feed` says `price` of BTC-USD at `secs`, with that as its own time.
    pub(super) fn offer(&self, feed: &str, price: &str, secs: i64) {
        self.offer_all("BTC-USD", feed, &[("price", price)], secs);
    }

    pub(super) fn offer_all(
        &self,
        symbol: &str,
        feed: &str,
        fields: &[(&'static str, &str)],
        secs: i64,
    ) {
        let data = fields.iter().fold(Data::new(), |data, (name, digits)| {
            data.with(*name, Decimal::parse(digits).unwrap())
        });
        let tick = Tick { topic: topic(symbol, feed), data, ts: Some(secs) };
        self.consolidator.offer(&tick, &self.feeds[feed], secs * SECOND);
    }

    /// `feed` says `price` of BTC-USD in an answer that came at `rx`.
    pub(super) fn offer_at(&self, feed: &str, price: &str, rx: Micros) {
        let data = Data::new().with("price", Decimal::parse(price).unwrap());
        let tick = Tick { topic: topic("BTC-USD", feed), data, ts: None };
        self.consolidator.offer(&tick, &self.feeds[feed], rx);
    }

    /// Sweeps by a clock that begins at 0 and moves with tokio's time, until what it returns is
    /// dropped.
    pub(super) fn sweep_by_itself(&self) -> (Tasks, Trigger) {
        let (trigger, shutdown) = shutdown::channel();
        let sweep = Sweep {
            hub: self.hub.clone(),
            consolidator: self.consolidator.clone(),
            feeds: Arc::new([]),
            clock: Clock::tokio(0),
        };
        let tasks = Tasks::default();
        tasks.spawn("sweep", sweep.run(shutdown));
        (tasks, trigger)
    }

    pub(super) fn trouble(&self, feed: &str, trouble: Trouble, secs: i64) {
        let topic = topic("BTC-USD", feed);
        self.consolidator.trouble(&topic, &feed.into(), trouble, secs * SECOND);
    }

    pub(super) fn sweep(&self, secs: i64) {
        self.consolidator.sweep(secs * SECOND);
        self.hub.sweep(secs * SECOND);
    }

    pub(super) fn shown(&self, symbol: &str) -> Shown {
        let head = self.hub.topic(&format!("price.{symbol}")).unwrap().head(0);
        let update = &head.last.as_ref().unwrap().update;
        Shown {
            seq: head.seq,
            source: update.source.to_string(),
            ts: update.ts,
            rx: update.rx,
            data: serde_json::from_slice(&update.data).unwrap(),
        }
    }

    pub(super) fn text(&self, symbol: &str) -> String {
        let head = self.hub.topic(&format!("price.{symbol}")).unwrap().head(0);
        String::from_utf8(head.last.unwrap().update.data.to_vec()).unwrap()
    }

    /// Number, source, price and number of sources of BTC-USD.
    pub(super) fn said(&self) -> (u64, String, String, u64) {
        let shown = self.shown("BTC-USD");
        let price = shown.data["price"].as_str().unwrap().to_owned();
        (shown.seq, shown.source, price, shown.data["sources"].as_u64().unwrap())
    }

    pub(super) fn status(&self, symbol: &str, secs: i64) -> Transition {
        self.hub.topic(&format!("price.{symbol}")).unwrap().head(secs * SECOND).status
    }

    pub(super) fn report(&self, feed: &str, secs: i64) -> FeedReport {
        self.feeds[feed].report(secs * SECOND)
    }

    /// What `status.<feed>` says.
    pub(super) fn feed_status(&self, feed: &str) -> Value {
        let last = self.hub.topic(&format!("status.{feed}")).unwrap().last().unwrap();
        serde_json::from_slice(&last.update.data).unwrap()
    }

    /// How many values of `feed` were counted as outliers.
    pub(super) fn outliers(&self, feed: &str) -> u64 {
        let start = format!("tickwire_quarantined_total{{feed=\"{feed}\",reason=\"outlier\"}} ");
        let text = self.telemetry.render();
        text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap()
    }
}
