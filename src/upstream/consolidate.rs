//! Many sources, one price: `price.<SYMBOL>` from every `price.<SYMBOL>.<feed>`.
//!
//! `price` is the lower weighted median of the live sources without the outliers, as `median` has
//! it: one source's own digits, and the message's `source` names it. With it come that source's `ts`
//! and other fields, but for these:
//!
//! - `bid` and `ask` are the highest bid and the lowest ask of all sources that count, or the chosen
//!   one's own where these would cross.
//! - `change_24h_pct`, where the chosen one has none, is that of the first in order that has it.
//!   What was traded is never taken from elsewhere: each market counts its own.
//! - `sources` is how many prices count, `spread_bps` how far the lowest of them lies below the
//!   highest, in basis points of `price`.
//! - `rx` is that of the newest answer that is in it.
//!
//! A source counts while it is live: not stale, and its breaker closed. The price is as fresh as its
//! best source, and when none is live the last value stays and ages. An outlier's own topic goes on;
//! its feed says that it does not count.

mod apart;
mod deadline;
mod entry;
mod median;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use dashmap::DashMap;
use parking_lot::Mutex;

use self::{
    deadline::Deadline,
    entry::{Entry, Held, Outcome, Quotes, Rank, outlier_message},
    median::{Verdict, judge},
};
use super::{clock::Clock, config::ConsolidateConfig, feed::Feed, validate::Fault};
use crate::{
    hub::{Hub, Trouble},
    market::{Source, Symbol, Tick, Topic},
    units::Micros,
};

/// Holds every source's last tick by symbol and publishes what they come to.
pub struct Consolidator {
    hub: Arc<Hub>,
    /// By the feed's name.
    terms: HashMap<Source, Terms>,
    quote_as: BTreeMap<String, String>,
    max_deviation_pct: f64,
    bound_ppm: u64,
    symbols: DashMap<Symbol, Arc<Mutex<Entry>>>,
    /// Where a source's price counts, by its topic.
    ways: DashMap<Topic, Arc<[Way]>>,
    deadline: Deadline,
}

/// How much a feed has to say.
#[derive(Debug, Clone, Copy)]
struct Terms {
    /// Its place in the order of failover.
    order: usize,
    weight: u32,
    /// Whether that order names it.
    preferred: bool,
}

/// One symbol for which a source's price counts.
struct Way {
    entry: Arc<Mutex<Entry>>,
    /// Whether its quote merely counts as the symbol's.
    borrowed: bool,
}

impl Consolidator {
    /// Without any source yet; `feeds` are in configured order.
    pub fn new(hub: Arc<Hub>, config: ConsolidateConfig, feeds: &[Source]) -> Self {
        Self {
            hub,
            terms: terms(&config, feeds),
            bound_ppm: config.bound_ppm(),
            max_deviation_pct: config.max_deviation_pct,
            quote_as: config.quote_as,
            symbols: DashMap::new(),
            ways: DashMap::new(),
            deadline: Deadline::new(),
        }
    }

    /// Makes the topics known that `topic`, where it is a source's price, will be part of.
    pub fn declare(&self, topic: &Topic) {
        self.ways(topic);
    }

    /// The topics that `topic`, where it is a source's price, is part of.
    pub fn parts_of(&self, topic: &Topic) -> Vec<Topic> {
        let ways = self.ways(topic);
        let ways = ways.iter().flat_map(|ways| ways.iter());
        ways.map(|way| way.entry.lock().slot.topic().clone()).collect()
    }

