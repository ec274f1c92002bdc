//! Whether a topic's value can be relied on now. Pure: time is an argument.

use crate::{
    market::{Reason, Source, State},
    units::Micros,
};

/// Freshness of one topic. It is confirmed by every successful poll, changed value or not.
#[derive(Debug, Clone)]
pub struct Freshness {
    state: State,
    source: Option<Source>,
    confirmed: Option<Micros>,
    stale_at: Micros,
    down_at: Micros,
    trouble: Option<Trouble>,
}

/// What keeps a source from confirming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// Why.
    pub reason: Reason,
    /// When it will be tried again, where that is known.
    pub retry_at: Option<Micros>,
    /// Down at once, however young the value is: its breaker is open.
    pub blocked: bool,
}

/// How far a value can be relied on that several sources back, as one says who weighs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The feed whose value it is.
    pub source: Source,
    /// When that feed confirmed it last.
    pub confirmed: Micros,
    /// From when on no source is live.
    pub stale_at: Micros,
    /// From when on no source is even stale.
    pub down_at: Micros,
    /// What keeps `source` from confirming. Whether it is blocked does not matter here: that is
    /// in the deadlines.
    pub trouble: Option<Trouble>,
}

impl Trouble {
    /// Nobody subscribes, so it is not asked.
    pub const PAUSED: Self = Self { reason: Reason::Paused, retry_at: None, blocked: false };
}

/// A change of state, as subscribers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The state now.
    pub state: State,
    /// Age of the last confirmation; `None` before the first.
    pub age_ms: Option<u64>,
    /// The feed that confirmed last, or that should have.
    pub source: Option<Source>,
    /// Why it is not live.
    pub reason: Option<Reason>,
    /// When it will be tried again, where that is known.
    pub retry_at: Option<Micros>,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            state: State::Down,
            source: None,
            confirmed: None,
            stale_at: Micros::MIN,
            down_at: Micros::MIN,
            trouble: None,
        }
    }
}

impl Freshness {
    /// `source` has confirmed the value; it stays live for `stale_after` microseconds. A topic of
    /// several feeds is as live as its best, so deadlines only move out.
    pub fn confirm(
        &mut self,
        source: &Source,
        now: Micros,
        stale_after: Micros,
    ) -> Option<Transition> {
        self.confirmed = Some(self.confirmed.map_or(now, |before| before.max(now)));
        self.stale_at = self.stale_at.max(now.saturating_add(stale_after));
        self.down_at = self.down_at.max(now.saturating_add(stale_after.saturating_mul(3)));
        if self.source.as_ref() != Some(source) {
            self.source = Some(source.clone());
        }
        self.trouble = None;
        self.evaluate(now)
    }

    /// Takes over what somebody else has worked out of several sources. Deadlines move either way:
    /// a source that leaves takes its own with it.
    pub fn settle(&mut self, standing: &Standing, now: Micros) -> Option<Transition> {
        self.confirmed = Some(standing.confirmed);
        self.stale_at = standing.stale_at;
        self.down_at = standing.down_at;
        if self.source.as_ref() != Some(&standing.source) {
            self.source = Some(standing.source.clone());
        }
        self.trouble = standing.trouble.map(|trouble| Trouble { blocked: false, ..trouble });
        self.evaluate(now)
    }

    /// `source` could not confirm. Ignored while another source is the one that confirms.
    pub fn trouble(
        &mut self,
        source: &Source,
        trouble: Trouble,
        now: Micros,
    ) -> Option<Transition> {
        match &self.source {
            Some(confirming) if confirming != source => return None,
            Some(_) => {}
            None => self.source = Some(source.clone()),
        }
        self.trouble = Some(trouble);
        self.evaluate(now)
    }

    /// What has changed by `now`.
    pub fn evaluate(&mut self, now: Micros) -> Option<Transition> {
        let blocked = self.trouble.is_some_and(|trouble| trouble.blocked);
        let state = match self.confirmed {
            None => State::Down,
            Some(_) if blocked || now >= self.down_at => State::Down,
            Some(_) if now >= self.stale_at => State::Stale,
            Some(_) => State::Live,
        };
        if state == self.state {
            return None;
        }
        self.state = state;
        Some(self.view(now))
    }

