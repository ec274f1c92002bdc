//! What an upstream still allows: units a minute and a month, shared by the feeds of one host and
//! key. Pure: time is an argument; how a feed waits is in `afford`.

mod afford;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::Gauge;
use parking_lot::Mutex;
use tokio::sync::Mutex as Queue;

pub use super::credits::{By, Denied};
use super::{
    config::BudgetConfig,
    credits::{Book, Credits},
    minute::Minute,
};
use crate::{
    hub::BudgetReport,
    telemetry::Telemetry,
    units::{Micros, Secret},
};

/// One host's allowance under one key.
#[derive(Debug)]
pub struct Budget {
    host: String,
    minute: Minute,
    month: Option<Credits>,
    held_until: Option<Instant>,
}

impl Budget {
    /// A full allowance of `per_minute` units, and what the month has left where it is limited.
    pub fn new(host: String, per_minute: u32, month: Option<Credits>, now: Instant) -> Self {
        Self { host, minute: Minute::new(per_minute, now), month, held_until: None }
    }

    /// Takes `units`; more than a minute allows counts as all of a minute, since it would
    /// otherwise never be there.
    ///
    /// # Errors
    /// Why they are not there, and how long to wait before asking again.
    pub fn take(&mut self, units: u32, now: Instant, wall: Micros) -> Result<(), Denied> {
        let units = units.min(self.minute.per_minute());
        if let Some(wait) = self.held(now) {
            return Err(Denied { wait, by: By::Minute });
        }
        if let Some(month) = &self.month {
            month.check(units, wall)?;
        }
        let wait = self.minute.wait(units, now);
        if !wait.is_zero() {
            // A rest too small for a timer must not make a busy loop.
            return Err(Denied { wait: wait.max(Duration::from_millis(1)), by: By::Minute });
        }
        if let Some(month) = &self.month {
            month.spend(units, wall)?;
        }
        self.minute.spend(units, now);
        Ok(())
    }

    fn held(&self, now: Instant) -> Option<Duration> {
        let wait = self.held_until?.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// The upstream says that `used` units of this minute are spent.
    pub fn observe_used(&mut self, used: u32, now: Instant) {
        self.minute.observe_used(used, now);
    }

    /// The upstream wants nothing before `until`, from no feed of this budget.
    pub fn hold(&mut self, until: Instant) {
        self.held_until = self.held_until.max(Some(until));
    }

    /// What is left.
    pub fn report(&mut self, now: Instant, wall: Micros) -> BudgetReport {
        let per_month_remaining = self.month.as_ref().map(|month| month.remaining(wall));
        BudgetReport {
            host: self.host.clone(),
            remaining: u64::from(self.minute.left(now)),
            per_minute: self.minute.per_minute(),
            per_month_remaining,
        }
    }
}

/// Every budget in use, by host and key.
#[derive(Default)]
pub struct Budgets {
    entries: Vec<Entry>,
    book: Book,
}

struct Entry {
    host: String,
    key: Option<Secret>,
    budget: Arc<Mutex<Budget>>,
    queue: Arc<Queue<()>>,
    remaining: Gauge,
}

/// One feed's part in a budget.
#[derive(Clone)]
pub struct Share {
    budget: Arc<Mutex<Budget>>,
    queue: Arc<Queue<()>>,
    weight: u32,
    remaining: Gauge,
}

impl Budgets {
    /// None yet; their months are counted in `book`.
    pub fn new(book: Book) -> Self {
        Self { entries: Vec::new(), book }
    }

    /// Where their months are counted, when no more will come.
    pub fn into_book(self) -> Book {
        self.book
    }

    /// The share of a feed that asks `host` with `key`. Feeds that agree on both share one budget,
    /// whose limits are those of the first. A second key at one host is told apart by a number,
    /// never by anything of the key.
    pub fn share(
        &mut self,
        host: &str,
        key: Option<&Secret>,
        config: &BudgetConfig,
        telemetry: &Telemetry,
        now: Instant,
    ) -> Share {
        let known =
            self.entries.iter().find(|entry| entry.host == host && entry.key.as_ref() == key);
        if let Some(entry) = known {
            return entry.share(config.weight);
        }
        let label = match self.entries.iter().filter(|entry| entry.host == host).count() {
            0 => host.to_owned(),
            others => format!("{host}#{}", others + 1),
        };
        let remaining =
            telemetry.gauge("tickwire_upstream_budget_remaining", &[("host", label.as_str())]);
        remaining.set(f64::from(config.per_minute));
        let month = config.per_month.map(|limit| self.book.credits(host, key, limit));
        let budget = Budget::new(label, config.per_minute, month, now);
        let entry = Entry {
            host: host.to_owned(),
            key: key.cloned(),
            budget: Arc::new(Mutex::new(budget)),
            queue: Arc::default(),
            remaining,
        };
        let share = entry.share(config.weight);
        self.entries.push(entry);
        share
    }
}

impl Entry {
    fn share(&self, weight: u32) -> Share {
        let Self { budget, queue, remaining, .. } = self;
        Share { budget: budget.clone(), queue: queue.clone(), weight, remaining: remaining.clone() }
    }
}

impl Share {
    /// Takes what a request costs: `weight` units, or what the configuration says where that is 0.
    ///
    /// # Errors
    /// Why it is not there, and how long to wait before asking again.
    pub fn take(&self, weight: u32, now: Instant, wall: Micros) -> Result<(), Denied> {
        let units = if weight == 0 { self.weight } else { weight };
        let mut budget = self.budget.lock();
        let taken = budget.take(units, now, wall);
        self.remaining.set(f64::from(budget.minute.left(now)));
        taken
    }

