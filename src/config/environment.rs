//! Environment variables that override keys: `TICKWIRE_SERVER__LISTEN` is `server.listen`.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{ConfigError, KeyPath, Place, document::Document};

/// What a variable that overrides a key begins with.
const PREFIX: &str = "TICKWIRE_";

/// Variables with the prefix that are read elsewhere: the log filter and the file's path.
const NOT_KEYS: [&str; 2] = ["TICKWIRE_LOG", "TICKWIRE_CONFIG"];

/// Lays the variables over the document; a double underscore stands for a dot, and a number for an
/// element of an array (`TICKWIRE_FEEDS__0__EVERY`). Returns those that cannot be laid anywhere.
pub(super) fn apply(
    environment: &BTreeMap<String, String>,
    document: &mut Document,
) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if NOT_KEYS.contains(&name.as_str()) {
            continue;
        }
        let place = Place::Variable(name.clone());
        let names: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        if names.iter().any(String::is_empty) {
            errors.push(ConfigError {
                place,
                key: KeyPath::root(),
                message: "names no key; write TICKWIRE_SECTION__KEY, for example \
                          TICKWIRE_SERVER__LISTEN for server.listen"
                    .to_owned(),
            });
            continue;
        }
        let path = document.resolve(&names);
        if let Err(error) = document.set(&path, value(text), text, &place) {
            errors.push(error);
        }
    }
    errors
}

/// What a text means: a TOML boolean, number, array or inline table where it is one, a quoted TOML
/// string without its quotes, and otherwise itself. `10s` and `0.0.0.0:80` are no TOML and stay
/// what they are; so do dates, which no key takes.
fn value(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        // A text of several lines could otherwise bring keys of its own.
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    match parsed {
        None | Some(Value::Datetime(_)) => Value::String(text.to_owned()),
        Some(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_it_looks_like() {
        let strings = [
            "10s",
            "0.0.0.0:80",
            "[::1]:80",
            "BTC-USD",
            "",
            "a b",
            "1979-05-27",
            "1\nother = 2",
            "https://example.com",
            "{",
            "[1,",
        ];
        for text in strings {
            assert_eq!(value(text), Value::String(text.to_owned()), "{text}");
        }
        assert_eq!(value("true"), Value::Boolean(true));
        assert_eq!(value("42"), Value::Integer(42));
        assert_eq!(value("0.5"), Value::Float(0.5));
        assert_eq!(value("[\"a\", 1]").as_array().map(Vec::len), Some(2));
        assert_eq!(value("{ USDT = \"USD\" }").as_table().map(Table::len), Some(1));
        assert_eq!(value("\"true\""), Value::String("true".to_owned()));
    }
}