    /// When it changes by itself, if nothing happens before.
    pub fn due(&self) -> Micros {
        match self.state {
            State::Live => self.stale_at.min(self.down_at),
            State::Stale => self.down_at,
            State::Down => Micros::MAX,
        }
    }

    /// The state as it was last evaluated.
    pub fn state(&self) -> State {
        self.state
    }

    /// The state with all that is told of it.
    pub fn view(&self, now: Micros) -> Transition {
        let live = self.state == State::Live;
        let reason = self.trouble.map_or(Reason::NoData, |trouble| trouble.reason);
        Transition {
            state: self.state,
            age_ms: self.age_ms(now),
            source: self.source.clone(),
            reason: (!live).then_some(reason),
            retry_at: self.trouble.and_then(|trouble| trouble.retry_at).filter(|_| !live),
        }
    }

    /// Milliseconds since the last confirmation.
    pub fn age_ms(&self, now: Micros) -> Option<u64> {
        self.confirmed.map(|at| u64::try_from(now.saturating_sub(at) / 1000).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str) -> Source {
        name.into()
    }

    const RATE_LIMITED: Trouble =
        Trouble { reason: Reason::RateLimited, retry_at: Some(99), blocked: false };

    #[test]
    fn a_value_ages_from_live_to_stale_to_down_and_comes_back() {
        let mut topic = Freshness::default();
        assert_eq!(topic.state(), State::Down);
        assert_eq!(topic.confirm(&source("a"), 0, 10_000).unwrap().state, State::Live);
        assert_eq!(topic.evaluate(9_999), None);
        let stale = topic.evaluate(10_000).unwrap();
        assert_eq!((stale.state, stale.age_ms), (State::Stale, Some(10)));
        assert_eq!(stale.reason, Some(Reason::NoData));
        assert_eq!(topic.evaluate(30_000).unwrap().state, State::Down);
        let live = topic.confirm(&source("a"), 40_000, 10_000).unwrap();
        assert_eq!((live.state, live.reason), (State::Live, None));
    }

    #[test]
    fn the_reason_of_the_trouble_is_told_at_the_transition() {
        let mut topic = Freshness::default();
        topic.confirm(&source("a"), 0, 10_000);
        assert_eq!(topic.trouble(&source("a"), RATE_LIMITED, 5_000), None);
        let stale = topic.evaluate(10_000).unwrap();
        assert_eq!((stale.reason, stale.retry_at), (Some(Reason::RateLimited), Some(99)));
    }

    #[test]
    fn an_open_breaker_takes_it_down_at_once() {
        let mut topic = Freshness::default();
        topic.confirm(&source("a"), 0, 10_000);
        let open = Trouble { reason: Reason::BreakerOpen, retry_at: None, blocked: true };
        assert_eq!(topic.trouble(&source("a"), open, 1).unwrap().state, State::Down);
    }

    #[test]
    fn a_topic_of_two_feeds_is_as_live_as_its_best() {
        let mut topic = Freshness::default();
        topic.confirm(&source("slow"), 0, 60_000);
        topic.confirm(&source("fast"), 1_000, 5_000);
        assert_eq!(topic.trouble(&source("slow"), RATE_LIMITED, 2_000), None);
        assert_eq!(topic.evaluate(10_000), None);
        assert_eq!(topic.evaluate(60_000).unwrap().state, State::Stale);
    }

    #[test]
    fn a_settled_topic_follows_its_deadlines_both_ways() {
        let mut topic = Freshness::default();
        let standing = |name, confirmed, stale_at, trouble| Standing {
            source: source(name),
            confirmed,
            stale_at,
            down_at: 3 * stale_at,
            trouble,
        };
        assert_eq!(topic.settle(&standing("slow", 0, 60_000, None), 0).unwrap().state, State::Live);
        assert_eq!(topic.settle(&standing("fast", 1_000, 6_000, Some(RATE_LIMITED)), 2_000), None);
        let stale = topic.evaluate(6_000).unwrap();
        assert_eq!((stale.state, stale.age_ms), (State::Stale, Some(5)));
        assert_eq!((stale.source, stale.reason), (Some(source("fast")), Some(Reason::RateLimited)));
        let gone = Standing { down_at: 0, ..standing("fast", 1_000, 0, Some(RATE_LIMITED)) };
        assert_eq!(topic.settle(&gone, 6_001).unwrap().state, State::Down);
    }
}
