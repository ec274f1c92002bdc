//! How one subscription is delivered, validated once.

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    filter::{Filter, Filters},
    projection::{Projection, Projections},
};
use crate::protocol::{
    code::{ErrorBody, ErrorCode},
    params::{MinChange, Mode, Subscribe, Trigger},
};

/// The fastest that `max_rate` may ask for; beyond it there is nothing to limit.
const RATE_MAX: f64 = 1000.0;
/// The slowest: once an hour.
const RATE_MIN: f64 = 1.0 / 3600.0;
/// The longest name of a field.
const FIELD_BYTES_MAX: usize = 64;

/// Delivery options of one subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Every update or the latest only.
    pub mode: Mode,
    /// The least time between two updates of a topic.
    pub interval: Option<Duration>,
    /// Whether the last value is sent at first.
    pub snapshot: bool,
    /// Whether changes of freshness are sent.
    pub status: bool,
    /// Whether the filter lets through all that match or only the turn to matching.
    pub trigger: Trigger,
    pub(super) filter: Option<Arc<Filter>>,
    pub(super) min_change: Option<Threshold>,
    pub(super) projection: Option<Arc<Projection>>,
}

/// The least move of a field that is sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Threshold {
    pub(super) field: String,
    pub(super) least: Least,
}

/// How much it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Least {
    Bps(f64),
    Absolute(f64),
}

/// What the subscriptions of one server share.
#[derive(Debug, Default)]
pub struct Shared {
    filters: Filters,
    projections: Projections,
}

/// Options as `subscriptions` tells them.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct OptionsView {
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_change: Option<MinChange>,
    trigger: Trigger,
    snapshot: bool,
    status: bool,
}

/// What is delivered when nothing is said.
impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Latest,
            interval: None,
            snapshot: true,
            status: true,
            trigger: Trigger::Level,
            filter: None,
            min_change: None,
            projection: None,
        }
    }
}

impl Options {
    /// Whether every update goes to the client, as the hub made it and without a rest between two.
    pub(super) fn takes_all(&self) -> bool {
        self.filter.is_none()
            && self.min_change.is_none()
            && self.projection.is_none()
            && self.interval.is_none()
    }

    /// The filter, where it is all that stands between the updates and the client: what it lets
    /// through goes out as the hub made it, and nothing is remembered of it.
    pub(super) fn filter_alone(&self) -> Option<&Arc<Filter>> {
        let alone = self.mode == Mode::Every
            && self.trigger == Trigger::Level
            && self.min_change.is_none()
            && self.projection.is_none()
            && self.interval.is_none();
        self.filter.as_ref().filter(|_| alone)
    }

    /// Checks what was asked.
    ///
    /// # Errors
    /// `bad_request`, `bad_filter` or `filter_too_costly`, with what is wrong.
    pub fn from_request(asked: &Subscribe, shared: &Shared) -> Result<Self, ErrorBody> {
        let filter =
            asked.filter.as_deref().map(|text| shared.filters.compile(text)).transpose()?;
        if asked.trigger == Trigger::Edge && filter.is_none() {
            return Err(wrong("`trigger` edge needs a `filter` to turn from false to true"));
        }
        let projection =
            asked.fields.as_deref().map(|fields| shared.projections.intern(fields)).transpose()?;
        Ok(Self {
            mode: asked.mode,
            interval: interval(asked)?,
            snapshot: asked.snapshot,
            status: asked.status,
            trigger: asked.trigger,
            filter,
            min_change: asked.min_change.as_ref().map(Threshold::read).transpose()?,
            projection,
        })
    }

    /// The options as they are told.
    pub fn view(&self) -> OptionsView {
        OptionsView {
            mode: self.mode,
            max_rate: self.interval.map(|interval| 1.0 / interval.as_secs_f64()),
            filter: self.filter.as_ref().map(|filter| filter.text().to_owned()),
            fields: self.projection.as_ref().map(|projection| projection.fields.clone()),
            min_change: self.min_change.as_ref().map(Threshold::view),
            trigger: self.trigger,
            snapshot: self.snapshot,
            status: self.status,
        }
    }
}

