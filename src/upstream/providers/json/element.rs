//! From an element of an answer to a tick.

use super::{
    plan::{FieldPlan, Plan, SymbolPlan, TopicPlan},
    tree::Node,
};
use crate::{
    market::{Data, Symbol, Tick, Topic, Value},
    units::Micros,
    upstream::{
        config::TimeUnit,
        providers::{body::excerpt, row},
    },
};

/// The market of an element: `Ok(None)` for one that is not asked for.
///
/// # Errors
/// Says why it cannot be told.
pub(super) fn symbol(
    plan: &Plan,
    symbol: &SymbolPlan,
    element: Node<'_, '_>,
) -> Result<Option<Symbol>, String> {
    let chosen = !plan.wanted.is_empty() || !plan.ids.is_empty();
    let found = element.one(&symbol.path)?;
    let Some(text) = found.and_then(name) else {
        // Of the elements that are not asked for nobody wants to know.
        return if chosen { Ok(None) } else { Err("has no symbol".to_owned()) };
    };
    let market = if plan.ids.is_empty() {
        match &symbol.quote {
            Some(quote) => Symbol::parse(&format!("{text}-{quote}")),
            None => Symbol::parse(&text),
        }
    } else {
        plan.ids.get(&text).cloned()
    };
    match market {
        Some(market) if plan.wanted.is_empty() || plan.wanted.contains(&market) => Ok(Some(market)),
        Some(_) => Ok(None),
        None if chosen => Ok(None),
        None => {
            let text = excerpt(&text);
            Err(match &symbol.quote {
                Some(quote) => {
                    format!("has {text:?} as a symbol, which makes no market in {quote}")
                }
                None => format!("has {text:?} as a symbol, which is no market without a quote"),
            })
        }
    }
}

/// A symbol or an id: a text, or a whole number.
fn name(node: Node<'_, '_>) -> Option<String> {
    let text = node.text().map(str::to_owned);
    text.or_else(|| node.number().decimal().map(|id| id.to_string()))
}

/// The tick of an element; what it lacks besides goes to `lacking`.
///
/// # Errors
/// Says why there is none.
pub(super) fn tick(
    plan: &TopicPlan,
    topic: Topic,
    element: Node<'_, '_>,
    lacking: &mut Vec<String>,
) -> Result<Tick, String> {
    let mut data = Data::new();
    for field in &plan.fields {
        match value(field, element) {
            Ok(Some(value)) => data.push(field.name.clone(), value),
            Ok(None) if plan.essential() == Some(&field.name) => {
                return Err(format!("has no {} at {}", field.name, field.text));
            }
            // `null` is how an API says that it has none.
            Ok(None) => {}
            Err(why) if plan.essential() == Some(&field.name) => {
                return Err(format!("{} {why}", field.text));
            }
            Err(why) => lacking.push(format!("{} {why}", field.text)),
        }
    }
    if data.is_empty() {
        return Err("has no value".to_owned());
    }
    let ts = match &plan.ts {
        None => None,
        Some((path, text, unit)) => {
            let ts = element.one(path).ok().flatten().and_then(|node| time(node, *unit));
            if ts.is_none() {
                lacking.push(format!("{text} is no time"));
            }
            ts
        }
    };
    Ok(Tick { topic, data, ts })
}

/// A field's value, `None` for `null`.
fn value(field: &FieldPlan, element: Node<'_, '_>) -> Result<Option<Value>, String> {
    let Some(node) = element.one(&field.path)? else {
        return Err("finds nothing".to_owned());
    };
    field.kind.read(node.leaf()?)
}

fn time(node: Node<'_, '_>, unit: TimeUnit) -> Option<Micros> {
    let unit_us = match unit {
        TimeUnit::S => 1_000_000,
        TimeUnit::Ms => 1_000,
        TimeUnit::Us => 1,
        TimeUnit::Rfc3339 => return row::date(node.text()?),
    };
    node.number().time(unit_us)
}
