//! Filters of subscriptions: CEL expressions over one update.
//!
//! The `cel` crate reads the text; what it reads is checked, given kinds and lowered once to a small
//! tree of our own ([`expr`]), and that is what runs for every update. Its own interpreter stays
//! out of the way for three reasons: it refuses `data.price * 2` since a decimal and an integer
//! literal differ in kind, it cannot see a field both as a number and as the digits that were sent,
//! and it allocates on every comparison. Ours takes a tenth of its time and has no loops, so that
//! the bounds on the text ([`bounds`]) are bounds on the work.
//!
//! What a filter may say:
//! - `topic` and `source` (texts), `ts` and `rx` (integer µs), and the fields of `data`, as
//!   `data.price` or `data["price"]`. A field whose JSON string is a decimal number is a number, and
//!   equal to its digits too: with `"label":"40"` both `data.label == 40` and `data.label == "40"`
//!   are true. Integers and decimals mix freely; two integers divide as integers.
//! - `&& || ! ?: == != < <= > >= + - * / % in`, lists at the right of `in`, `has(data.bid)`,
//!   `"bid" in data`, `startsWith` `endsWith` `contains` `size` of texts, `int` and `double` of
//!   numbers, `math.abs` `math.least` `math.greatest`.
//!
//! A missing field or a missing `ts` makes the part that asks for it undecided, as an error is in
//! CEL: `false && it` is false, `true || it` is true, and a filter that stays undecided is false.

mod bounds;
mod calls;
mod compile;
mod expr;
mod fault;
mod fields;
mod lower;
mod memo;
mod operate;
#[cfg(test)]
mod tests;

use std::{
    cell::OnceCell,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::DashMap;

pub use fault::{Fault, Place};
pub use memo::Memo;

use crate::{market::Update, protocol::code::ErrorBody};
use expr::Expr;
use memo::Scope;

/// A filter that has been read and checked. Those of one server are shared: the same text is the
/// same filter, for as long as somebody uses it.
pub struct Filter {
    id: u64,
    text: Box<str>,
    expr: Expr,
    home: Weak<Interned>,
}

/// What a filter makes of one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It lets the update through.
    True,
    /// It holds the update back, or a field that it asks for is missing.
    False,
    /// It holds the update back since it could not be evaluated; the client should be told once.
    Error(Fault),
}

/// The filters of one server that are in use.
#[derive(Default)]
pub struct Filters {
    interned: Arc<Interned>,
    next: AtomicU64,
}

type Interned = DashMap<Box<str>, Weak<Filter>>;

impl Verdict {
    /// Whether the update is let through.
    pub fn passes(self) -> bool {
        self == Self::True
    }
}

impl Filter {
    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Evaluates one update alone. Where several filters see the same update, [`Memo`] reads its
    /// data and evaluates each filter only once.
    pub fn evaluate(&self, update: &Update) -> Verdict {
        self.judge(&Scope::new(update, &OnceCell::new()))
    }

    fn judge(&self, scope: &Scope<'_>) -> Verdict {
        self.expr.judge(scope)
    }
}

impl Filters {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The filter of `text`: the one in use, else a new one. A new one takes about a millisecond,
    /// 1,024 hostile bytes a few; it is read on a thread of its own, which this one waits for.
    ///
    /// # Errors
    /// `bad_filter` and `filter_too_costly`, with line and column, counted from 1, and what is wrong
    /// there; `internal` when there is no thread to be had.
    pub fn compile(&self, text: &str) -> Result<Arc<Filter>, ErrorBody> {
        // Before the lookup, so that no key is longer than a filter may be.
        bounds::check(text)?;
        if let Some(filter) = self.find(text) {
            return Ok(filter);
        }
        let filter = Arc::new(Filter {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            text: text.into(),
            expr: compile::compile(text)?,
            home: Arc::downgrade(&self.interned),
        });
        // Another thread may have been first. Ours is then dropped when this function returns,
        // after the entry's lock: its drop takes the same one.
        let mut entry = self.interned.entry(text.into()).or_default();
        if let Some(first) = entry.upgrade() {
            drop(entry);
            return Ok(first);
        }
        *entry = Arc::downgrade(&filter);
        drop(entry);
        Ok(filter)
    }

    /// How many distinct filters are in use.
    pub fn len(&self) -> usize {
        self.interned.len()
    }

    /// True when no filter is in use.
    pub fn is_empty(&self) -> bool {
        self.interned.is_empty()
    }

    fn find(&self, text: &str) -> Option<Arc<Filter>> {
        self.interned.get(text).and_then(|entry| entry.upgrade())
    }
}

/// The last user of a filter takes it out, so that there is nothing to sweep.
impl Drop for Filter {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            // The entry may already belong to a successor, which is alive.
            home.remove_if(&self.text, |_, filter| filter.strong_count() == 0);
        }
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({:?})", self.text)
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filters({} in use)", self.len())
    }
}
