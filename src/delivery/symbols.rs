//! Listing the markets that there are prices of.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Serialize, de::IgnoredAny};

use super::reader::{Page, Reader, page, page_size, read_pattern};
use crate::{
    hub::Slot,
    market::{Symbol, fields},
    protocol::code::ErrorBody,
    units::Micros,
};

/// One market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SymbolRow {
    /// `BTC-USD`.
    pub symbol: String,
    /// What is bought.
    pub base: String,
    /// What it is paid in.
    pub quote: String,
    /// The feeds that give its price.
    pub sources: BTreeSet<String>,
    /// Other spellings that are understood in requests.
    pub aliases: Vec<String>,
    /// The fields of its prices, as far as any source has sent them.
    pub fields: BTreeMap<String, FieldRow>,
}

/// What a field is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldRow {
    /// Its unit; null for what has none, or another with each source.
    pub unit: Option<String>,
    /// What it says, for a person; absent for a field that is not one of the protocol's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<&'static str>,
}

/// A topic of prices, and the feed that it is of; a consolidated one is of none.
type Priced = (std::sync::Arc<Slot>, Option<String>);

impl Reader {
    /// Markets by name.
    ///
    /// # Errors
    /// `bad_request` for a limit out of bounds.
    pub fn symbols(
        &self,
        limit: Option<usize>,
        cursor: Option<&str>,
        now: Micros,
    ) -> Result<Page<SymbolRow>, ErrorBody> {
        let limit = page_size(limit)?;
        let mut markets: BTreeMap<String, (Symbol, Vec<Priced>)> = BTreeMap::new();
        for slot in self.hub.matching(&read_pattern("price.>")?) {
            if let Some((symbol, source)) = market(slot.topic().as_str()) {
                let market = markets.entry(symbol.to_string());
                market.or_insert_with(|| (symbol, Vec::new())).1.push((slot, source));
            }
        }
        Ok(page(markets.into_iter(), limit, cursor, |_, (symbol, priced)| {
            row(&symbol, &priced, now)
        }))
    }
}

/// The market and the feed in the name of a price.
fn market(topic: &str) -> Option<(Symbol, Option<String>)> {
    let mut tokens = topic.split('.').skip(1);
    let name = tokens.next()?;
    let symbol = Symbol::parse(name).filter(|symbol| symbol.as_str() == name)?;
    let source = tokens.next().map(str::to_owned);
    tokens.next().is_none().then_some((symbol, source))
}

fn row(symbol: &Symbol, priced: &[Priced], now: Micros) -> SymbolRow {
    let mut fields = BTreeMap::new();
    for (slot, _) in priced {
        let Some(last) = slot.head(now).last else { continue };
        let named: BTreeMap<&str, IgnoredAny> =
            serde_json::from_slice(&last.update.data).unwrap_or_default();
        for name in named.into_keys() {
            fields.entry(name.to_owned()).or_insert_with(|| field(symbol, slot, name));
        }
    }
    SymbolRow {
        symbol: symbol.to_string(),
        base: symbol.base().to_owned(),
        quote: symbol.quote().to_owned(),
        sources: priced.iter().filter_map(|(_, source)| source.clone()).collect(),
        aliases: symbol.aliases(),
        fields,
    }
}

fn field(symbol: &Symbol, slot: &Slot, name: &str) -> FieldRow {
    let known = fields::of(slot.topic().as_str()).iter().find(|field| field.name == name);
    FieldRow {
        unit: known.and_then(|field| field.unit.name(Some(symbol))).map(str::to_owned),
        meaning: known.map(|field| field.meaning),
    }
}
