//! What earlier answers held, so that "unchanged" (304) can confirm it. Pure.

use super::{
    fetch::Validators,
    providers::{Batch, Request},
};
use crate::market::Tick;

/// One answer for each of a feed's requests, as long as it keeps making them.
#[derive(Debug, Default)]
pub struct Remembered(Vec<Known>);

#[derive(Debug)]
struct Known {
    request: Request,
    validators: Validators,
    held: Held,
}

/// What an answer held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// Readings.
    pub ticks: Vec<Tick>,
    /// What was not in it.
    pub missing: Vec<String>,
}

impl Remembered {
    /// Forgets the answers to requests that are not made any more.
    pub fn keep(&mut self, requests: &[Request]) {
        self.0.retain(|known| requests.contains(&known.request));
    }

    /// By what an upstream would recognise our answer to `request`.
    pub fn validators(&self, request: &Request) -> Option<&Validators> {
        self.find(request).map(|known| &known.validators)
    }

    /// What that answer held.
    pub fn held(&self, request: &Request) -> Option<&Held> {
        self.find(request).map(|known| &known.held)
    }

    /// Remembers an answer that was of use, unless the upstream gave nothing to recognise it by.
    pub fn remember(&mut self, request: &Request, validators: Validators, batch: &Batch) {
        self.0.retain(|known| known.request != *request);
        if !validators.is_empty() {
            self.0.push(Known {
                request: request.clone(),
                validators,
                held: Held { ticks: batch.ticks.clone(), missing: batch.missing.clone() },
            });
        }
    }

    fn find(&self, request: &Request) -> Option<&Known> {
        self.0.iter().find(|known| known.request == *request)
    }
}
