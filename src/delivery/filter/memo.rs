//! One update as filters see it, read and judged once however many subscribers share it.

use std::{cell::OnceCell, collections::HashMap};

use foldhash::fast::RandomState;

use super::{Filter, Verdict, fields::Fields};
use crate::market::Update;

/// What an expression may ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'u> {
    pub(super) update: &'u Update,
    fields: &'u OnceCell<Fields>,
}

/// The verdicts on one update. Costs nothing until the first filter asks: make one for each update
/// that goes to subscribers, and ask it for every subscriber that has a filter.
#[derive(Debug, Default)]
pub struct Memo {
    fields: OnceCell<Fields>,
    /// By the number of the filter, which nobody outside can choose.
    known: HashMap<u64, Verdict, RandomState>,
}

impl<'u> Scope<'u> {
    pub(super) fn new(update: &'u Update, fields: &'u OnceCell<Fields>) -> Self {
        Self { update, fields }
    }

    /// The fields of `data`, read when first asked for.
    pub(super) fn fields(&self) -> &'u Fields {
        self.fields.get_or_init(|| Fields::read(&self.update.data))
    }
}

impl Memo {
    /// What `filter` makes of the update, evaluated at the first call for it. The update must be the
    /// same at every call, and filters must come from one and the same [`super::Filters`], which
    /// numbers them.
    pub fn verdict(&mut self, filter: &Filter, update: &Update) -> Verdict {
        let scope = Scope::new(update, &self.fields);
        *self.known.entry(filter.id).or_insert_with(|| filter.judge(&scope))
    }
}
