//! An answer that is searched by JSONPath and read digit by digit.
//!
//! JSONPath works on values whose numbers are floats. So an answer is read into two trees of one
//! shape: values to search, and the source text of each leaf. What is found in the first is read
//! from the second.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use serde_json_path::{JsonPath, NormalizedPath, PathElement};

use crate::upstream::providers::{DecodeError, Response, body, number::Number};

/// How deep an answer may be nested. Some paths (`$..*..*`) cost its power.
const DEPTH_MAX: usize = 32;

/// The most values an answer may have: with less than a hundred bytes for each.
const VALUES_MAX: usize = 500_000;

/// An answer, or what is left of it to be read.
pub(super) struct Tree<'a> {
    value: Value,
    source: Source<'a>,
}

/// The source texts of a value's leaves.
enum Source<'a> {
    Leaf(&'a RawValue),
    List(Vec<Source<'a>>),
    /// Of a key that occurs twice the last counts, as in the values.
    Object(BTreeMap<String, Source<'a>>),
}

/// A value in an answer.
#[derive(Clone, Copy)]
pub(super) struct Node<'t, 'a> {
    value: &'t Value,
    source: &'t Source<'a>,
}

/// A key, borrowed from the body unless it has escapes.
#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Tree<'a> {
    /// Reads an answer.
    ///
    /// # Errors
    /// `bad_body` for what is no JSON, or more of it than is read.
    pub(super) fn read(response: &'a Response) -> Result<Self, DecodeError> {
        let mut left = VALUES_MAX;
        let (value, source) = grow(body::json(response)?, DEPTH_MAX, &mut left)
            .map_err(|message| DecodeError::bad_body(message.to_owned()))?;
        Ok(Self { value, source })
    }

    /// The whole of it.
    pub(super) fn root(&self) -> Node<'_, 'a> {
        Node { value: &self.value, source: &self.source }
    }
}

/// The two trees of one text, `depth` levels at most.
fn grow<'a>(
    raw: &'a RawValue,
    depth: usize,
    left: &mut usize,
) -> Result<(Value, Source<'a>), &'static str> {
    *left = left.checked_sub(1).ok_or("the answer has too many values")?;
    let text = raw.get();
    let below = || depth.checked_sub(1).ok_or("the answer is nested too deep");
    match text.as_bytes().first() {
        Some(b'[') => {
            let depth = below()?;
            let elements: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|_| "not readable JSON")?;
            let (mut values, mut sources) = (Vec::new(), Vec::new());
            for element in elements {
                let (value, source) = grow(element, depth, left)?;
                values.push(value);
                sources.push(source);
            }
            Ok((Value::Array(values), Source::List(sources)))
        }
        Some(b'{') => {
            let depth = below()?;
            let entries: BTreeMap<Key<'a>, &RawValue> =
                serde_json::from_str(text).map_err(|_| "not readable JSON")?;
            let (mut values, mut sources) = (Map::new(), BTreeMap::new());
            for (Key(key), entry) in entries {
                let (value, source) = grow(entry, depth, left)?;
                values.insert(key.clone().into_owned(), value);
                sources.insert(key.into_owned(), source);
            }
            Ok((Value::Object(values), Source::Object(sources)))
        }
        // 1e400 is no float: it stands there as text, and is refused when its digits are read.
        _ => Ok((
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
            Source::Leaf(raw),
        )),
    }
}

impl<'a> Source<'a> {
    /// What stands at `path`.
    fn at(&self, path: &NormalizedPath<'_>) -> Option<&Self> {
        path.iter().try_fold(self, |source, step| match (source, step) {
            (Self::List(elements), PathElement::Index(index)) => elements.get(*index),
            (Self::Object(entries), PathElement::Name(name)) => entries.get(*name),
            _ => None,
        })
    }
}

impl<'t, 'a> Node<'t, 'a> {
    /// Everything that `path` finds in it.
    pub(super) fn all(self, path: &JsonPath) -> Vec<Self> {
        let found = path.query_located(self.value);
        let nodes = found.iter().filter_map(|node| {
            Some(Self { value: node.node(), source: self.source.at(node.location())? })
        });
        nodes.collect()
    }

    /// The one thing that `path` finds in it; `None` for nothing.
    ///
    /// # Errors
    /// Says that it finds more.
    pub(super) fn one(self, path: &JsonPath) -> Result<Option<Self>, String> {
        match self.all(path).as_slice() {
            [] => Ok(None),
            [node] => Ok(Some(*node)),
            more => Err(format!("finds {} values where one is due", more.len())),
        }
    }

    /// The source text, unless it is a list or an object.
    ///
    /// # Errors
    /// Says which it is.
    pub(super) fn leaf(self) -> Result<&'a RawValue, String> {
        match self.source {
            Source::Leaf(raw) => Ok(raw),
            Source::List(_) => Err("is not a value but a list".to_owned()),
            Source::Object(_) => Err("is not a value but an object".to_owned()),
        }
    }

    /// Read as a number, by its digits.
    pub(super) fn number(self) -> Number {
        self.leaf().map_or_else(Number::Unusable, |raw| Number::read(Some(raw)))
    }

    /// A JSON string.
    pub(super) fn text(self) -> Option<&'t str> {
        self.value.as_str()
    }

    /// An object.
    pub(super) fn is_object(self) -> bool {
        self.value.is_object()
    }
}
