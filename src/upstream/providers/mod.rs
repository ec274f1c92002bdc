//! What the poll loop knows of an API: requests to make and ticks to take from the answers. A
//! provider does no I/O, reads no clock and spawns nothing.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    market::{Reason, Tick},
    units::{Micros, Secret},
};

/// A request to make, relative to the feed's base URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Path below the base URL, with a leading slash: `/api/v3/ticker/24hr`.
    pub path: String,
    /// Query pairs, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// Header with a secret: its name and value.
    pub secret_header: Option<(&'static str, Secret)>,
    /// Budget units that it costs beyond what the configuration says for each request; 0 means
    /// just that.
    pub weight: u32,
    /// What [`Provider::decode`] needs to know which answer it has.
    pub tag: usize,
}

/// An answer with status 2xx; other statuses never reach a provider.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its body after decompression.
    pub body: Bytes,
    /// When it was complete.
    pub rx: Micros,
}

/// What an answer held.
#[derive(Debug, Default)]
pub struct Batch {
    /// Readings, in the order of the answer.
    pub ticks: Vec<Tick>,
    /// What was asked for and was not in the answer, or was not usable: a short text for the log.
    pub missing: Vec<String>,
    /// When the upstream says that something new will be there.
    pub next_in: Option<Duration>,
}

/// Why an answer is of no use as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason:?}: {message}", reason = .reason.as_str())]
pub struct DecodeError {
    /// The reason that clients and metrics see.
    pub reason: Reason,
    /// What was wrong, for the log: never a key, at most a short excerpt of the body.
    pub message: String,
}

/// One API's requests and answers for one feed.
pub trait Provider: Send {
    /// Requests that must be answered once before polling can begin, such as a look-up of ids.
    /// Asked again, with back-off, until [`Provider::prepared`] has accepted the answers.
    fn preparation(&self) -> Vec<Request> {
        Vec::new()
    }

    /// Takes the answer to one of [`Provider::preparation`].
    ///
    /// # Errors
    /// When the answer is of no use.
    fn prepared(&mut self, request: &Request, response: &Response) -> Result<(), DecodeError> {
        let (_, _) = (request, response);
        Ok(())
    }

    /// The requests of one poll. Everything that can be asked at once is one request.
    fn requests(&self) -> Vec<Request>;

    /// Ticks from the answer to one of [`Provider::requests`].
    ///
    /// # Errors
    /// When the answer is of no use: not what the API promises, or an error that came with status
    /// 200.
    fn decode(&mut self, request: &Request, response: &Response) -> Result<Batch, DecodeError>;

    /// Topics that this feed will publish as far as they are known beforehand, so that they can be
    /// listed, awaited and told as down before the first value.
    fn topics(&self) -> Vec<crate::market::Topic>;
}

/// TEMPORARY stub until the providers are merged: replace by the real one.
pub fn build(
    feed: &crate::upstream::config::FeedConfig,
    _api_key: Option<Secret>,
) -> Result<Box<dyn Provider>, String> {
    Err(format!("no provider for feed {}", feed.name))
}
