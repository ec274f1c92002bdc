//! What a provider yields: a topic, its values, and the upstream's own time.

use std::borrow::Cow;

use super::{Decimal, Topic};
use crate::units::Micros;

/// One value of a topic's `data`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// A quantity: a JSON string with the upstream's digits.
    Decimal(Decimal),
    /// A count, height or time: a JSON integer.
    Int(i64),
    /// A name, label or state.
    Text(String),
    /// A yes or no.
    Bool(bool),
}

/// The fields of `data`, in the order they are sent. A field that the source does not have is
/// absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Data(Vec<(Cow<'static, str>, Value)>);

/// One reading of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// What was read.
    pub topic: Topic,
    /// Its values.
    pub data: Data,
    /// The upstream's own time of it, where it gives one.
    pub ts: Option<Micros>,
}

impl Data {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more field.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.push(name, value);
        self
    }

    /// With one more field, where the source has it.
    #[must_use]
    pub fn with_opt(
        self,
        name: impl Into<Cow<'static, str>>,
        value: Option<impl Into<Value>>,
    ) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a field.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        self.0.push((name.into(), value.into()));
    }

    /// Gives a field this value, in its place where it is there already. `None` takes it out.
    pub fn set(&mut self, name: &'static str, value: Option<Value>) {
        let at = self.0.iter().position(|(field, _)| field == name);
        match (at.and_then(|at| self.0.get_mut(at)), value) {
            (Some((_, old)), Some(new)) => *old = new,
            (Some(_), None) => self.0.retain(|(field, _)| field != name),
            (None, Some(new)) => self.push(name, new),
            (None, None) => {}
        }
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The value of a decimal field.
    pub fn decimal(&self, name: &str) -> Option<&Decimal> {
        match self.get(name) {
            Some(Value::Decimal(decimal)) => Some(decimal),
            _ => None,
        }
    }

    /// Fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// True when there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Decimal> for Value {
    fn from(value: Decimal) -> Self {
        Self::Decimal(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_set_keeps_its_place() {
        let mut data = Data::new().with("a", 1).with("b", 2).with("c", 3);
        data.set("b", Some(Value::Int(5)));
        data.set("d", Some(Value::Int(4)));
        data.set("a", None);
        data.set("e", None);
        assert_eq!(data, Data::new().with("b", 5).with("c", 3).with("d", 4));
    }
}
