//! What a feed's configuration asks for.

use super::mistake::{At, Mistake, Mistakes, all};
use crate::{
    market::{Symbol, Topic},
    upstream::config::FeedConfig,
};

/// A market that a feed asks for, with the topic of its price at this source.
#[derive(Debug, Clone)]
pub(super) struct Market {
    /// The market.
    pub(super) symbol: Symbol,
    /// The id that the configuration gives it.
    pub(super) id: Option<String>,
    /// `price.<SYMBOL>.<feed name>`.
    pub(super) topic: Topic,
}

/// The markets of `symbols`, each once, in the order in which they are first named.
///
/// # Errors
/// Names the key that is wrong.
pub(super) fn markets(feed: &FeedConfig) -> Result<Vec<Market>, Mistakes> {
    if feed.symbols.is_empty() {
        return Err(Mistake::at("symbols", "must not be empty").into());
    }
    let ids = all(feed.ids.iter().map(|(name, id)| {
        let symbol = Symbol::parse(name)
            .ok_or_else(|| Mistake::id(name, "is not for a symbol like BTC-USD"))?;
        if !is_id(&id.0) {
            return Err(no_id(&symbol));
        }
        Ok((symbol, id.0.clone()))
    }))?;
    let symbols = all(feed.symbols.iter().enumerate().map(|(index, name)| {
        Symbol::parse(name).ok_or_else(|| {
            let message = format!("is `{name}`, which is not a symbol like BTC-USD");
            Mistake::below("symbols", At::Index(index), message)
        })
    }))?;
    let mut markets: Vec<Market> = Vec::new();
    for symbol in symbols {
        if markets.iter().any(|market| market.symbol == symbol) {
            continue;
        }
        let id = ids.iter().find(|(of, _)| *of == symbol);
        markets.push(Market {
            topic: price_topic(&symbol, &feed.name)?,
            id: id.map(|(_, id)| id.clone()),
            symbol,
        });
    }
    Ok(markets)
}

/// Whether a text can be an id. With a comma it would be two in the lists that the APIs take.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// An id that becomes a part of a path.
///
/// # Errors
/// Names the symbol whose id cannot be one.
pub(super) fn path_part(symbol: &Symbol, id: String) -> Result<String, Mistake> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
    if id.bytes().all(allowed) {
        return Ok(id);
    }
    Err(no_id(symbol))
}

fn no_id(symbol: &Symbol) -> Mistake {
    Mistake::id(symbol, "cannot be an id")
}

fn price_topic(symbol: &Symbol, feed: &str) -> Result<Topic, Mistake> {
    if feed.contains('.') {
        return Err(Mistake::at("name", "must be one token of a topic: it has a dot"));
    }
    Topic::parse(&format!("price.{symbol}.{feed}"))
        .map_err(|error| Mistake::at("name", format!("cannot be part of a topic: {error}")))
}

/// The place of a symbol in the configuration.
pub(super) fn symbol_mistake(feed: &FeedConfig, symbol: &Symbol, message: String) -> Mistake {
    let same = |name: &String| Symbol::parse(name).is_some_and(|known| known == *symbol);
    match feed.symbols.iter().position(same) {
        Some(index) => Mistake::below("symbols", At::Index(index), message),
        None => Mistake::at("symbols", message),
    }
}

/// The row of an endpoint in a provider's table, whose first row is the default.
///
/// # Errors
/// Lists the endpoints there are.
pub(super) fn endpoint<'t, T>(
    feed: &FeedConfig,
    table: &'t [(&'static str, T)],
) -> Result<&'t T, Mistake> {
    let found = match &feed.endpoint {
        None => table.first(),
        Some(asked) => table.iter().find(|(name, _)| name == asked),
    };
    found.map(|(_, row)| row).ok_or_else(|| {
        let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        Mistake::at("endpoint", format!("must be one of {}", names.join(", ")))
    })
}

/// `items` without those that came before, in their order.
pub(super) fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for item in items {
        if !distinct.contains(&item) {
            distinct.push(item);
        }
    }
    distinct
}
