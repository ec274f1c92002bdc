//! What earlier answers held, so that "unchanged" (304) can confirm it. Pure.

use super::{fetch::Validators, providers::Request};
use crate::market::Tick;

/// One answer for each of a feed's requests, as long as it keeps making them.
#[derive(Debug, Default)]
pub struct Remembered(Vec<Known>);

#[derive(Debug)]
struct Known {
    request: Request,
    validators: Validators,
    ticks: Vec<Tick>,
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
    pub fn ticks(&self, request: &Request) -> Option<&[Tick]> {
        self.find(request).map(|known| known.ticks.as_slice())
    }

    /// Remembers an answer that was of use, unless the upstream gave nothing to recognise it by.
    pub fn remember(&mut self, request: &Request, validators: Validators, ticks: &[Tick]) {
        self.0.retain(|known| known.request != *request);
        if !validators.is_empty() {
            self.0.push(Known {
                request: request.clone(),
                validators,
                ticks: ticks.to_vec(),
            });
        }
    }

    fn find(&self, request: &Request) -> Option<&Known> {
        self.0.iter().find(|known| known.request == *request)
    }
}
