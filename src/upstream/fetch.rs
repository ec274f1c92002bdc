//! What the poll loop needs of a network: one request, one answer.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::BoxFuture;

use super::providers::Request;
use crate::market::Reason;

/// Makes requests. The one implementation that reaches a network is in `http`.
pub trait Fetch: Send + Sync {
    /// Makes `request`, on the condition that what `known` dates has changed.
    fn fetch<'a>(
        &'a self,
        request: &'a Request,
        known: Option<&'a Validators>,
    ) -> BoxFuture<'a, Result<Answer, FetchError>>;
}

/// By what an upstream recognises the answer that we have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

impl Validators {
    /// True when there is nothing to recognise it by.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// An answer of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The body; `None` when what we have is confirmed unchanged (304).
    pub body: Option<Bytes>,
    /// By what to recognise it the next time.
    pub validators: Validators,
    /// Units of this minute that the upstream says are spent.
    pub used: Option<u32>,
    /// The upstream's clock, to the second, when it made the answer.
    pub date: Option<SystemTime>,
}

/// Why there is no answer of use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}", reason = .reason.as_str())]
pub struct FetchError {
    /// The reason that clients and metrics see.
    pub reason: Reason,
    /// What went wrong, for a person: never a key, never a URL's query.
    pub message: String,
    /// How long the upstream wants to be left alone.
    pub retry_after: Option<Duration>,
    /// Units of this minute that the upstream says are spent.
    pub used: Option<u32>,
    /// The upstream's clock, to the second, when it refused.
    pub date: Option<SystemTime>,
    /// The status with which it refused.
    pub status: Option<u16>,
    /// Whether it says, in an answer with status 200, that the key is what it refuses.
    pub key_refused: bool,
}

impl FetchError {
    /// A failure about which the upstream said nothing more.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            reason,
            message,
            retry_after: None,
            used: None,
            date: None,
            status: None,
            key_refused: false,
        }
    }
}