    /// The upstream says that `used` units of this minute are spent.
    pub fn observe_used(&self, used: u32, now: Instant) {
        self.budget.lock().observe_used(used, now);
    }

    /// The upstream wants nothing before `until`, from no feed of this budget.
    pub fn hold(&self, until: Instant) {
        self.budget.lock().hold(until);
    }

    /// Why the last request waits though the month has units left, when that is so.
    pub fn trouble(&self) -> Option<String> {
        self.budget.lock().month.as_ref().and_then(Credits::trouble)
    }

    /// What is left.
    pub fn report(&self, now: Instant, wall: Micros) -> BudgetReport {
        let report = self.budget.lock().report(now, wall);
        let remaining = u32::try_from(report.remaining).unwrap_or(u32::MAX);
        self.remaining.set(f64::from(remaining));
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn config(per_minute: u32, weight: u32) -> BudgetConfig {
        BudgetConfig { host: None, per_minute, weight, per_month: None }
    }

    #[test]
    fn feeds_of_one_host_and_key_share_and_others_do_not() {
        let (telemetry, now) = (Telemetry::new().unwrap(), Instant::now());
        let mut budgets = Budgets::default();
        let key = Secret::new("k");
        let mut share = |key: Option<&Secret>, weight| {
            budgets.share("binance", key, &config(10, weight), &telemetry, now)
        };
        let (one, two, other) = (share(None, 3), share(None, 2), share(Some(&key), 4));
        assert_eq!(one.take(0, now, 0), Ok(()));
        assert_eq!(two.take(0, now, 0), Ok(()));
        assert_eq!(one.take(0, now, 0), Err(Denied { wait: 18 * SECOND, by: By::Minute }));
        assert_eq!(other.take(0, now, 0), Ok(()));
        assert_eq!(other.report(now, 0).host, "binance#2");
        let text = telemetry.render();
        assert!(text.contains(r#"budget_remaining{host="binance"} 5"#), "{text}");
        assert!(text.contains(r#"budget_remaining{host="binance#2"} 6"#), "{text}");
    }

    #[test]
    fn a_month_that_is_spent_waits_for_the_next() {
        let now = Instant::now();
        let mut budget = Budget::new("h".into(), 100, Some(Credits::in_memory(2)), now);
        let day = 86_400 * 1_000_000;
        // 30 January 1970 and two days later.
        assert_eq!(budget.take(2, now, 29 * day), Ok(()));
        assert_eq!(budget.report(now, 29 * day).per_month_remaining, Some(0));
        let spent = Err(Denied { wait: 2 * 86_400 * SECOND, by: By::Month });
        assert_eq!(budget.take(1, now, 29 * day), spent);
        assert_eq!(budget.take(1, now, 31 * day), Ok(()));
        assert_eq!(budget.take(2, now, 29 * day), spent);
    }

    #[test]
    fn what_the_upstream_says_is_believed_when_it_is_less() {
        let now = Instant::now();
        let mut budget = Budget::new("h".into(), 60, None, now);
        budget.observe_used(50, now);
        assert_eq!(budget.report(now, 0).remaining, 10);
        budget.observe_used(0, now);
        assert_eq!(budget.report(now, 0).remaining, 10);
        budget.observe_used(1_000, now);
        assert_eq!(budget.take(1, now, 0), Err(Denied { wait: 60 * SECOND, by: By::Minute }));
    }

    #[test]
    fn a_hold_stops_every_feed_until_it_ends() {
        let now = Instant::now();
        let mut budget = Budget::new("h".into(), 60, None, now);
        budget.hold(now + 5 * SECOND);
        budget.hold(now + 3 * SECOND);
        let held = Err(Denied { wait: 4 * SECOND, by: By::Minute });
        assert_eq!(budget.take(1, now + SECOND, 0), held);
        assert_eq!(budget.take(1, now + 5 * SECOND, 0), Ok(()));
    }
}
