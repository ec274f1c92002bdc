//! How one subscription is delivered, validated once.

use std::time::Duration;

use serde::Serialize;

use crate::protocol::{
    code::{ErrorBody, ErrorCode},
    params::{Mode, Subscribe, Trigger},
};

/// The fastest that `max_rate` may ask for; beyond it there is nothing to limit.
const RATE_MAX: f64 = 1000.0;
/// The slowest: once an hour.
const RATE_MIN: f64 = 1.0 / 3600.0;

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
}

/// Options as `subscriptions` tells them.
#[derive(Debug, Clone, Serialize)]
pub struct OptionsView {
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_rate: Option<f64>,
    snapshot: bool,
    status: bool,
}

impl Options {
    /// Checks what was asked.
    ///
    /// # Errors
    /// `bad_request` with what is wrong, or with what this server does not offer: an option that
    /// is not applied must not look as if it were.
    pub fn from_request(asked: &Subscribe) -> Result<Self, ErrorBody> {
        let wrong = |message: String| Err(ErrorBody::new(ErrorCode::BadRequest, message));
        let absent = [
            ("filter", asked.filter.is_some()),
            ("fields", asked.fields.is_some()),
            ("min_change", asked.min_change.is_some()),
            ("trigger", asked.trigger == Trigger::Edge),
            ("resume", asked.resume.is_some()),
        ];
        if let Some((name, _)) = absent.into_iter().find(|(_, asked)| *asked) {
            return wrong(format!("`{name}` is not offered by this version"));
        }
        let interval = match asked.max_rate {
            None => None,
            Some(_) if asked.mode == Mode::Every => {
                return wrong(
                    "`max_rate` needs `mode` latest: every update cannot be delayed \
                              without end"
                        .to_owned(),
                );
            }
            Some(rate) if !(RATE_MIN..=RATE_MAX).contains(&rate) => {
                return wrong(format!("`max_rate` must lie between {RATE_MIN:.6} and {RATE_MAX}"));
            }
            Some(rate) => Some(Duration::from_secs_f64(1.0 / rate)),
        };
        Ok(Self { mode: asked.mode, interval, snapshot: asked.snapshot, status: asked.status })
    }

    /// The options as they are told.
    pub fn view(&self) -> OptionsView {
        OptionsView {
            mode: self.mode,
            max_rate: self.interval.map(|interval| 1.0 / interval.as_secs_f64()),
            snapshot: self.snapshot,
            status: self.status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(params: &str) -> Result<Options, ErrorBody> {
        Options::from_request(&serde_json::from_str(params).unwrap())
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
        ] {
            assert_eq!(options(params).unwrap_err().code, ErrorCode::BadRequest, "{params}");
        }
    }
}
