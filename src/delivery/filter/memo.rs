//! One update as filters see it, read and judged once however many subscribers share it.

use std::{cell::OnceCell, collections::HashMap};

use super::{Filter, Verdict, fields::Fields};
use crate::market::Update;

/// What an expression may ask for.
#[derive(Debug)]
pub(super) struct Scope<'u> {
    pub(super) update: &'u Update,
    fields: OnceCell<Fields<'u>>,
}

/// The verdicts on one update. Costs nothing until the first filter asks: make one for each update
/// that goes to subscribers, and ask it for every subscriber that has a filter.
#[derive(Debug)]
pub struct Memo<'u> {
    scope: Scope<'u>,
    known: HashMap<u64, Verdict>,
}

impl<'u> Scope<'u> {
    pub(super) fn new(update: &'u Update) -> Self {
        Self { update, fields: OnceCell::new() }
    }

    /// The fields of `data`, read when first asked for.
    pub(super) fn fields(&self) -> &Fields<'u> {
        self.fields.get_or_init(|| Fields::read(&self.update.data))
    }
}

impl<'u> Memo<'u> {
    /// Nothing known yet of `update`.
    pub fn new(update: &'u Update) -> Self {
        Self { scope: Scope::new(update), known: HashMap::new() }
    }

    /// What `filter` makes of the update, evaluated at the first call for it. Filters must come from
    /// one and the same [`super::Filters`], which numbers them.
    pub fn verdict(&mut self, filter: &Filter) -> Verdict {
        let scope = &self.scope;
        *self.known.entry(filter.id).or_insert_with(|| filter.judge(scope))
    }
}
