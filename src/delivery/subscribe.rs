//! Subscribing and unsubscribing: the one place where an index and a client's state change
//! together.

use std::sync::Arc;

use super::{
    client::{Client, ClientState},
    index::{Index, Now, Touched},
    options::Options,
    outbox::Subscription,
    rows::{SubscribeRow, SubscriptionRow, UnsubscribeRow},
};
use crate::{
    hub::Head,
    market::{Pattern, State, Topic},
    protocol::code::{ErrorBody, ErrorCode},
};

/// How much one client may subscribe.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionLimits {
    /// Strings.
    pub topics: usize,
    /// Topics that its patterns match, each pattern counted.
    pub matched_topics: usize,
}

/// A string that a client asked, and the pattern that it means.
struct Asked {
    text: String,
    canonical: Option<String>,
    pattern: Pattern,
}

impl Asked {
    fn read(text: &str) -> Result<Self, (String, ErrorBody)> {
        let canonical = Topic::canonical_text(text);
        match Pattern::parse(canonical.as_deref().unwrap_or(text)) {
            Ok(pattern) => Ok(Self { text: text.to_owned(), canonical, pattern }),
            // What is asked may be anything: no more of it is echoed than a topic could have.
            Err(error) => Err((
                text.chars().take(Topic::MAX_BYTES).collect(),
                ErrorBody::new(ErrorCode::BadTopic, error.to_string()),
            )),
        }
    }
}

/// Subscribes `client` to one string, or replaces the options of a subscription that it has.
pub(super) fn subscribe(
    index: &mut Index,
    client: &Arc<Client>,
    text: &str,
    options: &Options,
    limits: SubscriptionLimits,
    now: Now,
    touched: &mut Touched,
) -> SubscribeRow {
    let asked = match Asked::read(text) {
        Ok(asked) => asked,
        Err((topic, error)) => {
            return SubscribeRow { topic, error: Some(error), ..SubscribeRow::default() };
        }
    };
    let row = SubscribeRow {
        topic: asked.text.clone(),
        canonical: asked.canonical.clone(),
        ok: true,
        ..SubscribeRow::default()
    };
    let outcome = if asked.pattern.is_wildcard() {
        subscribe_pattern(index, client, &asked.pattern, options, limits, now, touched)
            .map(|matched| SubscribeRow { matched: Some(matched), ..row.clone() })
    } else {
        subscribe_topic(index, client, &asked.pattern, options, limits, now, touched).map(|head| {
            SubscribeRow {
                epoch: Some(head.as_ref().map_or(index.hub.epoch(), |head| &head.epoch).clone()),
                seq: Some(head.as_ref().map_or(0, |head| head.seq)),
                state: Some(head.as_ref().map_or(State::Down, |head| head.status.state)),
                ..row.clone()
            }
        })
    };
    outcome.unwrap_or_else(|error| SubscribeRow { ok: false, error: Some(error), ..row })
}

fn subscribe_topic(
    index: &mut Index,
    client: &Arc<Client>,
    pattern: &Pattern,
    options: &Options,
    limits: SubscriptionLimits,
    now: Now,
    touched: &mut Touched,
) -> Result<Option<Head>, ErrorBody> {
    let Some(&key) = client.key.get() else {
        return Err(gone());
    };
    let slot = index.hub.topic(pattern.as_str());
    let head = slot.as_ref().and_then(|slot| index.reach_head(slot, now, touched));
    let mut state = client.lock();
    let (sub, new) = state.put(pattern, options, limits)?;
    if let (Some(slot), Some(head)) = (slot, &head)
        && let Some(view) = index.attach(key, &mut state, &slot, sub)
    {
        state.begin(view, head, options);
    }
    drop(state);
    if new {
        client.count_subscriptions(1);
        if let Some(topic) = pattern.as_topic() {
            index.exact.entry(topic).or_default().push(key);
        }
    }
    if client.touch() {
        touched.push(client.clone());
    }
    Ok(head)
}

fn subscribe_pattern(
    index: &mut Index,
    client: &Arc<Client>,
    pattern: &Pattern,
    options: &Options,
    limits: SubscriptionLimits,
    now: Now,
    touched: &mut Touched,
) -> Result<usize, ErrorBody> {
    let Some(&key) = client.key.get() else {
        return Err(gone());
    };
    let slots = index.hub.matching(pattern);
    let matched = slots.len();
    let (known, before) = client.lock().matched(pattern);
    if !known && before + matched > limits.matched_topics {
        let most = limits.matched_topics;
        let message = format!("{pattern} matches {matched} topics; all patterns may match {most}");
        return Err(ErrorBody::new(ErrorCode::TooManyTopics, message));
    }
    // Every topic reaches its head first: bringing one up to date may touch this very client.
    let heads: Vec<_> = slots
        .into_iter()
        .filter_map(|slot| index.reach_head(&slot, now, touched).map(|head| (slot, head)))
        .collect();
    let mut state = client.lock();
    let (sub, new) = state.put(pattern, options, limits)?;
    for (slot, head) in &heads {
        if state.best_for(slot.topic().as_str()) == Some(sub)
            && let Some(view) = index.attach(key, &mut state, slot, sub)
        {
            state.begin(view, head, options);
        }
    }
    if new {
        if let Some(sub) = state.outbox.subs.get_mut(sub as usize) {
            sub.matched = matched;
        }
        client.count_subscriptions(1);
        index.wild.push((key, pattern.clone()));
    }
    drop(state);
    if client.touch() {
        touched.push(client.clone());
    }
    Ok(matched)
}

