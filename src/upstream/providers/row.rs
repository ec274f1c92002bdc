//! One object of an answer, read field by field, so that one bad field spoils nothing else.

use std::{borrow::Borrow, borrow::Cow, collections::BTreeMap};

use jiff::{Timestamp, civil, tz::Offset};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::number::Number;
use crate::{market::Data, units::Micros};

/// A JSON object whose values are still source text. Of a key that occurs twice the last counts.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Row<'a>(#[serde(borrow)] BTreeMap<Key<'a>, &'a RawValue>);

/// A key, borrowed from the body unless it has escapes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Borrow<str> for Key<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'a> Row<'a> {
    /// Reads an element; `None` when it is no object.
    pub(super) fn read(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// The source text of a field.
    pub(super) fn raw(&self, key: &str) -> Option<&'a RawValue> {
        self.0.get(key).copied()
    }

    /// A field that is an object itself.
    pub(super) fn row(&self, key: &str) -> Option<Self> {
        Self::read(self.raw(key)?)
    }

    /// A field that is an array: those of its elements that are objects.
    pub(super) fn rows(&self, key: &str) -> Option<Vec<Self>> {
        let elements: Vec<&RawValue> = serde_json::from_str(self.raw(key)?.get()).ok()?;
        Some(elements.into_iter().filter_map(Self::read).collect())
    }

    /// A field that is a number.
    pub(super) fn number(&self, key: &str) -> Number {
        Number::read(self.raw(key))
    }

    /// An element of a field that is an array of numbers.
    pub(super) fn element(&self, key: &str, index: usize) -> Number {
        let elements: Option<Vec<&RawValue>> =
            self.raw(key).and_then(|raw| serde_json::from_str(raw.get()).ok());
        Number::read(elements.and_then(|elements| elements.get(index).copied()))
    }

    /// A field that is a count: a whole number that is not negative.
    pub(super) fn count(&self, key: &str) -> Option<u64> {
        self.id(key)?.parse().ok()
    }

    /// A field that is a text.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.raw(key)?.get()).ok()
    }

    /// A field that is an identifier, written as text or as an integer.
    pub(super) fn id(&self, key: &str) -> Option<String> {
        self.text(key).or_else(|| self.number(key).decimal().map(|id| id.to_string()))
    }

    /// A field that is a time: RFC 3339, or a date or date and time that is meant in UTC.
    pub(super) fn date(&self, key: &str) -> Option<Micros> {
        date(&self.text(key)?)
    }

    /// The fields of `data` in the order of `fields`, each our name and the upstream's key. The
    /// first is essential; of the others those that are no numbers are absent.
    ///
    /// # Errors
    /// Says why there is no first one.
    pub(super) fn data<K: AsRef<str>>(&self, fields: &[(&'static str, K)]) -> Result<Data, String> {
        let mut data = Data::new();
        if let Some(((name, key), rest)) = fields.split_first() {
            data.push(*name, self.number(key.as_ref()).essential(key.as_ref())?);
            self.fill(&mut data, rest);
        }
        Ok(data)
    }

    /// Adds those of `fields` that are numbers.
    pub(super) fn fill<K: AsRef<str>>(&self, data: &mut Data, fields: &[(&'static str, K)]) {
        for (name, key) in fields {
            if let Some(decimal) = self.number(key.as_ref()).decimal() {
                data.push(*name, decimal);
            }
        }
    }
}

/// A time as text: RFC 3339, or a date or date and time that is meant in UTC.
pub(super) fn date(text: &str) -> Option<Micros> {
    let timestamp = text.parse::<Timestamp>().or_else(|_| {
        let date: civil::DateTime = text.parse()?;
        Offset::UTC.to_timestamp(date)
    });
    timestamp.ok().map(Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Option<Micros> {
        let json = format!("{{\"DATE\":{text}}}");
        serde_json::from_str::<Row<'_>>(&json).unwrap().date("DATE")
    }

    #[test]
    fn dates_and_times_are_read_in_utc() {
        let midnight = Some(1_744_243_200_000_000);
        for text in [
            "\"2025-04-10\"",
            "\"2025-04-10T00:00:00\"",
            "\"2025-04-10 00:00:00\"",
            "\"2025-04-10T00:00:00Z\"",
            "\"2025-04-10T00:00:00.000Z\"",
            "\"2025-04-10T02:00:00+02:00\"",
        ] {
            assert_eq!(date(text), midnight, "{text}");
        }
        assert_eq!(date("\"2025-09-12T07:18:29.101Z\""), Some(1_757_661_509_101_000));
        for text in ["\"\"", "\"yesterday\"", "\"2025-02-30\"", "null", "{}", "20250410"] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn of_a_key_that_occurs_twice_the_last_counts() {
        let row: Row<'_> = serde_json::from_str(r#"{"a":1,"a":"2.0"}"#).unwrap();
        assert_eq!(row.id("a").as_deref(), Some("2.0"));
    }
}
