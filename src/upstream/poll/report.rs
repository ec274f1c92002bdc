//! What one poll came to, and what is wrong with it.

use std::time::Duration;

use crate::{
    market::{Reason, Source},
    units::Micros,
    upstream::{
        fetch::{Answer, FetchError},
        providers::{DecodeError, Provider, Request, Response},
        publish::Published,
    },
};

/// What one poll came to, over all its requests.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) answered: bool,
    pub(super) published: Published,
    pub(super) missing: Vec<String>,
    pub(super) next_in: Option<Duration>,
    pub(super) failure: Option<FetchError>,
    /// Nobody wanted it any more before all was asked.
    pub(super) unwanted: bool,
}

impl Report {
    /// Adds what one request came to.
    pub(super) fn add(&mut self, part: Self) {
        self.answered |= part.answered;
        self.published.accepted += part.published.accepted;
        self.published.changed += part.published.changed;
        self.published.quarantined += part.published.quarantined;
        self.published.passed_over += part.published.passed_over;
        self.missing.extend(part.missing);
        self.next_in = match (self.next_in, part.next_in) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// Whether all that was asked for came, and is as it was. What is held back may be new.
    pub(super) fn is_unchanged(&self, prepared: bool) -> bool {
        let all_known = Published { accepted: self.published.accepted, ..Published::default() };
        let confirmed = self.published.accepted > 0 && self.published == all_known;
        prepared && self.failure.is_none() && confirmed
    }

    /// What is wrong with a poll that got an answer.
    pub(super) fn complaint(&self, prepared: bool) -> Option<FetchError> {
        if let Some(failure) = &self.failure {
            return Some(failure.clone());
        }
        match self.published {
            _ if !prepared => None,
            Published { accepted: 1.., .. } | Published { passed_over: 1.., .. } => None,
            Published { quarantined: 0, .. } => {
                Some(FetchError::new(Reason::NoData, "the answer holds nothing that was asked for"))
            }
            Published { .. } => {
                Some(FetchError::new(Reason::Quarantined, "every value is quarantined"))
            }
        }
    }
}

/// Gives the provider the answer to a preparation.
pub(super) fn prepare(
    provider: &mut dyn Provider,
    request: &Request,
    answer: Answer,
    rx: Micros,
) -> Result<Report, FetchError> {
    let body = answer.body.unwrap_or_default();
    decode(&Response { body, rx }, |response| provider.prepared(request, response))?;
    Ok(Report { answered: true, ..Report::default() })
}

/// Decodes an answer that is not a page for people.
pub(in crate::upstream) fn decode<T>(
    response: &Response,
    decode: impl FnOnce(&Response) -> Result<T, DecodeError>,
) -> Result<T, FetchError> {
    if response.body.trim_ascii_start().starts_with(b"<") {
        return Err(FetchError::new(Reason::BadBody, "markup where data was due"));
    }
    decode(response).map_err(|error| FetchError {
        key_refused: error.key_refused,
        ..FetchError::new(error.reason, error.message)
    })
}

/// Whether the other requests of a poll would only fail alike.
pub(in crate::upstream) fn ends_poll(reason: Reason) -> bool {
    !matches!(reason, Reason::Http4xx | Reason::BadBody | Reason::NoData)
}

/// Logs what an answer lacks where that has changed since `before`.
pub(super) fn log_missing(feed: &Source, before: &mut Vec<String>, mut missing: Vec<String>) {
    missing.sort_unstable();
    if missing == *before {
        return;
    }
    if missing.is_empty() {
        tracing::info!(%feed, "nothing is missing any more");
    } else {
        tracing::warn!(%feed, missing = missing.join("; "), "not in the answer");
    }
    *before = missing;
}
