//! Listing topics and reading last values, for every transport.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    hub::{Hub, Slot},
    market::{Epoch, Pattern, Source, State, Topic, TopicError},
    protocol::{
        code::{ErrorBody, ErrorCode},
        event,
    },
    units::Micros,
};

/// How many rows a page has.
#[derive(Debug, Clone, Copy)]
struct PageLimits {
    /// When nothing is asked.
    default: usize,
    /// At most.
    most: usize,
}

/// Pages of topics and snapshots.
const PAGE: PageLimits = PageLimits { default: 100, most: 1000 };

/// Reads the hub.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(super) hub: Arc<Hub>,
}

/// One page of a listing.
#[derive(Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// The cursor of the next page; `None` at the end.
    pub next: Option<String>,
}

/// One topic in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TopicRow {
    /// Its name.
    pub topic: String,
    /// Its numbering.
    pub epoch: Epoch,
    /// Its newest sequence number; 0 before the first value.
    pub seq: u64,
    /// Its freshness.
    pub state: State,
    /// The feed of its newest value.
    pub source: Option<Source>,
    /// Age of the last confirmation.
    pub age_ms: Option<u64>,
}

/// One topic's last value, or why there is none.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SnapshotRow {
    /// A `snapshot` message.
    Value(#[schemars(with = "event::SnapshotMessage")] Box<RawValue>),
    /// No value.
    Error {
        /// As it was asked.
        topic: String,
        /// Why.
        error: ErrorBody,
    },
}

/// Updates of the past.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Replayed {
    /// The numbering.
    pub epoch: Epoch,
    /// `update` messages in order.
    #[schemars(with = "Vec<event::UpdateMessage>")]
    pub updates: Vec<Box<RawValue>>,
    /// The first sequence number of the next page; null at the end.
    pub next: Option<u64>,
}

impl Reader {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// The numbering under which topics begin.
    pub fn epoch(&self) -> &Epoch {
        self.hub.epoch()
    }

    /// Topics that `pattern` means, by name; absent means all.
    ///
    /// # Errors
    /// `bad_topic`, or `bad_request` for a limit out of bounds.
    pub fn topics(
        &self,
        pattern: Option<&str>,
        limit: Option<usize>,
        cursor: Option<&str>,
        now: Micros,
    ) -> Result<Page<TopicRow>, ErrorBody> {
        let limit = page_size(limit)?;
        let slots = self.hub.matching(&read_pattern(pattern.unwrap_or(">"))?);
        let slots = slots.into_iter().map(|slot| (slot.topic().to_string(), slot));
        Ok(page(slots, limit, cursor, |_, slot| {
            let head = slot.head(now);
            TopicRow {
                topic: slot.topic().to_string(),
                epoch: head.epoch,
                seq: head.seq,
                state: head.status.state,
                source: head.status.source,
                age_ms: head.status.age_ms,
            }
        }))
    }

