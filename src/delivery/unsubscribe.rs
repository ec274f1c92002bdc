//! Ending subscriptions, and the client that had them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    client::{Client, ClientState},
    index::{Index, Now},
    rows::UnsubscribeRow,
    subscribe::{Asked, key_of},
};
use crate::{hub::Slot, market::Pattern};

/// Ends the subscriptions of these strings. One that the client does not have is no error.
///
/// All at once: what waits for the client and the topics that reach it are gone through once, and
/// not for each of them.
pub(super) fn unsubscribe(
    index: &mut Index,
    client: &Arc<Client>,
    texts: &[String],
    now: Now,
) -> Vec<UnsubscribeRow> {
    let mut patterns = Vec::with_capacity(texts.len());
    let rows = texts.iter().map(|text| match Asked::read(text) {
        Ok(Asked { text: topic, canonical, pattern }) => {
            patterns.push(pattern);
            UnsubscribeRow { topic, canonical, ok: true, error: None }
        }
        Err((topic, error)) => {
            UnsubscribeRow { topic, canonical: None, ok: false, error: Some(error) }
        }
    });
    let rows = rows.collect();
    if let Some(key) = key_of(index, client) {
        index.settle(key, now.instant);
        end(index, key, client, &patterns);
    }
    rows
}

fn end(index: &mut Index, key: u32, client: &Client, patterns: &[Pattern]) {
    let mut state = client.lock();
    let mut ended: Vec<_> =
        patterns.iter().filter_map(|pattern| state.names().find(pattern.as_str())).collect();
    // In order, for whoever looks whether one is among them.
    ended.sort_unstable();
    ended.dedup();
    let views = state.views_of(index, &ended);
    state.outbox.cancel(&ended, &views);
    for sub in &ended {
        if let Some(sub) = state.remove(*sub) {
            forget(index, key, &sub.pattern);
            client.count_subscriptions(-1);
        }
    }
    hand_over(index, key, &mut state, &ended, &views);
}

/// Gives the topics of subscriptions that have ended to the next match, or lets go of them.
fn hand_over(index: &mut Index, key: u32, state: &mut ClientState, ended: &[u32], views: &[u32]) {
    let (mut left, mut untold) = (Vec::new(), Vec::new());
    for view in views {
        let Some(topic) = state.outbox.views.get(*view as usize) else { continue };
        if ended.binary_search(&topic.sub).is_err() {
            continue;
        }
        let next = state.names().best_for(topic.slot.topic().as_str());
        let next = next.and_then(|next| Some((next, state.outbox.subs.get(next as usize)?)));
        if !next.is_some_and(|(_, sub)| sub.options.status) {
            untold.push(*view);
        }
        left.push((topic.slot.clone(), next.map(|(next, _)| next)));
    }
    state.outbox.drop_statuses(&untold);
    for (slot, next) in left {
        match next {
            Some(next) => take_over(index, key, state, &slot, next),
            None => index.detach(key, state, slot.id()),
        }
    }
}

/// The next match gets the topic, as if it had subscribed at its last update.
fn take_over(index: &mut Index, key: u32, state: &mut ClientState, slot: &Arc<Slot>, next: u32) {
    let options = state.outbox.subs.get(next as usize).map(|sub| sub.options.clone());
    let attached = index.attach(key, state, slot, next);
    if let (Some((view, _)), Some(options)) = (attached, options) {
        state.remember(view, &options, index.last_offered(slot).as_ref());
    }
}

/// Takes a string out of what is wanted and of what waits for births.
fn forget(index: &mut Index, key: u32, pattern: &Pattern) {
    index.hub.interest().end(pattern);
    if let Some(topic) = pattern.as_topic() {
        if let Some(waiting) = index.exact.get_mut(&topic) {
            waiting.remove(&key);
            if waiting.is_empty() {
                index.exact.remove(&topic);
            }
        }
    } else if let Some(waiting) = index.wild.get_mut(pattern) {
        waiting.remove(&key);
        if waiting.is_empty() {
            index.wild.remove(pattern);
        }
    }
}

/// Takes a client out of the index. What waits for it is lost.
pub(super) fn detach(index: &mut Index, client: &Arc<Client>, now: Now) {
    let Some(key) = key_of(index, client) else { return };
    index.settle(key, now.instant);
    // What made its state faulty must not keep it here; and this may run while a panic unwinds.
    if catch_unwind(AssertUnwindSafe(|| client.discard(now.instant))).is_err() {
        client.fail();
    }
    let mut state = client.lock();
    let topics: Vec<_> = state.by_topic.keys().copied().collect();
    for topic in topics {
        index.detach(key, &mut state, topic);
    }
    let patterns = state.remove_all();
    for pattern in &patterns {
        forget(index, key, pattern);
    }
    client.count_subscriptions(-i32::try_from(patterns.len()).unwrap_or(i32::MAX));
    drop(state);
    index.clients.try_remove(key as usize);
}

impl ClientState {
    /// The views that these subscriptions can have something in, in order.
    fn views_of(&self, index: &Index, subs: &[u32]) -> Vec<u32> {
        let mut views = Vec::new();
        for sub in subs {
            let Some(sub) = self.outbox.subs.get(*sub as usize) else { continue };
            if sub.pattern.is_wildcard() {
                let all = self.outbox.views.iter().filter_map(|(view, _)| u32::try_from(view).ok());
                return all.collect();
            }
            // The name of a topic stands for that one alone.
            let slot = index.hub.topic(sub.pattern.as_str());
            views.extend(slot.and_then(|slot| self.view_of(&slot)));
        }
        views.sort_unstable();
        views
    }
}
