//! Subscribing to a pattern: the topics that it matches begin in turns, between which others are
//! served.

use std::{sync::Arc, vec};

use super::{Asked, Put, Subscribing, Terms, gone, key_of};
use crate::{
    delivery::{
        client::{Client, ClientState},
        index::{Index, Now, Touched},
        rows::{ResumedRow, SubscribeRow},
    },
    hub::{Head, Slot},
    protocol::code::{ErrorBody, ErrorCode},
};

/// A string whose subscription has begun, or was refused.
pub(in crate::delivery) enum Begun {
    /// There is nothing more to do.
    Whole(SubscribeRow),
    /// A pattern, not all of whose topics have begun: see [`go_on`].
    Partly(SubscribeRow, Box<Rest>),
}

/// Topics of a pattern that have yet to begin. Those that are born in the meantime are none of them:
/// they reach the client as they do any that has subscribed before.
pub(in crate::delivery) struct Rest {
    asked: Asked,
    put: Put,
    slots: vec::IntoIter<Arc<Slot>>,
}

/// Begins the next topics of a pattern. Others may have been served since the last, and topics have
/// been born; the client itself must have asked for nothing else. Begins all that are left where so
/// much of the others has come that it might be too much before the client gets any of it.
pub(in crate::delivery) fn go_on(
    index: &mut Index,
    client: &Arc<Client>,
    begun: Begun,
    terms: Terms<'_>,
    now: Now,
    touched: &mut Touched,
) -> Begun {
    let Begun::Partly(mut row, mut rest) = begun else { return begun };
    let Some(key) = key_of(index, client) else {
        let Asked { text: topic, canonical, .. } = rest.asked;
        let error = Some(gone());
        return Begun::Whole(SubscribeRow { topic, canonical, error, ..SubscribeRow::default() });
    };
    // What it is marked for must come before what it gets now, and as what it is until now.
    index.settle(key, now.instant);
    let hurries = client.look().outbox.is_filling();
    let count = if hurries { usize::MAX } else { terms.matches_per_turn };
    let slots: Vec<_> = rest.slots.by_ref().take(count).collect();
    let mut it = Subscribing { index, client, key, asked: &rest.asked, terms, now };
    let heads = it.reach_heads(slots, touched);
    let resumed = it.begin_those(&mut client.lock(), &rest.put, &heads);
    if let Some(topics) = &mut row.topics {
        topics.extend(resumed);
    }
    if client.touch() {
        touched.push(client.clone());
    }
    if rest.slots.len() == 0 { Begun::Whole(row) } else { Begun::Partly(row, rest) }
}

impl Subscribing<'_> {
    /// Subscribes to a pattern, all of whose topics have yet to begin where it is new.
    pub(super) fn pattern(
        &mut self,
        touched: &mut Touched,
    ) -> Result<(SubscribeRow, Option<Box<Rest>>), ErrorBody> {
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
        let (asked, slots) = (self.asked.clone(), slots.into_iter());
        Ok((row, Some(Box::new(Rest { asked, put, slots }))))
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
}