    /// Last values of topics and patterns, in the order asked. A topic without a value is a row
    /// with `unknown_topic`.
    ///
    /// # Errors
    /// `bad_request` for a limit out of bounds or a cursor that is none.
    pub fn snapshot(
        &self,
        asked: &[String],
        limit: Option<usize>,
        cursor: Option<&str>,
        now: Micros,
    ) -> Result<Page<SnapshotRow>, ErrorBody> {
        let limit = page_size(limit)?;
        let done = cursor.map_or(Ok(0), asked_before)?;
        let rows = asked.iter().enumerate().skip(done).flat_map(|(index, text)| {
            let found = match read_pattern(text) {
                Ok(pattern) => self.hub.matching(&pattern).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            let unknown = found.is_empty() && !text.contains(['*', '>']);
            let found = if unknown { vec![Err(unknown_topic())] } else { found };
            // A cursor must tell apart one topic that was asked twice: the place comes first.
            found.into_iter().map(move |row| {
                let name = row.as_ref().map_or("", |slot: &Arc<Slot>| slot.topic().as_str());
                (format!("{index:05}.{name}"), (text, row))
            })
        });
        Ok(page(rows, limit, cursor, |_, (text, row)| snapshot_row(text, row, now)))
    }
}

impl Reader {
    /// Kept updates of one topic from sequence number `from` to `to`.
    ///
    /// # Errors
    /// `unknown_topic`; `unrecoverable` with the oldest that is kept; `bad_request` for a limit out
    /// of bounds or an empty range.
    pub fn replay(
        &self,
        topic: &str,
        from: u64,
        to: Option<u64>,
        limit: Option<usize>,
    ) -> Result<Replayed, ErrorBody> {
        let limit = page_size(limit)?;
        if from == 0 || to.is_some_and(|to| to < from) {
            let message = "`from` must be at least 1 and at most `to`";
            return Err(ErrorBody::new(ErrorCode::BadRequest, message));
        }
        let slot = self.hub.topic(read_topic(topic)?.as_str()).ok_or_else(unknown_topic)?;
        let (kept, oldest) = slot.history(from, limit.saturating_add(1));
        if oldest == 0 {
            return Err(unknown_topic());
        }
        if from < oldest {
            return Err(ErrorBody::unrecoverable(oldest));
        }
        let epoch = kept.first().map_or_else(|| slot.epoch(), |issued| issued.update.epoch.clone());
        let wanted = |seq: u64| to.is_none_or(|to| seq <= to);
        let mut wanted = kept.into_iter().filter(|issued| wanted(issued.update.seq));
        let updates = wanted.by_ref().take(limit).filter_map(|issued| raw(&issued.json()));
        let updates = updates.collect();
        let next = wanted.next().map(|issued| issued.update.seq);
        Ok(Replayed { epoch, updates, next })
    }
}

pub(super) fn raw(json: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(std::str::from_utf8(json).ok()?.to_owned()).ok()
}

fn snapshot_row(text: &str, row: Result<Arc<Slot>, ErrorBody>, now: Micros) -> SnapshotRow {
    let failed =
        |error| SnapshotRow::Error { topic: text.chars().take(Topic::MAX_BYTES).collect(), error };
    let slot = match row {
        Ok(slot) => slot,
        Err(error) => return failed(error),
    };
    let head = slot.head(now);
    let Some(last) = head.last else {
        return failed(unknown_topic());
    };
    let mut json = Vec::with_capacity(256);
    event::snapshot(&mut json, &last.update, head.status.state);
    let raw = String::from_utf8(json).ok().and_then(|text| RawValue::from_string(text).ok());
    match raw {
        Some(raw) => SnapshotRow::Value(raw),
        None => failed(ErrorBody::new(ErrorCode::Internal, "the value could not be encoded")),
    }
}

pub(super) fn unknown_topic() -> ErrorBody {
    ErrorBody::new(ErrorCode::UnknownTopic, "nothing has been published there")
}

pub(super) fn read_pattern(text: &str) -> Result<Pattern, ErrorBody> {
    let canonical = Topic::canonical_text(text);
    Pattern::parse(canonical.as_deref().unwrap_or(text))
        .map_err(|error| ErrorBody::new(ErrorCode::BadTopic, error.to_string()))
}

/// One topic, by its name or an alias.
pub(super) fn read_topic(text: &str) -> Result<Pattern, ErrorBody> {
    let pattern = read_pattern(text)?;
    if pattern.is_wildcard() {
        let message = TopicError::Wildcard.to_string();
        return Err(ErrorBody::new(ErrorCode::BadTopic, message));
    }
    Ok(pattern)
}

pub(super) fn page_size(asked: Option<usize>) -> Result<usize, ErrorBody> {
    match asked {
        None => Ok(PAGE.default),
        Some(limit) if (1..=PAGE.most).contains(&limit) => Ok(limit),
        Some(_) => {
            let message = format!("`limit` must lie between 1 and {}", PAGE.most);
            Err(ErrorBody::new(ErrorCode::BadRequest, message))
        }
    }
}

/// How many of the strings asked were dealt with before the page that begins at `cursor`: they are
/// not looked for again.
fn asked_before(cursor: &str) -> Result<usize, ErrorBody> {
    let index = cursor.split_once('.').and_then(|(index, _)| index.parse().ok());
    index.ok_or_else(|| {
        let message = "`cursor` must be the `next` of an earlier page";
        ErrorBody::new(ErrorCode::BadRequest, message)
    })
}

/// Rows after `cursor`, which is the key of the last row of the page before.
pub(super) fn page<S, T>(
    rows: impl Iterator<Item = (String, S)>,
    limit: usize,
    cursor: Option<&str>,
    make: impl Fn(&str, S) -> T,
) -> Page<T> {
    let mut rest = rows.filter(|(key, _)| cursor.is_none_or(|cursor| key.as_str() > cursor));
    let mut page = Page { rows: Vec::new(), next: None };
    let mut last = None;
    for (key, row) in rest.by_ref().take(limit) {
        page.rows.push(make(&key, row));
        last = Some(key);
    }
    page.next = last.filter(|_| rest.next().is_some());
    page
}
