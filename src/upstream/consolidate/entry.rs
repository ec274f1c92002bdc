//! What is held of one symbol: its sources' last ticks, and what was published of them.

use std::sync::Arc;

use super::{
    apart::Number,
    median::{Verdict, Vote},
};
use crate::{
    hub::{Slot, Standing, Trouble},
    market::{Data, Decimal, Tick, Topic, Value},
    units::Micros,
    upstream::feed::Feed,
};

/// The one field that another source may supply: a change in per cent means the same everywhere.
/// What was traded, and between which prices, is each market's own.
const CHANGE: &str = "change_24h_pct";

/// Where a source stands among those of a symbol; the least speaks first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// The feed's place in the order of failover.
    pub order: usize,
    /// Whether its quote merely counts as the symbol's.
    pub borrowed: bool,
    /// Between two of one feed.
    pub topic: Topic,
}

/// One source's last word.
pub(super) struct Held {
    pub rank: Rank,
    pub feed: Arc<Feed>,
    pub weight: u32,
    pub preferred: bool,
    pub tick: Tick,
    pub quotes: Quotes,
    pub rx: Micros,
    /// What has kept it from confirming since then.
    pub trouble: Option<Trouble>,
    /// Its breaker is, or has been, open since then.
    pub blocked: bool,
    /// Its price does not count now.
    pub excluded: bool,
    /// That has been counted for this very value.
    pub counted: bool,
}

/// What a tick says that is compared with what others say.
pub(super) struct Quotes {
    price: Option<Number>,
    bid: Option<Number>,
    ask: Option<Number>,
}

impl Quotes {
    pub(super) fn of(data: &Data) -> Self {
        let read = |name| data.decimal(name).map(Number::of);
        Self { price: read("price"), bid: read("bid"), ask: read("ask") }
    }
}

/// One symbol.
pub(super) struct Entry {
    pub slot: Arc<Slot>,
    /// By rank.
    pub sources: Vec<Held>,
    pub shown: Option<Shown>,
    /// What the hub was told last of its freshness.
    pub standing: Option<Standing>,
    /// When the next source goes stale.
    pub due: Micros,
}

/// What was published last, as far as it is not the chosen source's own tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub topic: Topic,
    sources: usize,
    spread_ppm: Option<u64>,
    bid: Option<Decimal>,
    ask: Option<Decimal>,
    change: Option<Value>,
}

impl Held {
    fn stale_at(&self) -> Micros {
        self.rx.saturating_add(self.feed.stale_after())
    }

    fn down_at(&self) -> Micros {
        self.rx.saturating_add(self.feed.stale_after().saturating_mul(3))
    }

    fn is_live(&self, now: Micros) -> bool {
        !self.blocked && now < self.stale_at()
    }

    pub(super) fn vote(&self) -> Vote<'_> {
        let Quotes { price, bid, ask } = &self.quotes;
        Vote {
            price: price.as_ref(),
            bid: bid.as_ref(),
            ask: ask.as_ref(),
            weight: self.weight,
            preferred: self.preferred,
            excluded: self.excluded,
        }
    }
}

impl Entry {
    pub(super) fn new(slot: Arc<Slot>) -> Self {
        Self { slot, sources: Vec::new(), shown: None, standing: None, due: Micros::MAX }
    }

    pub(super) fn hold(&mut self, new: Held) {
        match self.sources.binary_search_by(|held| held.rank.cmp(&new.rank)) {
            Ok(at) => {
                if let Some(held) = self.sources.get_mut(at) {
                    *held = Held { excluded: held.excluded, ..new };
                }
            }
            Err(at) => self.sources.insert(at, new),
        }
    }

    /// Places of the live sources. A feed speaks once: two of its markets are no two witnesses.
    pub(super) fn live(&self, now: Micros) -> Vec<usize> {
        let mut live: Vec<usize> = Vec::with_capacity(self.sources.len());
        let mut last = None;
        for (index, held) in self.sources.iter().enumerate() {
            if held.is_live(now) && last != Some(held.rank.order) {
                live.push(index);
                last = Some(held.rank.order);
            }
        }
        live
    }

