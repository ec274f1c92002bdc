//! Subscribing and unsubscribing: the one place where an index and a client's state change
//! together.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    client::{Client, ClientState},
    index::{Index, Now, Touched},
    ledger::Ledger,
    options::Options,
    outbox::Subscription,
    resume::{Beginning, is_at_zero},
    rows::{ResumedRow, SubscribeRow, SubscriptionRow, UnsubscribeRow},
};
use crate::{
    hub::{Head, Slot},
    market::{Pattern, State, Topic},
    protocol::{
        code::{ErrorBody, ErrorCode},
        params::Resume,
    },
};

/// How much one client may subscribe.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionLimits {
    /// Strings.
    pub topics: usize,
    /// Topics that its patterns match, each pattern counted.
    pub matched_topics: usize,
}

/// What became of a subscription in a client's table.
struct Put {
    sub: u32,
    new: bool,
    changed: bool,
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

/// What one string is to be subscribed with.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) options: &'a Options,
    pub(super) resume: Option<&'a Resume>,
    pub(super) limits: SubscriptionLimits,
}

/// One string on its way into the index and the client's state.
struct Subscribing<'a> {
    index: &'a mut Index,
    client: &'a Arc<Client>,
    key: u32,
    asked: &'a Asked,
    terms: Terms<'a>,
    now: Now,
}

/// The number of a client that the index serves: the place of one that is gone may be another's.
fn key_of(index: &Index, client: &Arc<Client>) -> Option<u32> {
    let key = *client.key.get()?;
    let known = index.clients.get(key as usize)?;
    Arc::ptr_eq(known, client).then_some(key)
}

/// Subscribes `client` to one string, or replaces the options of a subscription that it has. One
/// that the index does not serve, since it is gone, is refused.
pub(super) fn subscribe(
    index: &mut Index,
    client: &Arc<Client>,
    text: &str,
    terms: Terms<'_>,
    now: Now,
    touched: &mut Touched,
) -> SubscribeRow {
    let asked = match Asked::read(text) {
        Ok(asked) => asked,
        Err((topic, error)) => {
            return SubscribeRow { topic, error: Some(error), ..SubscribeRow::default() };
        }
    };
    let outcome = match key_of(index, client) {
        Some(key) => {
            index.settle(key, now.instant);
            let mut it = Subscribing { index, client, key, asked: &asked, terms, now };
            if asked.pattern.is_wildcard() { it.pattern(touched) } else { it.topic(touched) }
        }
        None => Err(gone()),
    };
    if outcome.is_ok() && client.touch() {
        touched.push(client.clone());
    }
    let (ok, row) = match outcome {
        Ok(row) => (true, row),
        Err(error) => (false, SubscribeRow { error: Some(error), ..SubscribeRow::default() }),
    };
    SubscribeRow { topic: asked.text, canonical: asked.canonical, ok, ..row }
}

