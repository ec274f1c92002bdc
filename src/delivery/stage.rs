//! What an update must pass before it waits for a client: filter, trigger, min_change. Pure.

use super::{
    filter::{Fault, Verdict},
    offer::Offer,
    options::{Least, Options},
};
use crate::protocol::params::Trigger;

/// What the stages remember of one topic for one subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Memory {
    /// The filter's last verdict.
    matched: bool,
    /// The value last let through, of the field that `min_change` watches.
    passed: Option<f64>,
}

/// What the stages make of an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Passage {
    Through,
    Refused,
    /// Refused since the filter could not be evaluated.
    Failed(Fault),
}

impl Memory {
    /// At the time of subscribing, when `last` is the topic's last update.
    pub(super) fn new(options: &Options, last: Option<&Offer>) -> Self {
        let matched = match (&options.filter, last) {
            (Some(filter), Some(last)) => last.verdict(filter).passes(),
            _ => false,
        };
        Self { matched, passed: None }
    }

    /// Decides on one update.
    pub(super) fn judge(&mut self, options: &Options, offer: &Offer) -> Passage {
        if let Some(filter) = &options.filter {
            let verdict = offer.verdict(filter);
            let matched_before = std::mem::replace(&mut self.matched, verdict.passes());
            match verdict {
                Verdict::Error(fault) => return Passage::Failed(fault),
                Verdict::False => return Passage::Refused,
                Verdict::True if options.trigger == Trigger::Edge && matched_before => {
                    return Passage::Refused;
                }
                Verdict::True => {}
            }
        }
        let Some(min_change) = &options.min_change else { return Passage::Through };
        // A field that is not there has not moved.
        let Some(value) = offer.number(&min_change.field) else { return Passage::Refused };
        if let Some(passed) = self.passed {
            let moved = (value - passed).abs();
            let least = match min_change.least {
                Least::Absolute(least) => least,
                Least::Bps(bps) => passed.abs() * bps / 10_000.0,
            };
            // In `f64` a decimal move may come out below the equal threshold by a rounding.
            let rounding = 4.0 * f64::EPSILON * (value.abs() + passed.abs());
            if moved + rounding < least {
                return Passage::Refused;
            }
        }
        self.passed = Some(value);
        Passage::Through
    }
}