fn interval(asked: &Subscribe) -> Result<Option<Duration>, ErrorBody> {
    match asked.max_rate {
        None => Ok(None),
        Some(_) if asked.mode == Mode::Every => {
            Err(wrong("`max_rate` needs `mode` latest: every update cannot be delayed without end"))
        }
        Some(rate) if !(RATE_MIN..=RATE_MAX).contains(&rate) => {
            Err(wrong(&format!("`max_rate` must lie between {RATE_MIN:.6} and {RATE_MAX}")))
        }
        Some(rate) => Ok(Some(Duration::from_secs_f64(1.0 / rate))),
    }
}

impl Threshold {
    fn read(asked: &MinChange) -> Result<Self, ErrorBody> {
        if asked.field.is_empty() || asked.field.len() > FIELD_BYTES_MAX {
            return Err(wrong("`min_change.field` must name a field of `data`"));
        }
        let least = match (asked.bps, asked.abs) {
            (Some(bps), None) => Least::Bps(bps),
            (None, Some(abs)) => Least::Absolute(abs),
            _ => return Err(wrong("`min_change` needs either `bps` or `abs`")),
        };
        let (Least::Bps(size) | Least::Absolute(size)) = least;
        if !size.is_finite() || size <= 0.0 {
            return Err(wrong("`min_change` must be above zero"));
        }
        Ok(Self { field: asked.field.clone(), least })
    }

    fn view(&self) -> MinChange {
        let (bps, abs) = match self.least {
            Least::Bps(bps) => (Some(bps), None),
            Least::Absolute(abs) => (None, Some(abs)),
        };
        MinChange { field: self.field.clone(), bps, abs }
    }
}

fn wrong(message: &str) -> ErrorBody {
    ErrorBody::new(ErrorCode::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(params: &str) -> Result<Options, ErrorBody> {
        Options::from_request(&serde_json::from_str(params).unwrap(), &Shared::default())
    }

    #[test]
    fn a_rate_belongs_to_latest_and_within_bounds() {
        let interval = options(r#"{"topics":[],"max_rate":5}"#).unwrap().interval;
        assert_eq!(interval, Some(Duration::from_millis(200)));
        for params in [
            r#"{"topics":[],"mode":"every","max_rate":5}"#,
            r#"{"topics":[],"max_rate":0}"#,
            r#"{"topics":[],"max_rate":-1}"#,
            r#"{"topics":[],"max_rate":1e9}"#,
            r#"{"topics":[],"max_rate":1e-30}"#,
            r#"{"topics":[],"trigger":"edge"}"#,
            r#"{"topics":[],"fields":[]}"#,
            r#"{"topics":[],"min_change":{"field":"price"}}"#,
            r#"{"topics":[],"min_change":{"field":"price","bps":1,"abs":1}}"#,
            r#"{"topics":[],"min_change":{"field":"price","bps":-1}}"#,
            r#"{"topics":[],"min_change":{"field":"","abs":1}}"#,
        ] {
            assert_eq!(options(params).unwrap_err().code, ErrorCode::BadRequest, "{params}");
        }
        let code = options(r#"{"topics":[],"filter":"data.price >"}"#).unwrap_err().code;
        assert_eq!(code, ErrorCode::BadFilter);
    }

    #[test]
    fn what_was_asked_is_told_again() {
        let asked = r#"{"topics":[],"max_rate":5,"filter":"data.price > 1","fields":["price"],
            "min_change":{"field":"price","bps":10},"trigger":"edge","status":false}"#;
        let told = serde_json::to_value(options(asked).unwrap().view()).unwrap();
        let expected = serde_json::json!({"mode":"latest","max_rate":5.0,"filter":"data.price > 1",
            "fields":["price"],"min_change":{"field":"price","bps":10.0},"trigger":"edge",
            "snapshot":true,"status":false});
        assert_eq!(told, expected);
    }
}
