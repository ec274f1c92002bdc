//! What a client was sent, held against what it was promised.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde_json::Value;

use crate::support::BadUpstream;

/// What has been done and seen, over all tasks.
#[derive(Default)]
pub struct Tally {
    pub updates: AtomicU64,
    pub gaps: AtomicU64,
    pub ledgers: AtomicU64,
    pub clients: AtomicU64,
    pub frozen: AtomicU64,
    pub outages: AtomicU64,
    /// In milliseconds: between a price given after an outage and a client's sight of it.
    pub recovery_max: AtomicU64,
    /// In milliseconds: between two values of a feed that is well.
    pub pause_max: AtomicU64,
}

impl Tally {
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}

/// The upstreams by symbol, which know what they gave.
pub type Truth = HashMap<&'static str, BadUpstream>;

/// One subscription and what came of it.
pub struct Account {
    pub pattern: &'static str,
    /// Whether each number must come, or a gap that has it.
    every: bool,
    /// The last number that came or was in a gap, by topic.
    last: HashMap<String, u64>,
    received: u64,
    dropped: u64,
}

impl Account {
    pub fn new(pattern: &'static str, every: bool) -> Self {
        Self { pattern, every, last: HashMap::new(), received: 0, dropped: 0 }
    }

    /// Takes an event of its topics.
    pub fn take(&mut self, event: &Value, truth: &Truth, tally: &Tally) {
        let topic = event["topic"].as_str().unwrap();
        let number = |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("{event}"));
        match event["type"].as_str().unwrap() {
            "snapshot" => {
                true_price(event, truth);
                let before = self.last.insert(topic.to_owned(), number("seq"));
                assert_eq!(before, None, "a second snapshot: {event}");
            }
            "update" => {
                true_price(event, truth);
                let seq = number("seq");
                let before = self.last.insert(topic.to_owned(), seq);
                let right =
                    before.is_none_or(|last| seq > last && (!self.every || seq == last + 1));
                assert!(right, "{}: {event} after {before:?}", self.pattern);
                self.received += 1;
                Tally::add(&tally.updates);
            }
            "gap" => {
                let (from, to) = (number("from"), number("to"));
                let before = self.last.insert(topic.to_owned(), to);
                assert!(self.every && before.is_none_or(|last| from == last + 1), "{event}");
                assert_eq!(number("dropped"), to - from + 1, "{event}");
                self.dropped += to - from + 1;
                Tally::add(&tally.gaps);
            }
            _ => {}
        }
    }

    /// Holds what came until the answer against the answer's `ledger`.
    pub fn audit(&self, ledger: &Value, tally: &Tally) {
        let part = |name: &str| ledger[name].as_u64().unwrap();
        let parts = ["delivered", "filtered", "conflated", "dropped", "queued"];
        assert_eq!(part("published"), parts.into_iter().map(part).sum::<u64>(), "{ledger}");
        let (delivered, queued) = (part("delivered"), part("queued"));
        let possible = delivered..=delivered + queued;
        assert!(
            possible.contains(&self.received),
            "{}: {} of {ledger}",
            self.pattern,
            self.received
        );
        assert!(self.dropped <= part("dropped"), "{}: {} of {ledger}", self.pattern, self.dropped);
        Tally::add(&tally.ledgers);
    }
}

/// A price is one that its upstream gave while it was well; anything else is poison.
fn true_price(event: &Value, truth: &Truth) {
    let symbol = event["topic"].as_str().unwrap().split('.').nth(1).unwrap();
    if let (Some(price), Some(upstream)) = (event["data"]["price"].as_str(), truth.get(symbol)) {
        assert!(upstream.gave(price).1, "poison: {event}");
    }
}
