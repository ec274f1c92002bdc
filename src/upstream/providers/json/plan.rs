//! What a feed's configuration asks for, with every path compiled.

use std::collections::BTreeMap;

use serde_json_path::JsonPath;

use super::super::mistake::{At, Mistake};
use crate::{
    market::{Symbol, Topic, fields},
    upstream::{
        config::{FeedConfig, Id, Method, TimeUnit, TopicConfig},
        providers::value::{self, Kind},
    },
};

/// What stands for an element's symbol in a topic.
const PLACEHOLDER: &str = "{symbol}";

/// Kinds of topics that no configured source may publish.
const RESERVED: [&str; 3] = ["status", "trade", "book"];

/// What to take from an answer.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) topics: Vec<TopicPlan>,
    /// The symbols to take; empty for all.
    pub(super) wanted: Vec<Symbol>,
    /// What the API's ids mean, where it has its own.
    pub(super) ids: BTreeMap<String, Symbol>,
}

/// What to take for one `[[feeds.topics]]`.
#[derive(Debug)]
pub(super) struct TopicPlan {
    /// The topic, perhaps with a placeholder.
    template: String,
    pub(super) each: Option<JsonPath>,
    pub(super) symbol: Option<SymbolPlan>,
    pub(super) fields: Vec<FieldPlan>,
    pub(super) ts: Option<(JsonPath, String, TimeUnit)>,
}

#[derive(Debug)]
pub(super) struct SymbolPlan {
    pub(super) path: JsonPath,
    pub(super) quote: Option<String>,
}

#[derive(Debug)]
pub(super) struct FieldPlan {
    pub(super) name: String,
    pub(super) path: JsonPath,
    /// The path as it was written.
    pub(super) text: String,
    pub(super) kind: Kind,
}

impl TopicPlan {
    /// The topic of `symbol`.
    ///
    /// # Errors
    /// Says why there is none.
    pub(super) fn topic(&self, symbol: Option<&Symbol>) -> Result<Topic, String> {
        let name = match symbol {
            Some(symbol) => self.template.replace(PLACEHOLDER, symbol.as_str()),
            None => self.template.clone(),
        };
        Topic::parse(&name).map_err(|error| format!("{name} cannot be a topic: {error}"))
    }

    /// The field without which there is no tick, if one is: a price without a price is none.
    pub(super) fn essential(&self) -> Option<&str> {
        let priced = self.template.starts_with("price.");
        (priced && self.fields.iter().any(|field| field.name == "price")).then_some("price")
    }
}

/// Reads what a `json` feed asks for.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn compile(feed: &FeedConfig) -> Result<Plan, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    if feed.url.is_none() {
        mistakes.push(mistake(&[key("url")], "is required by a json feed"));
    }
    sending(feed, &mut mistakes);
    let tables = feed.topic_tables();
    if tables.is_empty() {
        let message = "a json feed must say what to publish: write [[feeds.topics]] for each";
        mistakes.push(mistake(&[key("topics")], message));
    }
    let mut topics: Vec<TopicPlan> = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let mut compiler = Compiler { index, mistakes: &mut mistakes };
        let Some(plan) = compiler.topic(table, &feed.name) else { continue };
        if plan.symbol.is_none() && topics.iter().any(|other| other.template == plan.template) {
            compiler.refuse(&[key("topic")], "is also the topic of another table");
        }
        topics.push(plan);
    }
    let several = topics.iter().any(|topic| topic.symbol.is_some());
    for (name, given) in [("symbols", !feed.symbols.is_empty()), ("ids", !feed.ids.is_empty())] {
        if given && !several && !topics.is_empty() {
            let message = "no topic of this feed holds {symbol}";
            mistakes.push(mistake(&[key(name)], message));
        }
    }
    // Spellings are checked as those of every feed are.
    let wanted = feed.symbols.iter().filter_map(|name| Symbol::parse(name)).collect();
    let id = |(name, id): (&String, &Id)| Some((id.0.clone(), Symbol::parse(name)?));
    let ids = feed.ids.iter().filter_map(id).collect();
    if mistakes.is_empty() { Ok(Plan { topics, wanted, ids }) } else { Err(mistakes) }
}

/// The rules of `method` and `body`.
fn sending(feed: &FeedConfig, mistakes: &mut Vec<Mistake>) {
    let Some(body) = &feed.body else { return };
    if feed.method == Some(Method::Get) {
        let message = "is not sent with GET: leave one of them out";
        mistakes.push(mistake(&[key("body")], message));
    }
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(body) {
        let message = format!("is not JSON: column {} of line {}", error.column(), error.line());
        mistakes.push(mistake(&[key("body")], message));
    }
}

fn mistake(at: &[At], message: impl Into<String>) -> Mistake {
    Mistake { at: at.to_vec(), message: message.into() }
}

