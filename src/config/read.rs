//! From a document to the parts' own types, gathering every error on the way.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{Config, ConfigError, KeyPath, document::Document, key::Step};
use crate::upstream::config::FeedConfig;

/// What could be read: feeds that could not are none, so that the others keep their number.
pub(super) struct Reading {
    pub(super) config: Option<Config>,
    pub(super) feeds: Vec<Option<FeedConfig>>,
}

/// Reads every section and every feed by itself, so that an error in one hides none in another.
pub(super) fn read(document: &Document, errors: &mut Vec<ConfigError>) -> Reading {
    let mut sections = document.table().clone();
    let path = KeyPath::root().key("feeds");
    let feeds = match sections.remove("feeds") {
        None => Vec::new(),
        Some(Value::Array(feeds)) => feeds,
        Some(_) => {
            errors.push(document.error(path.clone(), "must be a list: write [[feeds]] above each"));
            Vec::new()
        }
    };
    let feeds = feeds.into_iter().enumerate().map(|(index, feed)| {
        let mut part = Part::new(document, path.index(index), feed);
        let feed = part.read();
        let clean = part.errors.is_empty();
        errors.append(&mut part.errors);
        feed.filter(|_| clean)
    });
    let feeds = feeds.collect();
    let mut part = Part::new(document, KeyPath::root(), Value::Table(sections));
    let config = part.read();
    errors.append(&mut part.errors);
    Reading { config, feeds }
}

/// A value that is read again and again, each time without what was wrong with it.
struct Part<'a> {
    document: &'a Document,
    path: KeyPath,
    value: Value,
    errors: Vec<ConfigError>,
    /// Values from outside the file that were read as strings at the second attempt, each with
    /// what was wrong at the first.
    steered: Vec<(KeyPath, String)>,
}

impl<'a> Part<'a> {
    fn new(document: &'a Document, path: KeyPath, value: Value) -> Self {
        Self { document, path, value, errors: Vec::new(), steered: Vec::new() }
    }

    /// Ends because each turn steers a value once, removes one, or gives up.
    fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            let error = match serde_path_to_error::deserialize(self.value.clone()) {
                Ok(read) => return Some(read),
                Err(error) => error,
            };
            let path = self.path.join(error.path());
            if self.steer(&path, error.inner().message()) {
                continue;
            }
            if !self.record(&path, error.inner().message()) || !self.remove(&path) {
                return None;
            }
        }
    }

    /// `TICKWIRE_SANDBOX__FAULTS__0__KIND=429` looks like a number and means a string.
    fn steer(&mut self, path: &KeyPath, message: &str) -> bool {
        if self.steered.iter().any(|(steered, _)| steered == path) {
            return false;
        }
        let Some(text) = self.document.override_text(path) else {
            return false;
        };
        let Some(slot) = self.slot(path) else {
            return false;
        };
        if slot.is_str() {
            return false;
        }
        *slot = Value::String(text.to_owned());
        self.steered.push((path.clone(), message.to_owned()));
        true
    }

    /// Notes what is wrong; false when it only follows from an earlier error.
    fn record(&mut self, path: &KeyPath, message: &str) -> bool {
        if let Some(field) = quoted(message, "missing field ") {
            let missing = path.key(field);
            let removed = self.errors.iter().any(|error| error.key == missing);
            if !removed {
                let error = self.document.error(missing, "is required and not there");
                self.errors.push(error);
            }
            return !removed;
        }
        let message = match self.steered.iter().find(|(steered, _)| steered == path) {
            Some((_, first)) => reword(first),
            None => reword(message),
        };
        self.errors.push(self.document.error(path.clone(), message));
        true
    }

    /// Takes out the table entry at `path`, or the nearest that encloses it: elements of an array
    /// stay, since the others would move.
    fn remove(&mut self, path: &KeyPath) -> bool {
        let mut path = path.clone();
        while path != self.path {
            let Some(parent) = path.parent() else { break };
            if let Some(key) = path.last_key() {
                let table = self.slot(&parent).and_then(Value::as_table_mut);
                return table.is_some_and(|table| table.remove(key).is_some());
            }
            path = parent;
        }
        false
    }

    fn slot(&mut self, path: &KeyPath) -> Option<&mut Value> {
        let below = path.steps().get(self.path.steps().len()..)?;
        below.iter().try_fold(&mut self.value, |value, step| match step {
            Step::Key(key) => value.as_table_mut().and_then(|t: &mut Table| t.get_mut(key)),
            Step::Index(index) => value.as_array_mut()?.get_mut(*index),
        })
    }
}

/// The first name in backticks after `start`, where `message` begins with that.
fn quoted<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message.strip_prefix(start)?.split('`').nth(1)
}

/// serde's message in an operator's words.
fn reword(message: &str) -> String {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((found, known)) = names.split_first() else {
        return match message {
            "invalid socket address syntax" => {
                "not an address and port such as 127.0.0.1:8080 or [::1]:8080".to_owned()
            }
            message => message.replace('\n', ", "),
        };
    };
    let wrong = if message.starts_with("unknown field") {
        "unknown key".to_owned()
    } else if message.starts_with("unknown variant") {
        format!("`{found}` is not known here")
    } else {
        return message.replace('\n', ", ");
    };
    let listed = known.join(", ");
    match nearest(found, known) {
        Some(near) => format!("{wrong}, did you mean {near}? Possible are: {listed}"),
        None => format!("{wrong}; possible are: {listed}"),
    }
}

/// The known name that `found` most probably means, when it is close to one.
fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}