    /// When the first of the live sources goes stale.
    pub(super) fn next_due(&self, now: Micros) -> Micros {
        let live = self.sources.iter().filter(|held| held.is_live(now));
        live.map(Held::stale_at).min().unwrap_or(Micros::MAX)
    }

    /// How fresh the symbol is with `source` as the one that speaks: as fresh as the best.
    pub(super) fn standing_of(&self, source: &Held) -> Standing {
        let latest = |of: fn(&Held) -> Micros| {
            let open = self.sources.iter().filter(|held| !held.blocked);
            open.map(of).max().unwrap_or(Micros::MIN)
        };
        Standing {
            source: source.feed.name().clone(),
            confirmed: source.rx,
            stale_at: latest(Held::stale_at),
            down_at: latest(Held::down_at),
            trouble: source.trouble,
        }
    }

    /// The source whose tick was published last.
    pub(super) fn shown_source(&self) -> Option<&Held> {
        let shown = self.shown.as_ref()?;
        self.sources.iter().find(|held| held.tick.topic == shown.topic)
    }
}

/// A verdict on the live sources of an entry, as it is published.
pub(super) struct Outcome<'a> {
    pub chosen: &'a Held,
    /// When the newest answer came that is in it.
    pub rx: Micros,
    pub shown: Shown,
}

impl<'a> Outcome<'a> {
    /// `live` are the sources that `verdict` is about.
    pub(super) fn of(verdict: &Verdict, live: &[&'a Held]) -> Option<Self> {
        let chosen = *live.get(verdict.chosen)?;
        let counted = || {
            let counts = |index: &usize| verdict.excluded.binary_search(index).is_err();
            live.iter().enumerate().filter(move |(index, _)| counts(index)).map(|(_, held)| *held)
        };
        let quote = |by: Option<usize>, name| {
            by.and_then(|by| live.get(by)).and_then(|held| held.tick.data.decimal(name)).cloned()
        };
        let own = chosen.tick.data.get(CHANGE);
        let change = own.or_else(|| counted().find_map(|held| held.tick.data.get(CHANGE)));
        let shown = Shown {
            topic: chosen.tick.topic.clone(),
            sources: verdict.sources,
            spread_ppm: verdict.spread_ppm,
            bid: quote(verdict.bid, "bid"),
            ask: quote(verdict.ask, "ask"),
            change: change.cloned(),
        };
        Some(Self { chosen, rx: counted().map(|held| held.rx).max()?, shown })
    }

    /// The chosen source's own data, with what the others add.
    pub(super) fn data(&self) -> Data {
        let mut data = self.chosen.tick.data.clone();
        let shown = &self.shown;
        data.set("bid", shown.bid.clone().map(Value::Decimal));
        data.set("ask", shown.ask.clone().map(Value::Decimal));
        data.set(CHANGE, shown.change.clone());
        data.set("sources", i64::try_from(shown.sources).ok().map(Value::Int));
        data.set("spread_bps", shown.spread_ppm.and_then(basis_points).map(Value::Decimal));
        data
    }
}

/// Millionths as basis points, with two places.
fn basis_points(ppm: u64) -> Option<Decimal> {
    Decimal::parse(&format!("{}.{:02}", ppm / 100, ppm % 100)).ok()
}

/// Why `held` is left out, as a person is told.
pub(super) fn outlier_message(held: &Held, chosen: &Held, sources: usize, pct: f64) -> String {
    let price = |held: &Held| held.tick.data.decimal("price").map(Decimal::to_string);
    format!(
        "{} does not count: {} is more than {pct} % away from {}, the price of {sources} others",
        held.tick.topic,
        price(held).unwrap_or_default(),
        price(chosen).unwrap_or_default(),
    )
}