/// Ends the subscription of one string. One that the client does not have is no error.
pub(super) fn unsubscribe(index: &mut Index, client: &Arc<Client>, text: &str) -> UnsubscribeRow {
    let asked = match Asked::read(text) {
        Ok(asked) => asked,
        Err((topic, error)) => {
            return UnsubscribeRow { topic, canonical: None, ok: false, error: Some(error) };
        }
    };
    let row =
        UnsubscribeRow { topic: asked.text, canonical: asked.canonical, ok: true, error: None };
    let Some(&key) = client.key.get() else {
        return row;
    };
    let mut state = client.lock();
    if let Some(sub) = state.find(&asked.pattern) {
        state.outbox.cancel(sub);
        state.outbox.subs.try_remove(sub as usize);
        hand_over(index, key, &mut state, sub);
        forget(index, key, &asked.pattern);
        client.count_subscriptions(-1);
    }
    row
}

/// Gives the topics of a subscription that has ended to the next match, or lets go of them.
fn hand_over(index: &mut Index, key: u32, state: &mut ClientState, ended: u32) {
    let views: Vec<_> = state
        .outbox
        .views
        .iter()
        .filter(|(_, view)| view.sub == ended)
        .map(|(_, view)| view.slot.clone())
        .collect();
    for slot in views {
        match state.best_for(slot.topic().as_str()) {
            Some(next) => drop(index.attach(key, state, &slot, next)),
            None => index.detach(key, state, slot.id()),
        }
    }
}

/// Takes a string out of what waits for births.
fn forget(index: &mut Index, key: u32, pattern: &Pattern) {
    match pattern.as_topic() {
        Some(topic) => {
            if let Some(waiting) = index.exact.get_mut(&topic) {
                waiting.retain(|client| *client != key);
                if waiting.is_empty() {
                    index.exact.remove(&topic);
                }
            }
        }
        None => index.wild.retain(|(client, known)| (*client, known) != (key, pattern)),
    }
}

/// Takes a client out of the index. What waits for it is lost.
pub(super) fn detach(index: &mut Index, client: &Arc<Client>, now: Now) {
    let Some(&key) = client.key.get() else { return };
    let known = index.clients.get(key as usize);
    if !known.is_some_and(|known| Arc::ptr_eq(known, client)) {
        return;
    }
    client.discard(now.instant);
    let mut state = client.lock();
    let topics: Vec<_> = state.by_topic.keys().copied().collect();
    for topic in topics {
        index.detach(key, &mut state, topic);
    }
    let patterns: Vec<_> =
        state.outbox.subs.drain().map(|subscription| subscription.pattern).collect();
    for pattern in &patterns {
        forget(index, key, pattern);
    }
    client.count_subscriptions(-i32::try_from(patterns.len()).unwrap_or(i32::MAX));
    drop(state);
    index.clients.try_remove(key as usize);
}

impl ClientState {
    fn find(&self, pattern: &Pattern) -> Option<u32> {
        let mut subs = self.outbox.subs.iter();
        let found = subs.find(|(_, sub)| sub.pattern == *pattern);
        found.and_then(|(key, _)| u32::try_from(key).ok())
    }

    /// Whether the pattern is subscribed, and how many topics all patterns matched when they were.
    fn matched(&self, pattern: &Pattern) -> (bool, usize) {
        let matched = self.outbox.subs.iter().map(|(_, sub)| sub.matched).sum();
        (self.find(pattern).is_some(), matched)
    }

    /// Adds a subscription, or replaces the options of one that there is. Its ledger and what
    /// waits for it stay.
    fn put(
        &mut self,
        pattern: &Pattern,
        options: &Options,
        limits: SubscriptionLimits,
    ) -> Result<(u32, bool), ErrorBody> {
        if let Some(known) = self.find(pattern) {
            if let Some(sub) = self.outbox.subs.get_mut(known as usize) {
                sub.options = options.clone();
            }
            return Ok((known, false));
        }
        if self.outbox.subs.len() >= limits.topics {
            let message = format!("a session may have {} subscriptions", limits.topics);
            return Err(ErrorBody::new(ErrorCode::TooManyTopics, message));
        }
        let (pattern, options) = (pattern.clone(), options.clone());
        let sub = Subscription { pattern, options, matched: 0, ledger: Default::default() };
        u32::try_from(self.outbox.subs.insert(sub)).map(|key| (key, true)).map_err(|_| gone())
    }

    /// Delivery of a topic begins at `head`.
    fn begin(&mut self, view: u32, head: &Head, options: &Options) {
        if let Some(last) = head.last.as_ref().filter(|_| options.snapshot) {
            self.outbox.push_snapshot(view, last.clone());
        }
    }

    /// Every subscription with its account, by name.
    pub(super) fn subscriptions(&self) -> Vec<SubscriptionRow> {
        let mut rows: Vec<_> = self
            .outbox
            .subs
            .iter()
            .map(|(_, sub)| SubscriptionRow {
                topic: sub.pattern.as_str().to_owned(),
                options: sub.options.view(),
                ledger: sub.ledger,
            })
            .collect();
        rows.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
        rows
    }
}

fn gone() -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, "this session is not registered")
}
