//! By which terms updates of one topic are judged, one after the other.

use super::{
    model::Sub,
    terms::{Said, Terms, Value},
};

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It passed all stages: it comes, is lost to overflow or, with `latest`, replaced.
    Through,
    Refused,
    /// Refused by a filter that fails.
    Failed,
    /// Lost before it could be offered.
    Missed,
    /// It is to be read from history.
    Unread,
    /// History lost it before it could be read.
    Overtaken,
    /// Replaced by a newer one before it could be offered.
    Skipped,
}

/// One subscription's terms, and what it remembers of one topic.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) sub: usize,
    pub(super) terms: Terms,
    /// What the filter said last.
    matched: bool,
    /// The number that was last let through.
    passed: Option<u64>,
}

impl Fate {
    /// As a client sees it.
    pub(super) fn seen(self) -> Self {
        if self == Self::Failed { Self::Refused } else { self }
    }
}

impl Lane {
    /// Begins when `last` was the topic's value.
    pub(super) fn new(sub: &Sub, topic: &str, last: Option<Value>) -> Self {
        let terms = sub.terms.clone();
        let matched = terms
            .filter
            .zip(last)
            .is_some_and(|(filter, last)| filter.says(topic, last) == Said::Yes);
        Self { sub: sub.id, terms, matched, passed: None }
    }

    /// What becomes of the next update.
    pub(super) fn judge(&mut self, topic: &str, value: Value) -> Fate {
        if let Some(filter) = self.terms.filter {
            let said = filter.says(topic, value);
            let matched_before = std::mem::replace(&mut self.matched, said == Said::Yes);
            match said {
                Said::Fault => return Fate::Failed,
                Said::No => return Fate::Refused,
                Said::Yes if self.terms.edge && matched_before => return Fate::Refused,
                Said::Yes => {}
            }
        }
        if let Some(least) = self.terms.least {
            let Some(number) = least.watched(value) else { return Fate::Refused };
            if self.passed.is_some_and(|passed| !least.reached(passed, number)) {
                return Fate::Refused;
            }
            self.passed = Some(number);
        }
        Fate::Through
    }
}