fn key(name: &str) -> At {
    At::Key(name.to_owned())
}

/// Compiles one `[[feeds.topics]]`.
struct Compiler<'a> {
    index: usize,
    mistakes: &'a mut Vec<Mistake>,
}

impl Compiler<'_> {
    fn refuse(&mut self, below: &[At], message: impl Into<String>) {
        let at = [key("topics"), At::Index(self.index)].into_iter().chain(below.iter().cloned());
        self.mistakes.push(Mistake { at: at.collect(), message: message.into() });
    }

    fn path(&mut self, below: &[At], text: &str) -> Option<JsonPath> {
        match JsonPath::parse(text) {
            Ok(path) => Some(path),
            Err(error) => {
                let error = error.to_string();
                self.refuse(below, format!("{text:?} is not a JSONPath (RFC 9535): {error}"));
                None
            }
        }
    }

    /// `None` when something was refused.
    fn topic(&mut self, table: &TopicConfig, feed: &str) -> Option<TopicPlan> {
        let before = self.mistakes.len();
        let template = self.template(table, feed);
        let each = table.each.as_ref().and_then(|text| self.path(&[key("each")], text));
        let symbol = table.symbol.as_ref().and_then(|symbol| {
            let path = self.path(&[key("symbol"), key("path")], &symbol.path)?;
            let good = |quote: &String| Symbol::parse(&format!("BTC-{quote}")).is_some();
            if !symbol.quote.as_ref().is_none_or(good) {
                let message = "is not what something is paid in, as in \"USD\"";
                self.refuse(&[key("symbol"), key("quote")], message);
            }
            Some(SymbolPlan { path, quote: symbol.quote.clone() })
        });
        let fields = self.fields(table);
        let ts = table.ts.as_ref().and_then(|ts| {
            let path = self.path(&[key("ts"), key("path")], &ts.path)?;
            Some((path, ts.path.clone(), ts.unit))
        });
        (self.mistakes.len() == before).then_some(TopicPlan { template, each, symbol, fields, ts })
    }

    /// The topic as it is published: a price is one source's.
    fn template(&mut self, table: &TopicConfig, feed: &str) -> String {
        let at = [key("topic")];
        let topic = &table.topic;
        let holds = topic.contains(PLACEHOLDER);
        let template = match topic.split('.').next() {
            Some("price") => format!("{topic}.{feed}"),
            _ => topic.clone(),
        };
        let example = template.replace(PLACEHOLDER, "BTC-USD");
        let written = topic.replace(PLACEHOLDER, "BTC-USD");
        let kind = topic.split('.').next().unwrap_or_default();
        let market = written.split('.').nth(1).and_then(Symbol::parse);
        if let Err(error) = Topic::parse(&example) {
            self.refuse(&at, format!("{topic:?} cannot be a topic: {error}"));
        } else if RESERVED.contains(&kind) {
            self.refuse(&at, format!("topics of {kind} are not for feeds of this kind"));
        } else if kind == "price" && (market.is_none() || written.split('.').count() != 2) {
            let message = format!(
                "{topic:?} is not price.<SYMBOL>, as in \"price.BTC-USD\" or \"price.{{symbol}}\"; \
                 the feed's name is added"
            );
            self.refuse(&at, message);
        } else if let Some(canonical) = Topic::canonical_text(&written) {
            self.refuse(&at, format!("{topic:?} is not canonical, write {canonical:?}"));
        }
        if holds && table.symbol.is_none() {
            let message = "{symbol} needs to know where it is: \
                           symbol = { path = \"$.symbol\", quote = \"USD\" }";
            self.refuse(&at, message);
        } else if !holds && (table.each.is_some() || table.symbol.is_some()) {
            let message = "every element would have this one topic: write {symbol} in it, or \
                           leave out each and symbol and begin the paths of fields and ts with one \
                           element, as in $[-1][4] for the last of an array of arrays";
            self.refuse(&at, message);
        }
        template
    }

    /// The fields in the protocol's order, and after them those that it does not know.
    fn fields(&mut self, table: &TopicConfig) -> Vec<FieldPlan> {
        if table.fields.is_empty() {
            self.refuse(&[key("fields")], "must name at least one");
        }
        let known = fields::of(&table.topic);
        let mut found = Vec::new();
        for (name, text) in &table.fields {
            let at = [key("fields"), key(name)];
            if !value::is_name(name) {
                self.refuse(&at, "a field's name is A-Z, a-z, 0-9 and _, at most 64 of them");
            }
            let Some(path) = self.path(&at, text) else { continue };
            let place = known.iter().position(|field| field.name == name);
            let field = FieldPlan {
                name: name.clone(),
                path,
                text: text.clone(),
                kind: Kind::of(&table.topic, name),
            };
            found.push((place.unwrap_or(known.len()), field));
        }
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, field)| field).collect()
    }
}
