//! Subscribing: here, and where subscriptions end, an index and a client's state change together.

mod pattern;

use std::sync::Arc;

use super::{
    client::{Client, ClientState},
    index::{Index, Now, Touched},
    ledger::Ledger,
    options::Options,
    outbox::Subscription,
    resume::{Beginning, is_at_zero},
    rows::{SubscribeRow, SubscriptionRow},
};
use crate::{
    hub::{Head, Slot},
    market::{Pattern, State, Topic},
    protocol::{
        code::{ErrorBody, ErrorCode},
        params::Resume,
    },
};

pub(super) use pattern::{Begun, go_on};

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
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) text: String,
    pub(super) canonical: Option<String>,
    pub(super) pattern: Pattern,
}

impl Asked {
    pub(super) fn read(text: &str) -> Result<Self, (String, ErrorBody)> {
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
    /// Topics of a pattern that begin before others get their turn.
    pub(super) matches_per_turn: usize,
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
pub(super) fn key_of(index: &Index, client: &Arc<Client>) -> Option<u32> {
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
) -> Begun {
    let asked = match Asked::read(text) {
        Ok(asked) => asked,
        Err((topic, error)) => {
            let row = SubscribeRow { topic, error: Some(error), ..SubscribeRow::default() };
            return Begun::Whole(row);
        }
    };
    let outcome = match key_of(index, client) {
        Some(key) => {
            index.settle(key, now.instant);
            let mut it = Subscribing { index, client, key, asked: &asked, terms, now };
            if asked.pattern.is_wildcard() {
                it.pattern(touched)
            } else {
                it.topic(touched).map(|row| (row, None))
            }
        }
        None => Err(gone()),
    };
    if outcome.is_ok() && client.touch() {
        touched.push(client.clone());
    }
    let (ok, (row, rest)) = match outcome {
        Ok(begun) => (true, begun),
        Err(error) => (false, (SubscribeRow { error: Some(error), ..Default::default() }, None)),
    };
    let row = SubscribeRow { topic: asked.text, canonical: asked.canonical, ok, ..row };
    match rest {
        None => Begun::Whole(row),
        Some(rest) => go_on(index, client, Begun::Partly(row, rest), terms, now, touched),
    }
}

impl Subscribing<'_> {
    fn topic(&mut self, touched: &mut Touched) -> Result<SubscribeRow, ErrorBody> {
        let slot = self.index.hub.topic(self.asked.pattern.as_str());
        let head = slot.as_ref().and_then(|slot| self.index.reach_head(slot, self.now, touched));
        let mut state = self.client.lock();
        let put = state.put(&self.asked.pattern, 0, slot.iter(), self.terms)?;
        // At once: what ends a client that fails in between takes it back.
        if put.new {
            self.client.count_subscriptions(1);
            self.index.hub.interest().begin(&self.asked.pattern);
            if let Some(topic) = self.asked.pattern.as_topic() {
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
        if by_pattern && state.prefers_other(slot, &self.asked.pattern) {
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

impl ClientState {
    /// Adds a subscription, or replaces the options of one that there is, which may have something
    /// in the views of `slots`. Its ledger and what waits for it stay.
    fn put<'a>(
        &mut self,
        pattern: &Pattern,
        matched: usize,
        slots: impl Iterator<Item = &'a Arc<Slot>>,
        terms: Terms<'_>,
    ) -> Result<Put, ErrorBody> {
        if let Some(sub) = self.names().find(pattern.as_str()) {
            let views: Vec<_> = slots.filter_map(|slot| self.view_of(slot)).collect();
            let changed = self.outbox.replace_options(sub, terms.options, &views);
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
            matched,
            ledger: Ledger::default(),
            failure_told: false,
        };
        let sub = self.insert(sub).ok_or_else(beyond_count)?;
        Ok(Put { sub, new: true, changed: true })
    }

    /// Whether the topic reaches the client under a more specific subscription than `pattern`. What
    /// matches it and was subscribed before has it already.
    fn prefers_other(&self, slot: &Slot, pattern: &Pattern) -> bool {
        let view = self.view_of(slot).and_then(|view| self.outbox.views.get(view as usize));
        let owner = view.and_then(|view| self.outbox.subs.get(view.sub as usize));
        owner.is_some_and(|owner| owner.pattern.cmp_specificity(pattern).is_gt())
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
