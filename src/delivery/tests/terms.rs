//! What may be asked of a subscription, and what it means, said again in whole numbers: prices are
//! tenths, and the few filters are written out by hand.

use std::{cell::RefCell, collections::HashMap};

use serde_json::{Map, Value as Json, json};

use crate::{
    delivery::{Options, Shared},
    market::{Data, Decimal},
};

/// Sets of `fields`.
pub(super) const FIELDS: [&[&str]; 3] = [&["price"], &["note", "lots"], &["nothing"]];

/// One value of a topic, in tenths of its price. All of its `data` follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value(pub(super) u64);

/// How one subscription is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) every: bool,
    /// Milliseconds between two updates.
    pub(super) interval: Option<u64>,
    pub(super) filter: Option<Condition>,
    pub(super) edge: bool,
    pub(super) least: Option<Least>,
    /// Which of [`FIELDS`].
    pub(super) fields: Option<usize>,
    pub(super) snapshot: bool,
    pub(super) status: bool,
}

/// The filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    High,
    Outside,
    /// Of a field that is not always there.
    Lots,
    /// Fails for high prices.
    Faulty,
}

/// What a filter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Yes,
    No,
    Fault,
}

/// The least move, of `lots` where it says so, else of the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Least {
    pub(super) lots: bool,
    pub(super) move_by: MoveBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MoveBy {
    Tenths(u64),
    Bps(u64),
}

impl Value {
    fn price(self) -> String {
        format!("{}.{}", self.0 / 10, self.0 % 10)
    }

    /// Missing in every third value.
    fn lots(self) -> Option<u64> {
        (!self.0.is_multiple_of(3)).then_some(self.0 % 5)
    }

    /// As it is published.
    pub(super) fn data(self) -> Data {
        let lots = self.lots().map(|lots| i64::try_from(lots).unwrap());
        let price = Decimal::parse(&self.price()).unwrap();
        Data::new().with("price", price).with_opt("lots", lots).with("note", "n/a")
    }

    /// As it must come.
    pub(super) fn json(self, fields: Option<usize>) -> Json {
        let mut all = Map::new();
        all.insert("price".into(), json!(self.price()));
        all.insert("note".into(), json!("n/a"));
        if let Some(lots) = self.lots() {
            all.insert("lots".into(), json!(lots));
        }
        if let Some(fields) = fields {
            all.retain(|name, _| FIELDS[fields].contains(&name.as_str()));
        }
        Json::Object(all)
    }
}

impl Condition {
    fn text(self) -> &'static str {
        match self {
            Self::High => "data.price >= 0.9",
            Self::Outside => {
                "data.price < 0.3 || data.price > 1.1 && topic.startsWith('price.A-B')"
            }
            Self::Lots => "data.lots > 1",
            Self::Faulty => "data.price > 0.6 && data.note > 1.0",
        }
    }

    pub(super) fn says(self, topic: &str, value: Value) -> Said {
        let price = value.0;
        let yes = match self {
            Self::High => price >= 9,
            Self::Outside => price < 3 || (price > 11 && topic.starts_with("price.A-B")),
            Self::Lots => value.lots().is_some_and(|lots| lots > 1),
            Self::Faulty if price > 6 => return Said::Fault,
            Self::Faulty => false,
        };
        if yes { Said::Yes } else { Said::No }
    }
}

impl Least {
    /// The number that it watches, in tenths; nothing where the field is missing.
    pub(super) fn watched(self, value: Value) -> Option<u64> {
        if self.lots { value.lots().map(|lots| lots * 10) } else { Some(value.0) }
    }

    /// Whether from `before` to `now` is enough.
    pub(super) fn reached(self, before: u64, now: u64) -> bool {
        let moved = before.abs_diff(now);
        match self.move_by {
            MoveBy::Tenths(least) => moved >= least,
            MoveBy::Bps(bps) => moved * 10_000 >= before * bps,
        }
    }

    fn asked(self) -> String {
        let field = if self.lots { "lots" } else { "price" };
        let size = match self.move_by {
            MoveBy::Tenths(tenths) => format!(r#""abs":{}"#, Value(tenths).price()),
            MoveBy::Bps(bps) => format!(r#""bps":{bps}"#),
        };
        format!(r#"{{"field":"{field}",{size}}}"#)
    }
}

impl Terms {
    /// As a client would ask.
    pub(super) fn asked(&self) -> String {
        let mode = if self.every { "every" } else { "latest" };
        let trigger = if self.edge { "edge" } else { "level" };
        let mut asked = format!(
            r#"{{"topics":[],"mode":"{mode}","trigger":"{trigger}","snapshot":{},"status":{}"#,
            self.snapshot, self.status
        );
        if let Some(ms) = self.interval {
            asked += &format!(r#","max_rate":{}"#, 1000.0 / f64::from(u32::try_from(ms).unwrap()));
        }
        if let Some(filter) = self.filter {
            asked += &format!(r#","filter":"{}""#, filter.text());
        }
        if let Some(least) = self.least {
            asked += &format!(r#","min_change":{}"#, least.asked());
        }
        if let Some(fields) = self.fields {
            asked += &format!(r#","fields":{}"#, json!(FIELDS[fields]));
        }
        asked + "}"
    }
}

/// Options that were read once: a new filter takes a thread and a millisecond.
#[derive(Default)]
pub(super) struct Compiled {
    shared: Shared,
    known: RefCell<HashMap<String, Options>>,
}

impl Compiled {
    pub(super) fn options(&self, terms: &Terms) -> Options {
        let text = terms.asked();
        let mut known = self.known.borrow_mut();
        let options = known.entry(text).or_insert_with_key(|text| {
            Options::from_request(&serde_json::from_str(text).unwrap(), &self.shared).unwrap()
        });
        options.clone()
    }
}
