//! The fields of an update's `data`, read at most once per update.

use std::{borrow::Cow, cell::OnceCell, fmt};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::operate::Value;
use crate::market::Decimal;

/// The fields in the order they are sent; a handful, so that a scan finds one fastest. Their own, so
/// that they can wait with their update for the subscribers who come later.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<Field>);

#[derive(Debug)]
struct Field {
    name: Box<str>,
    value: Scalar,
    /// The number that a text is, where it is one: read by the first filter that asks.
    number: OnceCell<Option<f64>>,
}

#[derive(Debug)]
enum Scalar {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Box<str>),
    /// Null or an object or array: a filter sees it as missing.
    Absent,
}

impl Fields {
    /// Reads the `data` object. What is no object has no fields: the hub issues objects only.
    pub(super) fn read(data: &[u8]) -> Self {
        // Checked as UTF-8 once, not string by string.
        let text = str::from_utf8(data).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }

    /// The value of a field; `None` where it is missing.
    pub(super) fn get(&self, name: &str) -> Option<Value<'_>> {
        let field = self.0.iter().find(|field| *field.name == *name)?;
        match &field.value {
            Scalar::Bool(value) => Some(Value::Bool(*value)),
            Scalar::Int(value) => Some(Value::Int(*value)),
            Scalar::Double(value) => Some(Value::Double(*value)),
            Scalar::Text(text) => Some(match field.number.get_or_init(|| number(text)) {
                Some(number) => Value::Decimal(text, *number),
                None => Value::Text(Cow::Borrowed(text)),
            }),
            Scalar::Absent => None,
        }
    }
}

/// The number that `text` is by the rules of [`Decimal`], the same that made it a decimal field.
fn number(text: &str) -> Option<f64> {
    // Nearly all texts that are none fail here, without a copy.
    if !text.starts_with(|char: char| char == '-' || char.is_ascii_digit()) {
        return None;
    }
    Decimal::parse(text).ok().map(|decimal| decimal.to_f64())
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::with_capacity(12);
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.push(Field { name, value, number: OnceCell::new() });
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

struct Name(Box<str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            Scalar::Text(name) => Ok(Self(name)),
            _ => Err(serde::de::Error::custom("a name is a string")),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(value).map_or(Scalar::Double(value as f64), Scalar::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Double(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.into()))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Absent)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Absent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_the_kind_of_its_json_or_is_a_decimal() {
        let data = br#"{"price":"68900.50","n":-3,"on":true,"label":"Gre\"ed","nan":"NaN",
            "zero":"007","list":[1,[2]],"null":null,"none":{"a":1},"big":18446744073709551615}"#;
        let fields = Fields::read(data);
        let kind = |name: &str| fields.get(name).map(|value| format!("{value:?}"));
        for (name, expected) in [
            ("price", Some("Decimal(\"68900.50\", 68900.5)")),
            ("n", Some("Int(-3)")),
            ("on", Some("Bool(true)")),
            ("label", Some("Text(\"Gre\\\"ed\")")),
            ("nan", Some("Text(\"NaN\")")),
            ("zero", Some("Decimal(\"007\", 7.0)")),
            ("big", Some("Double(1.8446744073709552e19)")),
            ("list", None),
            ("null", None),
            ("none", None),
            ("pric", None),
        ] {
            assert_eq!(kind(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_object_has_no_fields() {
        for data in [&b""[..], b"[1]", b"{\"a\":1", b"\xff"] {
            assert!(Fields::read(data).get("a").is_none());
        }
    }

    proptest::proptest! {
        #[test]
        fn numbers_are_those_of_decimal(text in "[-0-9.eE+x]{0,12}") {
            let expected = Decimal::parse(&text).ok().map(|decimal| decimal.to_f64());
            proptest::prop_assert_eq!(number(&text), expected);
        }
    }
}
