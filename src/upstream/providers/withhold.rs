//! Keeps a key that an upstream repeats (`Invalid API key: …`) out of our log.

use super::{Batch, DecodeError, Provider, Request, Response};
use crate::{market::Topic, units::Secret};

/// What stands in the place of a text that may hold the key.
const WITHHELD: &str = "(withheld: the answer repeats the key)";

/// A provider whose texts for the log are withheld when an answer holds the feed's key. They are
/// not searched themselves: an excerpt can end in the middle of a key.
pub(super) struct Withhold {
    provider: Box<dyn Provider>,
    key: Secret,
}

impl Withhold {
    pub(super) fn new(provider: Box<dyn Provider>, key: Secret) -> Self {
        Self { provider, key }
    }

    fn repeated_by(&self, response: &Response) -> bool {
        let key = self.key.expose().as_bytes();
        !key.is_empty() && response.body.windows(key.len()).any(|part| part == key)
    }

    fn error(&self, error: DecodeError, response: &Response) -> DecodeError {
        if self.repeated_by(response) {
            return DecodeError { message: WITHHELD.to_owned(), ..error };
        }
        error
    }
}

impl Provider for Withhold {
    fn preparation(&self) -> Vec<Request> {
        self.provider.preparation()
    }

    fn prepared(&mut self, request: &Request, response: &Response) -> Result<(), DecodeError> {
        let result = self.provider.prepared(request, response);
        result.map_err(|error| self.error(error, response))
    }

    fn requests(&self) -> Vec<Request> {
        self.provider.requests()
    }

    fn decode(&mut self, request: &Request, response: &Response) -> Result<Batch, DecodeError> {
        match self.provider.decode(request, response) {
            Ok(mut batch) => {
                if !batch.missing.is_empty() && self.repeated_by(response) {
                    batch.missing.fill(WITHHELD.to_owned());
                }
                Ok(batch)
            }
            Err(error) => Err(self.error(error, response)),
        }
    }

    fn topics(&self) -> Vec<Topic> {
        self.provider.topics()
    }
}