impl Subscribing<'_> {
    fn topic(&mut self, touched: &mut Touched) -> Result<SubscribeRow, ErrorBody> {
        let slot = self.index.hub.topic(self.asked.pattern.as_str());
        let head = slot.as_ref().and_then(|slot| self.index.reach_head(slot, self.now, touched));
        let topic = self.asked.pattern.as_topic();
        let names = topic.as_ref().and_then(|topic| self.index.exact.get(topic));
        let known = names.is_some_and(|clients| clients.contains(&self.key));
        let mut state = self.client.lock();
        let put = state.put(&self.asked.pattern, known, self.terms)?;
        // At once: what ends a client that fails in between takes it back.
        if put.new {
            self.client.count_subscriptions(1);
            self.index.hub.interest().begin(&self.asked.pattern);
            if let Some(topic) = topic {
                self.index.exact.entry(topic).or_default().insert(self.key);
            }
        }
        let mut recovered = false;
        if let (Some(slot), Some(head)) = (&slot, &head) {
            recovered = self.begin(&mut state, &put, slot, head).unwrap_or(false);
        } else if let Some(resume) = self.terms.resume {
            let names = [self.asked.pattern.as_str(), &self.asked.text];
            recovered = is_at_zero(resume, names, self.index.hub.epoch());
        }
        drop(state);
        let epoch = head.as_ref().map_or(self.index.hub.epoch(), |head| &head.epoch);
        Ok(SubscribeRow {
            epoch: Some(epoch.clone()),
            seq: Some(head.as_ref().map_or(0, |head| head.seq)),
            state: Some(head.as_ref().map_or(State::Down, |head| head.status.state)),
            recovered: self.terms.resume.map(|_| recovered),
            ..SubscribeRow::default()
        })
    }

    fn pattern(&mut self, touched: &mut Touched) -> Result<SubscribeRow, ErrorBody> {
        let pattern = &self.asked.pattern;
        let slots = self.index.hub.matching(pattern);
        let matched = slots.len();
        let (known, before) = self.client.lock().matched(pattern);
        if !known && before + matched > self.terms.limits.matched_topics {
            let most = self.terms.limits.matched_topics;
            let message =
                format!("{pattern} matches {matched} topics; all patterns may match {most}");
            return Err(ErrorBody::new(ErrorCode::TooManyTopics, message));
        }
        // Every topic reaches its head first: bringing one up to date may touch this very client.
        let heads: Vec<_> = slots
            .into_iter()
            .filter_map(|slot| {
                self.index.reach_head(&slot, self.now, touched).map(|head| (slot, head))
            })
            .collect();
        let mut state = self.client.lock();
        let put = state.put(pattern, known, self.terms)?;
        if put.new {
            if let Some(sub) = state.outbox.subs.get_mut(put.sub as usize) {
                sub.matched = matched;
            }
            self.client.count_subscriptions(1);
            self.index.hub.interest().begin(pattern);
            self.index.wild.entry(self.key).or_default().push(pattern.clone());
        }
        let mut resumed = Vec::new();
        for (slot, head) in &heads {
            let Some(recovered) = self.begin(&mut state, &put, slot, head) else { continue };
            let topic = slot.topic().to_string();
            resumed.push(ResumedRow { topic, epoch: head.epoch.clone(), seq: head.seq, recovered });
        }
        let topics = self.terms.resume.map(|_| resumed);
        Ok(SubscribeRow { matched: Some(matched), topics, ..SubscribeRow::default() })
    }

    /// Begins to deliver a topic. Tells whether it goes on from where the client left off; nothing
    /// where it reaches the client under a more specific subscription.
    fn begin(
        &mut self,
        state: &mut ClientState,
        put: &Put,
        slot: &Arc<Slot>,
        head: &Head,
    ) -> Option<bool> {
        // Nothing is more specific than the name.
        let by_pattern = self.asked.pattern.is_wildcard();
        if by_pattern && state.best_for(slot.topic().as_str()) != Some(put.sub) {
            return None;
        }
        let (view, fresh) = self.index.attach(self.key, state, slot, put.sub)?;
        let beginning = Beginning { slot, head, view, fresh, changed: put.changed };
        let Terms { options, resume, .. } = self.terms;
        // A position is one of a topic: the text of a pattern names none.
        let alias = if self.asked.pattern.is_wildcard() { "" } else { &self.asked.text };
        Some(state.begin(&beginning, options, resume, alias, self.now.instant))
    }
}

/// Ends the subscription of one string. One that the client does not have is no error.
pub(super) fn unsubscribe(
    index: &mut Index,
    client: &Arc<Client>,
    text: &str,
    now: Now,
) -> UnsubscribeRow {
    let asked = match Asked::read(text) {
        Ok(asked) => asked,
        Err((topic, error)) => {
            return UnsubscribeRow { topic, canonical: None, ok: false, error: Some(error) };
        }
    };
    let row =
        UnsubscribeRow { topic: asked.text, canonical: asked.canonical, ok: true, error: None };
    let Some(key) = key_of(index, client) else {
        return row;
    };
    index.settle(key, now.instant);
    let mut state = client.lock();
    if let Some(sub) = state.find(&asked.pattern) {
        state.outbox.cancel(sub);
        state.outbox.subs.try_remove(sub as usize);
        forget(index, key, &asked.pattern);
        client.count_subscriptions(-1);
        hand_over(index, key, &mut state, sub);
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
    match pattern.as_topic() {
        Some(topic) => {
            if let Some(waiting) = index.exact.get_mut(&topic) {
                waiting.remove(&key);
                if waiting.is_empty() {
                    index.exact.remove(&topic);
                }
            }
        }
        None => {
            if let Some(patterns) = index.wild.get_mut(&key) {
                patterns.retain(|known| known != pattern);
                if patterns.is_empty() {
                    index.wild.remove(&key);
                }
            }
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
    /// waits for it stay. `known` says whether there is one: to look for it takes a walk over all.
    fn put(&mut self, pattern: &Pattern, known: bool, terms: Terms<'_>) -> Result<Put, ErrorBody> {
        if let Some(sub) = known.then(|| self.find(pattern)).flatten() {
            let changed = self.outbox.replace_options(sub, terms.options);
            return Ok(Put { sub, new: false, changed });
        }
        let most = terms.limits.topics;
        if self.outbox.subs.len() >= most {
            let message = format!("a session may have {most} subscriptions");
            return Err(ErrorBody::new(ErrorCode::TooManyTopics, message));
        }
        let sub = Subscription {
            pattern: pattern.clone(),
            options: terms.options.clone(),
            matched: 0,
            ledger: Ledger::default(),
            failure_told: false,
        };
        let sub = u32::try_from(self.outbox.subs.insert(sub)).map_err(|_| beyond_count())?;
        Ok(Put { sub, new: true, changed: true })
    }

    /// Every subscription with its account, by name.
    pub(super) fn subscriptions(&mut self) -> Vec<SubscriptionRow> {
        self.outbox.post();
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
    ErrorBody::new(ErrorCode::StaleConnection, "this session has ended")
}

fn beyond_count() -> ErrorBody {
    ErrorBody::new(ErrorCode::Internal, "more subscriptions than can be counted")
}
