//! What a feed's configuration asks for.

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
pub(super) fn markets(feed: &FeedConfig) -> Result<Vec<Market>, String> {
    if feed.symbols.is_empty() {
        return Err("`symbols` must not be empty".to_owned());
    }
    let mut ids = Vec::new();
    for (name, id) in &feed.ids {
        let symbol = Symbol::parse(name)
            .ok_or_else(|| format!("`ids` has `{name}`, which is not a symbol like BTC-USD"))?;
        if !is_id(&id.0) {
            return Err(format!("`ids` has an id for {symbol} that cannot be one"));
        }
        ids.push((symbol, id.0.clone()));
    }
    let mut markets: Vec<Market> = Vec::new();
    for name in &feed.symbols {
        let symbol = Symbol::parse(name)
            .ok_or_else(|| format!("`symbols` has `{name}`, which is not a symbol like BTC-USD"))?;
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
pub(super) fn path_part(symbol: &Symbol, id: String) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':');
    if id.bytes().all(allowed) {
        return Ok(id);
    }
    Err(format!("`ids` has an id for {symbol} that cannot be one"))
}

fn price_topic(symbol: &Symbol, feed: &str) -> Result<Topic, String> {
    if feed.contains('.') {
        return Err("`name` must be one token of a topic: it has a dot".to_owned());
    }
    Topic::parse(&format!("price.{symbol}.{feed}"))
        .map_err(|error| format!("`name` cannot be part of a topic: {error}"))
}

/// The row of an endpoint in a provider's table, whose first row is the default.
///
/// # Errors
/// Lists the endpoints there are.
pub(super) fn endpoint<'t, T>(
    feed: &FeedConfig,
    table: &'t [(&'static str, T)],
) -> Result<&'t T, String> {
    let found = match &feed.endpoint {
        None => table.first(),
        Some(asked) => table.iter().find(|(name, _)| name == asked),
    };
    found.map(|(_, row)| row).ok_or_else(|| {
        let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        format!("`endpoint` must be one of {}", names.join(", "))
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