    /// Takes a tick that `feed` published at `rx`, changed or merely confirmed. Anything but a
    /// source's price is ignored.
    pub fn offer(&self, tick: &Tick, feed: &Arc<Feed>, rx: Micros) {
        let last = Terms { order: self.terms.len(), weight: 1, preferred: false };
        let terms = self.terms.get(feed.name()).copied().unwrap_or(last);
        for way in self.ways(&tick.topic).iter().flat_map(|ways| ways.iter()) {
            let rank =
                Rank { order: terms.order, borrowed: way.borrowed, topic: tick.topic.clone() };
            let mut entry = way.entry.lock();
            entry.hold(Held {
                rank,
                feed: feed.clone(),
                weight: terms.weight,
                preferred: terms.preferred,
                tick: tick.clone(),
                quotes: Quotes::of(&tick.data),
                rx,
                trouble: None,
                blocked: false,
                excluded: false,
                counted: false,
            });
            self.refresh(&mut entry, Some(&tick.topic), rx);
        }
    }

    /// `feed` could not confirm `topic`. One whose breaker is open leaves at once.
    pub fn trouble(&self, topic: &Topic, feed: &Source, trouble: Trouble, now: Micros) {
        for way in self.ways(topic).iter().flat_map(|ways| ways.iter()) {
            let mut entry = way.entry.lock();
            if entry.sources.is_empty() {
                // Nobody has delivered yet: any reason is better than none.
                self.hub.trouble(entry.slot.topic(), feed, trouble, now);
            } else if let Some(held) =
                entry.sources.iter_mut().find(|held| held.tick.topic == *topic)
            {
                held.trouble = Some(trouble);
                held.blocked |= trouble.blocked;
                self.refresh(&mut entry, None, now);
            }
        }
    }

    /// Waits until a source goes stale that has not left yet. Cancelling it loses nothing.
    pub async fn due(&self, clock: &Clock) {
        self.deadline.reached(clock).await;
    }

    /// Lets time pass: a source that has gone stale leaves.
    pub fn sweep(&self, now: Micros) {
        let _together = self.hub.batch();
        self.deadline.reset();
        let entries: Vec<_> = self.symbols.iter().map(|entry| entry.value().clone()).collect();
        for entry in entries {
            let mut entry = entry.lock();
            if now >= entry.due {
                self.refresh(&mut entry, None, now);
            }
            self.deadline.at_most(entry.due);
        }
    }

    /// Judges the live sources, and publishes where something that a client sees has changed or
    /// where the chosen source is the one `offered`. Under the entry's lock, so that the last
    /// verdict is the last published.
    fn refresh(&self, entry: &mut Entry, offered: Option<&Topic>, now: Micros) {
        entry.due = entry.next_due(now);
        self.deadline.at_most(entry.due);
        let places = entry.live(now);
        let live: Vec<&Held> = places.iter().filter_map(|at| entry.sources.get(*at)).collect();
        let votes: Vec<_> = live.iter().map(|held| held.vote()).collect();
        let verdict = judge(&votes, self.bound_ppm);
        let outcome = verdict.as_ref().and_then(|verdict| Outcome::of(verdict, &live));
        let speaker = outcome.as_ref().map(|outcome| outcome.chosen);
        let Some(standing) =
            speaker.or_else(|| entry.shown_source()).map(|source| entry.standing_of(source))
        else {
            return;
        };
        let news = outcome.filter(|outcome| {
            offered == Some(&outcome.shown.topic) || entry.shown.as_ref() != Some(&outcome.shown)
        });
        let shown = if let Some(news) = news {
            let tick = Tick {
                topic: entry.slot.topic().clone(),
                data: news.data(),
                ts: news.chosen.tick.ts,
            };
            self.hub.publish_settled(&entry.slot, &tick, news.rx, &standing, now);
            Some(news.shown)
        } else {
            if entry.standing.as_ref() != Some(&standing) {
                self.hub.settle(&entry.slot, &standing, now);
            }
            None
        };
        let excluded = verdict.map(|verdict| Excluded::of(&verdict, &places)).unwrap_or_default();
        entry.standing = Some(standing);
        entry.shown = shown.or(entry.shown.take());
        self.report(entry, &excluded, now);
    }

