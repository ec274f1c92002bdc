//! A client's subscriptions by name. Pure.
//!
//! Their numbers in the order of their strings: to find one by its string, or the best for a topic,
//! takes no walk over all of them, and a client with one subscription pays four bytes for it.

#[cfg(not(test))]
use slab::Slab;

#[cfg(test)]
use super::tests::visits::Slab;
use super::{client::ClientState, outbox::Subscription};
use crate::{hub::Slot, market::Pattern};

/// The numbers of subscriptions, ordered by their strings.
#[derive(Debug, Default)]
pub(super) struct Register {
    numbers: Vec<u32>,
    matched: usize,
}

/// The register beside what its numbers stand for.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    numbers: &'a [u32],
    subs: &'a Slab<Subscription>,
}

impl ClientState {
    pub(super) fn names(&self) -> Names<'_> {
        Names { numbers: &self.register.numbers, subs: &self.outbox.subs }
    }

    /// How many topics all patterns matched when they were subscribed.
    pub(super) fn matched(&self) -> usize {
        self.register.matched
    }

    /// Adds a subscription that there is none of the same string of. Returns its number.
    pub(super) fn insert(&mut self, sub: Subscription) -> Option<u32> {
        let number = u32::try_from(self.outbox.subs.vacant_key()).ok()?;
        let place = self.names().place(sub.pattern.as_str()).err()?;
        let Register { numbers, matched } = &mut self.register;
        if numbers.is_empty() {
            // Most clients have one, and room for one is all that these need.
            numbers.reserve_exact(1);
        }
        numbers.insert(place, number);
        *matched += sub.matched;
        self.outbox.subs.insert(sub);
        Some(number)
    }

    /// Takes a subscription out. Nothing may wait for it any more.
    pub(super) fn remove(&mut self, number: u32) -> Option<Subscription> {
        let sub = self.outbox.subs.get(number as usize)?;
        if let Ok(place) = self.names().place(sub.pattern.as_str()) {
            self.register.numbers.remove(place);
        }
        let sub = self.outbox.subs.try_remove(number as usize)?;
        self.register.matched -= sub.matched;
        Some(sub)
    }

    /// Takes all out. Returns their strings.
    pub(super) fn remove_all(&mut self) -> Vec<Pattern> {
        self.register = Register::default();
        self.outbox.subs.drain().map(|sub| sub.pattern).collect()
    }

    /// How a topic reaches the client.
    pub(super) fn view_of(&self, slot: &Slot) -> Option<u32> {
        self.by_topic.get(&slot.id()).map(|reach| reach.view)
    }
}

impl Names<'_> {
    /// The subscription of exactly this string.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        self.place(text).ok().and_then(|place| self.numbers.get(place)).copied()
    }

    /// The most specific of the subscriptions that match `topic`.
    pub(super) fn best_for(&self, topic: &str) -> Option<u32> {
        Pattern::search(topic, &|start| self.leads(start), &mut |text| self.find(text))
    }

    /// Whether any begins with `start`.
    fn leads(&self, start: &str) -> bool {
        let place = self.place(start).unwrap_or_else(|place| place);
        let next = self.numbers.get(place);
        next.is_some_and(|number| self.text(*number).starts_with(start))
    }

    /// Where it is, or would be.
    fn place(&self, text: &str) -> Result<usize, usize> {
        self.numbers.binary_search_by(|number| self.text(*number).cmp(text))
    }

    fn text(&self, number: u32) -> &str {
        self.subs.get(number as usize).map_or("", |sub| sub.pattern.as_str())
    }
}
