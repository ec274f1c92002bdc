//! One update on its way to many subscribers: what is worked out for it is worked out once.

use std::{
    cell::{OnceCell, RefCell},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    filter::{Filter, Memo, Verdict},
    projection::{self, Projection},
    view::Letter,
};
use crate::{
    hub::Issued,
    market::Update,
    protocol::{encoding::Format, event},
};

/// An update, with what its subscribers have in common: verdicts of filters, numbers of fields, and
/// letters of every variant that somebody asked for.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) issued: Arc<Issued>,
    verdicts: RefCell<Memo>,
    numbers: RefCell<Vec<(String, Option<f64>)>>,
    /// Of the frame that every update has from the hub.
    plain: OnceCell<Arc<Letter>>,
    variants: RefCell<Vec<(VariantKey, Arc<Letter>)>>,
}

/// What distinguishes variants: the format and the number of the projection.
type VariantKey = (Format, Option<u64>);

/// How one subscription wants its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant<'a> {
    pub(super) format: Format,
    pub(super) projection: Option<&'a Projection>,
}

impl Offer {
    pub(super) fn new(issued: Arc<Issued>) -> Self {
        Self {
            issued,
            verdicts: RefCell::default(),
            numbers: RefCell::default(),
            plain: OnceCell::new(),
            variants: RefCell::default(),
        }
    }

    /// What `filter` makes of it.
    pub(super) fn verdict(&self, filter: &Filter) -> Verdict {
        self.verdicts.borrow_mut().verdict(filter, &self.issued.update)
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

    /// Its letter in a variant.
    pub(super) fn letter(&self, variant: Variant<'_>) -> Arc<Letter> {
        let letter = |frame| Arc::new(Letter::new(&self.issued.update, frame));
        if variant.is_plain(&self.issued) {
            return self.plain.get_or_init(|| letter(self.issued.frame().clone())).clone();
        }
        let key = (variant.format, variant.projection.map(|projection| projection.id));
        let mut variants = self.variants.borrow_mut();
        let known = variants.iter().find(|(known, _)| *known == key);
        if let Some((_, letter)) = known {
            return letter.clone();
        }
        let letter = letter(variant.frame(&self.issued.update, event::update));
        variants.push((key, letter.clone()));
        letter
    }
}

impl Variant<'static> {
    /// The whole update.
    pub(super) fn bare(format: Format) -> Self {
        Self { format, projection: None }
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
