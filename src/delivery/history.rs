//! Reading what is kept of the past, by number or by time.

use serde_json::value::RawValue;

use super::reader::{Reader, page_size, raw, read_topic, unknown_topic};
use crate::{
    market::Epoch,
    protocol::code::{ErrorBody, ErrorCode},
    units::Micros,
};

/// Which updates are asked; bounds belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All that are kept.
    Kept,
    /// By sequence number.
    Numbers {
        /// First; absent means the oldest that is kept.
        from: Option<u64>,
        /// Last; absent means the newest.
        to: Option<u64>,
    },
    /// By `rx`. What is no longer kept is not missed: [`Past::oldest`] tells where keeping begins.
    Times {
        /// Earliest; absent means that of the oldest that is kept.
        from: Option<Micros>,
        /// Latest; absent means that of the newest.
        to: Option<Micros>,
    },
}

/// A page of updates of the past.
#[derive(Debug)]
pub struct Past {
    /// The numbering.
    pub epoch: Epoch,
    /// The oldest sequence number that is kept.
    pub oldest: u64,
    /// `update` messages in order.
    pub updates: Vec<Box<RawValue>>,
    /// The cursor of the next page; `None` at the end.
    pub next: Option<String>,
}

impl Span {
    fn check(self) -> Result<(), ErrorBody> {
        let wrong = match self {
            Self::Numbers { from: Some(0), .. } => "`from_seq` must be at least 1",
            Self::Numbers { from: Some(from), to: Some(to) } if to < from => {
                "`from_seq` must be at most `to_seq`"
            }
            Self::Times { from: Some(from), to: Some(to) } if to < from => {
                "`from_time` must be at most `to_time`"
            }
            _ => return Ok(()),
        };
        Err(ErrorBody::new(ErrorCode::BadRequest, wrong))
    }

    fn holds(self, seq: u64, rx: Micros) -> bool {
        match self {
            Self::Kept => true,
            Self::Numbers { from, to } => {
                from.is_none_or(|from| from <= seq) && to.is_none_or(|to| seq <= to)
            }
            Self::Times { from, to } => {
                from.is_none_or(|from| from <= rx) && to.is_none_or(|to| rx <= to)
            }
        }
    }
}

impl Reader {
    /// A page of the updates of one topic that `span` means.
    ///
    /// # Errors
    /// `bad_topic`, `unknown_topic`; `unrecoverable` with the oldest that is kept, where a number
    /// or a cursor lies before it; `bad_request` for a limit out of bounds, an empty span or a
    /// cursor that is none.
    pub fn past(
        &self,
        topic: &str,
        span: Span,
        limit: Option<usize>,
        cursor: Option<&str>,
        now: Micros,
    ) -> Result<Past, ErrorBody> {
        let limit = page_size(limit)?;
        span.check()?;
        let cursor = cursor.map(read_cursor).transpose()?;
        let slot = self.hub.topic(read_topic(topic)?.as_str()).ok_or_else(unknown_topic)?;
        let start = match (&cursor, span) {
            (Some((_, seq)), _) => Some(*seq),
            (None, Span::Numbers { from, .. }) => from,
            _ => None,
        };
        // By time the whole ring is looked through: clocks may go back, numbers do not.
        let most = match span {
            Span::Times { .. } => usize::MAX,
            _ => limit.saturating_add(1),
        };
        let (kept, oldest) = slot.history(start.unwrap_or(0), most);
        if oldest == 0 {
            return Err(unknown_topic());
        }
        let epoch = match kept.first() {
            Some(issued) => issued.update.epoch.clone(),
            None => slot.head(now).epoch,
        };
        let another = cursor.is_some_and(|(numbering, _)| *numbering != *epoch);
        if another || start.is_some_and(|start| start < oldest) {
            return Err(ErrorBody::unrecoverable(oldest));
        }
        let mut meant =
            kept.iter().filter(|issued| span.holds(issued.update.seq, issued.update.rx));
        let updates = meant.by_ref().take(limit).filter_map(|issued| raw(&issued.json())).collect();
        let next = meant.next().map(|issued| format!("{epoch}-{}", issued.update.seq));
        Ok(Past { epoch, oldest, updates, next })
    }
}

/// The numbering and the first number of the page.
fn read_cursor(text: &str) -> Result<(&str, u64), ErrorBody> {
    let read = text.rsplit_once('-').and_then(|(epoch, seq)| Some((epoch, seq.parse().ok()?)));
    read.ok_or_else(|| {
        let message = "`cursor` must be the `next` of an earlier page";
        ErrorBody::new(ErrorCode::BadRequest, message)
    })
}
