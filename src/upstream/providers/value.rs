//! Fields whose source is not known to the code: what they hold, and how it is read.

use serde_json::value::RawValue;

use super::number::Number;
use crate::market::{
    Value,
    fields::{self, Unit},
};

/// Longest text that is taken for a value, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Longest name of a field, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Units of what is counted in whole numbers.
const WHOLE: [&str; 6] = ["us", "ms", "blocks", "sources", "prices", "points"];

/// Fields that are names.
const NAMES: [&str; 3] = ["label", "state", "model"];

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Whole,
    /// A quantity.
    Decimal,
    /// A name.
    Text,
    /// Whatever the source says.
    Any,
}

/// Whether a text can be the name of a field.
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

impl Kind {
    /// What the field `name` of `topic` holds.
    pub fn of(topic: &str, name: &str) -> Self {
        let field = fields::of(topic).iter().find(|field| field.name == name);
        match field.map(|field| field.unit) {
            Some(Unit::Fixed(unit)) if WHOLE.contains(&unit) => Self::Whole,
            Some(Unit::Fixed(_) | Unit::Quote) => Self::Decimal,
            Some(Unit::None) if NAMES.contains(&name) => Self::Text,
            Some(Unit::None) if name != "closed" => Self::Decimal,
            Some(Unit::None) | None => Self::Any,
        }
    }

    /// Reads a JSON value; `None` for `null`.
    ///
    /// # Errors
    /// Says why it is not what the field holds.
    pub fn read(self, raw: &RawValue) -> Result<Option<Value>, String> {
        if raw.get() == "null" {
            return Ok(None);
        }
        match self {
            Self::Decimal => number(Number::read(Some(raw))),
            Self::Whole => whole(Number::read(Some(raw))),
            Self::Text => text(raw).map(Some),
            Self::Any => match (raw.get(), Number::read(Some(raw))) {
                ("true", _) => Ok(Some(Value::Bool(true))),
                ("false", _) => Ok(Some(Value::Bool(false))),
                (json, Number::Unusable(_)) if json.starts_with('"') => text(raw).map(Some),
                (_, found) => number(found),
            },
        }
    }
}

fn number(number: Number) -> Result<Option<Value>, String> {
    match number {
        Number::Given(decimal) => Ok(Some(Value::Decimal(decimal))),
        Number::Absent => Ok(None),
        Number::Unusable(why) => Err(why),
    }
}

fn whole(found: Number) -> Result<Option<Value>, String> {
    let Some(Value::Decimal(decimal)) = number(found)? else {
        return Ok(None);
    };
    let (digits, fraction) = match decimal.as_str().split_once('.') {
        Some(parts) => parts,
        None => (decimal.as_str(), ""),
    };
    let int = digits.parse().ok().filter(|_| fraction.bytes().all(|digit| digit == b'0'));
    int.map(|int| Some(Value::Int(int))).ok_or_else(|| "is not a whole number".to_owned())
}

fn text(raw: &RawValue) -> Result<Value, String> {
    let text: String = serde_json::from_str(raw.get()).map_err(|_| "is not a text")?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("is a text of more than {TEXT_BYTES_MAX} bytes"));
    }
    Ok(Value::Text(text))
}
