//! Many sources, one price: `price.<SYMBOL>` from every `price.<SYMBOL>.<feed>`.

use std::{collections::BTreeMap, sync::Arc};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::config::ConsolidateConfig;
use crate::{
    hub::{Hub, Trouble},
    market::{Data, Source, Symbol, Tick, Topic},
    units::Micros,
};

/// A source as the choice sees it.
#[derive(Debug, Clone, Copy)]
pub struct SourceView<'a> {
    /// The feed's name.
    pub feed: &'a str,
    /// Whether it may be chosen: not stale, and its breaker closed.
    pub live: bool,
}

/// Which of `sources`, in configured order, speaks for all: the first live one in the order of
/// `prefer`, else the first live one.
pub fn choose(sources: &[SourceView<'_>], prefer: &[String]) -> Option<usize> {
    let first = |wanted: &dyn Fn(&SourceView<'_>) -> bool| {
        sources.iter().position(|source| source.live && wanted(source))
    };
    prefer.iter().find_map(|name| first(&|source| source.feed == name)).or_else(|| first(&|_| true))
}

/// Holds every source's last tick by symbol and publishes the chosen one.
pub struct Consolidator {
    hub: Arc<Hub>,
    /// Feeds in configured order.
    feeds: Vec<Source>,
    prefer: Vec<String>,
    quote_as: BTreeMap<String, String>,
    symbols: DashMap<Symbol, Arc<Mutex<Entry>>>,
}

struct Entry {
    topic: Topic,
    /// In configured order, a market in the symbol's own quote before one that merely counts as.
    sources: Vec<Held>,
    shown: Option<Shown>,
}

struct Held {
    rank: (usize, bool),
    tick: Tick,
    feed: Source,
    rx: Micros,
    stale_after: Micros,
    blocked: bool,
}

/// What was published last: whose, and of how many.
#[derive(PartialEq, Eq)]
struct Shown {
    topic: Topic,
    live: usize,
}

impl Consolidator {
    /// Without any source yet; `feeds` are in configured order.
    pub fn new(hub: Arc<Hub>, config: ConsolidateConfig, feeds: Vec<Source>) -> Self {
        Self {
            hub,
            feeds,
            prefer: config.prefer,
            quote_as: config.quote_as,
            symbols: DashMap::new(),
        }
    }

    /// Makes the topics known that `topic`, where it is a source's price, will be part of.
    pub fn declare(&self, topic: &Topic) {
        for (symbol, _) in self.symbols_of(topic) {
            if let Some(entry) = self.entry(&symbol) {
                self.hub.declare(&entry.lock().topic);
            }
        }
    }

    /// The topics that `topic`, where it is a source's price, is part of.
    pub fn parts_of(&self, topic: &Topic) -> Vec<Topic> {
        let entries = self.symbols_of(topic).into_iter().map(|(symbol, _)| self.entry(&symbol));
        entries.flatten().map(|entry| entry.lock().topic.clone()).collect()
    }

    /// Takes a tick that `feed` published at `rx`, changed or merely confirmed. Anything but a
    /// source's price is ignored.
    pub fn offer(&self, tick: &Tick, feed: &Source, rx: Micros, stale_after: Micros) {
        let order = self.feeds.iter().position(|known| known == feed).unwrap_or(self.feeds.len());
        for (symbol, borrowed) in self.symbols_of(&tick.topic) {
            let Some(entry) = self.entry(&symbol) else {
                continue;
            };
            let mut entry = entry.lock();
            entry.hold(Held {
                rank: (order, borrowed),
                tick: tick.clone(),
                feed: feed.clone(),
                rx,
                stale_after,
                blocked: false,
            });
            self.refresh(&mut entry, Some(&tick.topic), rx);
        }
    }

    /// `feed` could not confirm `topic`. One whose breaker is open leaves at once.
    pub fn trouble(&self, topic: &Topic, feed: &Source, trouble: Trouble, now: Micros) {
        for (symbol, _) in self.symbols_of(topic) {
            let Some(entry) = self.entry(&symbol) else {
                continue;
            };
            let mut entry = entry.lock();
            let held = entry.sources.iter_mut().find(|held| held.tick.topic == *topic);
            if let Some(held) = held {
                held.blocked |= trouble.blocked;
            }
            self.refresh(&mut entry, None, now);
            // The hub ignores this where another source is the one that confirms.
            self.hub.trouble(&entry.topic, feed, trouble, now);
        }
    }

    /// Lets time pass: a source that has gone stale leaves and the next in order takes over.
    pub fn sweep(&self, now: Micros) {
        let entries: Vec<_> = self.symbols.iter().map(|entry| entry.value().clone()).collect();
        for entry in entries {
            self.refresh(&mut entry.lock(), None, now);
        }
    }

    /// Publishes the chosen source where it, or the number of sources, has changed or where it is
    /// the one `offered`. Under the entry's lock, so that the last choice is the last published.
    fn refresh(&self, entry: &mut Entry, offered: Option<&Topic>, now: Micros) {
        let views: Vec<_> = entry.sources.iter().map(|held| held.view(now)).collect();
        let live = views.iter().filter(|view| view.live).count();
        let chosen = choose(&views, &self.prefer).and_then(|index| entry.sources.get(index));
        let Some(held) = chosen else {
            // The last value stays, and the hub lets it age.
            entry.shown = None;
            return;
        };
        let shown = Shown { topic: held.tick.topic.clone(), live };
        if entry.shown.as_ref() == Some(&shown) && offered != Some(&held.tick.topic) {
            return;
        }
        let tick = Tick {
            topic: entry.topic.clone(),
            data: consolidated(&held.tick.data, live),
            ts: held.tick.ts,
        };
        self.hub.publish(&tick, &held.feed, held.rx, held.stale_after);
        entry.shown = Some(shown);
    }

    fn entry(&self, symbol: &Symbol) -> Option<Arc<Mutex<Entry>>> {
        if let Some(entry) = self.symbols.get(symbol) {
            return Some(entry.clone());
        }
        let entry = Entry {
            topic: Topic::parse(&format!("price.{symbol}")).ok()?,
            sources: Vec::new(),
            shown: None,
        };
        let entry =
            self.symbols.entry(symbol.clone()).or_insert_with(|| Arc::new(Mutex::new(entry)));
        Some(entry.clone())
    }

    /// Symbols for which a source's price counts: its own, and the one whose quote its own counts
    /// as (`true`). None for another topic.
    fn symbols_of(&self, topic: &Topic) -> Vec<(Symbol, bool)> {
        let mut tokens = topic.as_str().split('.');
        let (Some("price"), Some(symbol), Some(_), None) =
            (tokens.next(), tokens.next(), tokens.next(), tokens.next())
        else {
            return Vec::new();
        };
        let Some(own) = Symbol::parse(symbol) else {
            return Vec::new();
        };
        let other = self
            .quote_as
            .get(own.quote())
            .and_then(|quote| Symbol::parse(&format!("{}-{quote}", own.base())))
            .filter(|other| *other != own);
        let mut symbols = vec![(own, false)];
        symbols.extend(other.map(|other| (other, true)));
        symbols
    }
}

impl Entry {
    fn hold(&mut self, new: Held) {
        self.sources.retain(|held| held.tick.topic != new.tick.topic);
        let at = self.sources.partition_point(|held| held.rank < new.rank);
        self.sources.insert(at, new);
    }
}

impl Held {
    fn view(&self, now: Micros) -> SourceView<'_> {
        SourceView {
            feed: &self.feed,
            live: !self.blocked && now.saturating_sub(self.rx) < self.stale_after,
        }
    }
}

fn consolidated(data: &Data, live: usize) -> Data {
    data.clone().with("sources", i64::try_from(live).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
