//! Subscribing: here, and where subscriptions end, an index and a client's state change together.

use std::{sync::Arc, vec};

use super::{
    client::{Client, ClientState},
    index::{Index, Now, Touched},
    ledger::Ledger,
    options::Options,
    outbox::Subscription,
    resume::{Beginning, is_at_zero},
    rows::{ResumedRow, SubscribeRow, SubscriptionRow},
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
    pub(super) topics_per_turn: usize,
}

/// A string whose subscription has begun, if it was not refused: see [`go_on`].
pub(super) struct Begun {
    row: SubscribeRow,
    rest: Option<Rest>,
}

/// Topics of a pattern that have yet to begin. Those that are born in the meantime are none of them:
/// they reach the client as they do any that has subscribed before.
struct Rest {
    asked: Asked,
    put: Put,
    slots: vec::IntoIter<Arc<Slot>>,
}

impl Begun {
    /// What became of it, once all of its topics have begun.
    pub(super) fn done(self) -> Result<SubscribeRow, Self> {
        if self.rest.is_none() { Ok(self.row) } else { Err(self) }
    }
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
            return Begun { row, rest: None };
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
    let (topic, canonical) = (asked.text.clone(), asked.canonical.clone());
    let row = SubscribeRow { topic, canonical, ok, ..row };
    let rest = rest.map(|(put, slots)| Rest { asked, put, slots });
    let begun = Begun { row, rest };
    go_on(index, client, begun, terms, now, touched)
}

/// Begins the next topics of a pattern. Others may have been served since the last, and topics have
/// been born; the client itself must have asked for nothing else.
pub(super) fn go_on(
    index: &mut Index,
    client: &Arc<Client>,
    mut begun: Begun,
    terms: Terms<'_>,
    now: Now,
    touched: &mut Touched,
) -> Begun {
    let Some(mut rest) = begun.rest.take() else { return begun };
    let Some(key) = key_of(index, client) else {
        let Asked { text: topic, canonical, .. } = rest.asked;
        let error = Some(gone());
        let row = SubscribeRow { topic, canonical, error, ..SubscribeRow::default() };
        return Begun { row, rest: None };
    };
    let slots: Vec<_> = rest.slots.by_ref().take(terms.topics_per_turn).collect();
    let mut it = Subscribing { index, client, key, asked: &rest.asked, terms, now };
    let heads = it.reach_heads(slots, touched);
    let resumed = it.begin_those(&mut client.lock(), &rest.put, &heads);
    if let Some(topics) = &mut begun.row.topics {
        topics.extend(resumed);
    }
    if client.touch() {
        touched.push(client.clone());
    }
    let rest = (rest.slots.len() > 0).then_some(rest);
    Begun { rest, ..begun }
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

    /// Subscribes to a pattern, all of whose topics have yet to begin where it is new.
    fn pattern(
        &mut self,
        touched: &mut Touched,
    ) -> Result<(SubscribeRow, Option<(Put, vec::IntoIter<Arc<Slot>>)>), ErrorBody> {
        let pattern = &self.asked.pattern;
        let slots = self.index.hub.matching(pattern);
        let matched = slots.len();
        let (known, before) = {
            let state = self.client.look();
            (state.names().find(pattern.as_str()).is_some(), state.matched())
        };
        if !known && before + matched > self.terms.limits.matched_topics {
            let most = self.terms.limits.matched_topics;
            let message =
                format!("{pattern} matches {matched} topics; all patterns may match {most}");
            return Err(ErrorBody::new(ErrorCode::TooManyTopics, message));
        }
        let mut row = SubscribeRow { matched: Some(matched), ..SubscribeRow::default() };
        if known {
            // What came before is offered by the former options.
            let heads = self.reach_heads(slots, touched);
            let mut state = self.client.lock();
            let slots = heads.iter().map(|(slot, _)| slot);
            let put = state.put(pattern, matched, slots, self.terms)?;
            let resumed = self.begin_those(&mut state, &put, &heads);
            row.topics = self.terms.resume.map(|_| resumed);
            return Ok((row, None));
        }
        // Who waits for the birth of a topic gets it from its first update on: of those that are
        // born the client must not be one.
        let unseen: Vec<_> =
            slots.iter().filter(|slot| self.index.entry(slot.id()).is_none()).cloned().collect();
        self.reach_heads(unseen, touched);
        let put = self.client.lock().put(pattern, matched, [].iter(), self.terms)?;
        self.client.count_subscriptions(1);
        self.index.hub.interest().begin(pattern);
        self.index.wild.entry(pattern.clone()).or_default().insert(self.key);
        row.topics = self.terms.resume.map(|_| Vec::new());
        Ok((row, Some((put, slots.into_iter()))))
    }

    /// Brings topics up to their heads, before the client is locked: that may touch this very client.
    fn reach_heads(
        &mut self,
        slots: Vec<Arc<Slot>>,
        touched: &mut Touched,
    ) -> Vec<(Arc<Slot>, Head)> {
        let reached = slots.into_iter().filter_map(|slot| {
            let head = self.index.reach_head(&slot, self.now, touched)?;
            Some((slot, head))
        });
        reached.collect()
    }

    /// Begins to deliver topics of a pattern. Tells where each begins.
    fn begin_those(
        &mut self,
        state: &mut ClientState,
        put: &Put,
        heads: &[(Arc<Slot>, Head)],
    ) -> Vec<ResumedRow> {
        self.supersede(state, heads);
        let mut resumed = Vec::new();
        for (slot, head) in heads {
            let Some(recovered) = self.begin(state, put, slot, head) else { continue };
            if self.terms.resume.is_some() {
                let topic = slot.topic().to_string();
                let (epoch, seq) = (head.epoch.clone(), head.seq);
                resumed.push(ResumedRow { topic, epoch, seq, recovered });
            }
        }
        resumed
    }

    /// Drops what [`Subscribing::begin`] would drop of each topic that reaches the client already: to
    /// go through all that waits for each of thousands takes too long.
    fn supersede(&self, state: &mut ClientState, heads: &[(Arc<Slot>, Head)]) {
        let Terms { options, resume, .. } = self.terms;
        let taken =
            heads.iter().filter(|(slot, _)| !state.prefers_other(slot, &self.asked.pattern));
        let views = taken.filter_map(|(slot, head)| Some((state.view_of(slot)?, head)));
        let mut views: Vec<_> = views.map(|(view, head)| (view, head.last.is_some())).collect();
        views.sort_unstable();
        if !options.status {
            let views: Vec<_> = views.iter().map(|(view, _)| *view).collect();
            state.outbox.drop_statuses(&views);
        }
        if options.snapshot || resume.is_some() {
            let views: Vec<_> = views.iter().filter(|it| it.1).map(|(view, _)| *view).collect();
            state.outbox.drop_snapshots(&views);
        }
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