    /// Tells the feeds which of their prices do not count any more, or count again.
    fn report(&self, entry: &mut Entry, excluded: &Excluded, now: Micros) {
        for at in 0..entry.sources.len() {
            let is_out = excluded.places.binary_search(&at).is_ok();
            let Some(held) = entry.sources.get(at).filter(|held| is_out || held.excluded) else {
                continue;
            };
            if is_out && !held.counted {
                held.feed.metrics().quarantined(Fault::Outlier);
            }
            match (held.excluded, is_out) {
                (false, true) => {
                    let chosen = entry.sources.get(excluded.chosen).unwrap_or(held);
                    let (sources, pct) = (excluded.sources, self.max_deviation_pct);
                    held.feed.outlier(&outlier_message(held, chosen, sources, pct), now);
                }
                (true, false) => held.feed.outlier_over(&held.tick.topic, now),
                _ => {}
            }
            if let Some(held) = entry.sources.get_mut(at) {
                held.excluded = is_out;
                held.counted |= is_out;
            }
        }
    }

    fn entry(&self, symbol: &Symbol) -> Option<Arc<Mutex<Entry>>> {
        if let Some(entry) = self.symbols.get(symbol) {
            return Some(entry.clone());
        }
        let topic = Topic::parse(&format!("price.{symbol}")).ok()?;
        let entry = Arc::new(Mutex::new(Entry::new(self.hub.declare(&topic))));
        Some(self.symbols.entry(symbol.clone()).or_insert(entry).clone())
    }

    /// Where a source's price counts: for its own symbol, and for the one whose quote its own
    /// counts as. `None` for another topic.
    fn ways(&self, topic: &Topic) -> Option<Arc<[Way]>> {
        if let Some(ways) = self.ways.get(topic) {
            return Some(ways.clone());
        }
        let own = source_symbol(topic)?;
        let other = self
            .quote_as
            .get(own.quote())
            .and_then(|quote| Symbol::parse(&format!("{}-{quote}", own.base())))
            .filter(|other| *other != own);
        let way = |symbol, borrowed| self.entry(&symbol).map(|entry| Way { entry, borrowed });
        let own = way(own, false);
        let other = other.and_then(|other| way(other, true));
        let ways: Arc<[Way]> = own.into_iter().chain(other).collect();
        Some(self.ways.entry(topic.clone()).or_insert(ways).clone())
    }
}

/// Who is left out of an entry, and of what: places among its sources, in order.
#[derive(Debug, Default)]
struct Excluded {
    places: Vec<usize>,
    chosen: usize,
    sources: usize,
}

impl Excluded {
    /// `live` are the places of those that `verdict` is about.
    fn of(verdict: &Verdict, live: &[usize]) -> Self {
        let places = verdict.excluded.iter().filter_map(|vote| live.get(*vote).copied()).collect();
        let chosen = live.get(verdict.chosen).copied().unwrap_or_default();
        Self { places, chosen, sources: verdict.sources }
    }
}

/// The order of failover: those that `prefer` names, then the others as they are configured.
fn terms(config: &ConsolidateConfig, feeds: &[Source]) -> HashMap<Source, Terms> {
    let preferred = |feed: &Source| config.prefer.iter().position(|name| **name == **feed);
    let mut order: Vec<&Source> = feeds.iter().collect();
    order.sort_by_key(|feed| preferred(feed).unwrap_or(usize::MAX));
    let terms = |(order, feed): (usize, &Source)| {
        let weight = config.weights.get(feed.as_ref()).copied().unwrap_or(1);
        (feed.clone(), Terms { order, weight, preferred: preferred(feed).is_some() })
    };
    order.into_iter().enumerate().map(terms).collect()
}

/// The symbol of `price.<SYMBOL>.<feed>`; `None` for another topic.
fn source_symbol(topic: &Topic) -> Option<Symbol> {
    let mut tokens = topic.as_str().split('.');
    match (tokens.next(), tokens.next(), tokens.next(), tokens.next()) {
        (Some("price"), Some(symbol), Some(_), None) => Symbol::parse(symbol),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
