//! One update on its way to many subscribers: what is worked out for it is worked out once.

use std::{cell::RefCell, sync::Arc};

use bytes::Bytes;

use super::{
    filter::{Filter, Memo, Verdict},
    projection::{self, Projection},
};
use crate::{
    hub::Issued,
    market::Update,
    protocol::{encoding::Format, event},
};

/// An update, with what its subscribers have in common: verdicts of filters, numbers of fields, and
/// frames of every variant that somebody asked for.
pub(super) struct Offer<'u> {
    pub(super) issued: &'u Arc<Issued>,
    verdicts: RefCell<Memo<'u>>,
    numbers: RefCell<Vec<(String, Option<f64>)>>,
    frames: RefCell<Vec<(Format, Option<u64>, Bytes)>>,
}

/// How one subscription wants its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant<'a> {
    pub(super) format: Format,
    pub(super) projection: Option<&'a Projection>,
}

impl<'u> Offer<'u> {
    pub(super) fn new(issued: &'u Arc<Issued>) -> Self {
        Self {
            issued,
            verdicts: RefCell::new(Memo::new(&issued.update)),
            numbers: RefCell::default(),
            frames: RefCell::default(),
        }
    }

    /// What `filter` makes of it.
    pub(super) fn verdict(&self, filter: &Filter) -> Verdict {
        self.verdicts.borrow_mut().verdict(filter)
    }

    /// The number in a field of its `data`.
    pub(super) fn number(&self, field: &str) -> Option<f64> {
        let mut numbers = self.numbers.borrow_mut();
        if let Some((_, number)) = numbers.iter().find(|(known, _)| known == field) {
            return *number;
        }
        let number = projection::number(&self.issued.update.data, field);
        numbers.push((field.to_owned(), number));
        number
    }

    /// Its frame in a variant; nothing when that is the one that every update has from the hub.
    pub(super) fn frame(&self, variant: Variant<'_>) -> Option<Bytes> {
        if variant.is_plain(self.issued) {
            return None;
        }
        let key = (variant.format, variant.projection.map(|projection| projection.id));
        let mut frames = self.frames.borrow_mut();
        let known = frames.iter().find(|(format, id, _)| (*format, *id) == key);
        if let Some((_, _, frame)) = known {
            return Some(frame.clone());
        }
        let frame = variant.frame(&self.issued.update, event::update);
        frames.push((key.0, key.1, frame.clone()));
        Some(frame)
    }
}

impl Variant<'_> {
    /// Whether an update is sent in the frame that it has from the hub.
    fn is_plain(&self, issued: &Issued) -> bool {
        self.projection.is_none() && self.format.is_plain(|| issued.json().len())
    }

    /// A message about `update`, which `write` writes as JSON.
    pub(super) fn frame(
        &self,
        update: &Update,
        write: impl FnOnce(&mut Vec<u8>, &Update),
    ) -> Bytes {
        let Some(projection) = self.projection else {
            return self.format.frame(|out| write(out, update));
        };
        let update = Update { data: projection.apply(&update.data), ..update.clone() };
        self.format.frame(|out| write(out, &update))
    }
}
