//! A configuration as it was written: its values, and where each of them stands.

use std::{collections::BTreeMap, ops::Range};

use serde::Deserialize;
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue, Deserializer},
};

use super::{ConfigError, ConfigErrors, KeyPath, Place, key::Step};

/// The values of a file with what overrides them, and the place of each.
#[derive(Debug)]
pub(super) struct Document {
    file: String,
    table: Table,
    places: BTreeMap<KeyPath, Place>,
    /// The text of each value that came from outside the file, for a second reading as a string.
    overrides: BTreeMap<KeyPath, String>,
}

impl Document {
    /// Reads a file's text. `file` is how the file is named in errors.
    ///
    /// # Errors
    /// Syntax errors with their lines, the first of each line: the rest mostly follow from it.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, ConfigErrors> {
        let lines = Lines { file, text };
        let wrong = |error: &toml::de::Error| ConfigError {
            place: lines.place(error.span()),
            key: KeyPath::root(),
            message: format!("not TOML: {}", error.message().replace('\n', ", ")),
        };
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let mut errors: Vec<ConfigError> = errors.iter().map(wrong).collect();
            errors.sort();
            errors.dedup_by(|next, first| next.place.line() == first.place.line());
            return Err(ConfigErrors::new(errors));
        }
        let mut places = BTreeMap::new();
        locate_table(root.get_ref(), &KeyPath::root(), &lines, &mut places);
        let table = Table::deserialize(Deserializer::from(root)).map_err(|error| wrong(&error))?;
        Ok(Self { file: file.to_owned(), table, places, overrides: BTreeMap::new() })
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// An error at `key`, placed where the value, or else what encloses it, was written.
    pub(super) fn error(&self, key: KeyPath, message: impl Into<String>) -> ConfigError {
        let mut near = Some(key.clone());
        let place = loop {
            match near {
                None => break Place::Whole(self.file.clone()),
                Some(path) => match self.places.get(&path) {
                    Some(place) => break place.clone(),
                    None => near = path.parent(),
                },
            }
        };
        ConfigError { place, key, message: message.into() }
    }

    /// The text by which a variable or a flag set exactly this value.
    pub(super) fn override_text(&self, key: &KeyPath) -> Option<&str> {
        self.overrides.get(key).map(String::as_str)
    }

    /// Resolves names to a path: a number means an element where an array stands.
    pub(super) fn resolve(&self, names: &[String]) -> KeyPath {
        let mut path = KeyPath::root();
        for name in names {
            let array = matches!(at(&self.table, &path), Some(Value::Array(_)));
            path = match name.parse() {
                Ok(index) if array => path.index(index),
                _ => path.key(name.as_str()),
            };
        }
        path
    }

    /// Sets a value from outside the file, making the tables on its way.
    ///
    /// # Errors
    /// When the way leads through something that is no table, or past the end of an array.
    pub(super) fn set(
        &mut self,
        path: &KeyPath,
        value: Value,
        text: &str,
        place: &Place,
    ) -> Result<(), ConfigError> {
        let refuse =
            |message: String| ConfigError { place: place.clone(), key: path.clone(), message };
        let slot = slot(&mut self.table, path).map_err(refuse)?;
        *slot = value;
        self.places.retain(|key, _| !key.starts_with(path));
        self.overrides.insert(path.clone(), text.to_owned());
        // What encloses the value and is not in the file either came into being with it.
        let mut new = Some(path.clone());
        while let Some(key) = new.filter(|key| !key.is_root() && !self.places.contains_key(key)) {
            new = key.parent();
            self.places.insert(key, place.clone());
        }
        Ok(())
    }
}

/// The value at `path`; none for the root, which is a table and no value.
fn at<'a>(table: &'a Table, path: &KeyPath) -> Option<&'a Value> {
    let (first, rest) = path.steps().split_first()?;
    let Step::Key(key) = first else { return None };
    rest.iter().try_fold(table.get(key)?, |value, step| match step {
        Step::Key(key) => value.as_table()?.get(key),
        Step::Index(index) => value.as_array()?.get(*index),
    })
}

/// Where the value at `path` is to be put.
fn slot<'a>(table: &'a mut Table, path: &KeyPath) -> Result<&'a mut Value, String> {
    let absent = || Value::Table(Table::new());
    let Some((Step::Key(first), rest)) = path.steps().split_first() else {
        return Err("names no key".to_owned());
    };
    let mut way = KeyPath::root().key(first.as_str());
    let mut here = table.entry(first.as_str()).or_insert_with(absent);
    for step in rest {
        here = match (step, here) {
            (Step::Key(key), Value::Table(table)) => {
                table.entry(key.as_str()).or_insert_with(absent)
            }
            (Step::Index(index), Value::Array(array)) => {
                let length = array.len();
                array
                    .get_mut(*index)
                    .ok_or_else(|| format!("{way} has {length} elements, counted from 0"))?
            }
            (Step::Key(_), Value::Array(_)) => {
                return Err(format!("{way} is a list: a number must follow, counted from 0"));
            }
            _ => {
                return Err(format!("{way} is a single value, it has no keys of its own"));
            }
        };
        way = way.step(step.clone());
    }
    Ok(here)
}

/// A file's text, by lines.
struct Lines<'a> {
    file: &'a str,
    text: &'a str,
}

impl Lines<'_> {
    fn place(&self, span: Option<Range<usize>>) -> Place {
        let file = self.file.to_owned();
        match span.and_then(|span| self.text.get(..span.start)) {
            None => Place::Whole(file),
            Some(before) => Place::Line {
                file,
                line: before.matches('\n').count() + 1,
                column: before.chars().rev().take_while(|c| *c != '\n').count() + 1,
            },
        }
    }
}

/// Notes the place of each key of `table`, which stands at `path`.
fn locate_table(
    table: &DeTable<'_>,
    path: &KeyPath,
    lines: &Lines<'_>,
    places: &mut BTreeMap<KeyPath, Place>,
) {
    for (key, value) in table {
        let below = path.key(key.get_ref().as_ref());
        places.insert(below.clone(), lines.place(Some(key.span())));
        locate_value(value, &below, lines, places);
    }
}

fn locate_value(
    value: &Spanned<DeValue<'_>>,
    path: &KeyPath,
    lines: &Lines<'_>,
    places: &mut BTreeMap<KeyPath, Place>,
) {
    match value.get_ref() {
        DeValue::Table(table) => locate_table(table, path, lines, places),
        DeValue::Array(array) => {
            for (index, element) in array.iter().enumerate() {
                let below = path.index(index);
                places.insert(below.clone(), lines.place(Some(element.span())));
                locate_value(element, &below, lines, places);
            }
        }
        _ => {}
    }
}
