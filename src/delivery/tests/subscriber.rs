//! One client of the model: its subscriptions, and what became of every update that was offered to it.

use std::collections::{BTreeSet, VecDeque};

use super::{
    lane::{Fate, Lane},
    model::{Begun, Log, Offer, Outcome, Positions, Stream, Sub, Subscriber, matches, rank},
    terms::{Terms, Value},
};

impl Subscriber {
    /// An update is offered; one without a value was lost before.
    pub(super) fn offer(&mut self, topic: &str, seq: u64, value: Option<Value>) {
        let Some(owner) = self.owner(topic) else { return };
        let stream = self.stream(topic, owner);
        let fate = if stream.reads_on() {
            stream.unread.push_back(seq);
            Fate::Unread
        } else {
            value.map_or(Fate::Missed, |value| stream.lane().judge(topic, value))
        };
        self.note(topic, seq, fate);
    }

    /// The topic as it reaches the client. One that is born now is judged from nothing.
    fn stream(&mut self, topic: &str, owner: usize) -> &mut Stream {
        let (lives, sub) = (&mut self.lives, &self.subs[owner]);
        self.streams.entry(topic.to_owned()).or_insert_with(|| {
            let life = *lives.entry(topic.to_owned()).or_default();
            let lanes = vec![Lane::new(sub, topic, None)];
            Stream { life, lanes, unread: VecDeque::new(), unread_lane: 0 }
        })
    }

    /// Writes down what became of an update that the topic's terms apply to.
    fn note(&mut self, topic: &str, seq: u64, fate: Fate) {
        let stream = self.streams.get_mut(topic).unwrap();
        let life = stream.life;
        let lane = stream.lane();
        let Terms { every, fields, .. } = lane.terms;
        let offer = Offer { sub: lane.sub, every, fields, fate: fate.seen() };
        let before = self.offers.insert((topic.to_owned(), life, seq), offer);
        assert!(before.is_none(), "offered twice");
        let sub = self.subs.iter_mut().find(|sub| sub.id == offer.sub).unwrap();
        sub.published += 1;
        sub.credit(fate);
    }

    pub(super) fn put(&mut self, pattern: &str, terms: &Terms) -> (usize, bool) {
        if let Some(sub) = self.subs.iter_mut().find(|sub| sub.pattern == pattern) {
            let changed = sub.terms != *terms;
            if changed {
                (sub.terms, sub.fault_told) = (terms.clone(), false);
            }
            return (sub.id, changed);
        }
        self.next_sub += 1;
        let (id, pattern, terms) = (self.next_sub, pattern.to_owned(), terms.clone());
        let (published, filtered, faults, fault_told) = (0, 0, 0, false);
        self.subs.push(Sub { id, pattern, terms, published, filtered, faults, fault_told });
        (id, true)
    }

    pub(super) fn begin(
        &mut self,
        outcome: &mut Outcome,
        topic: &str,
        log: &Log,
        (fresh, changed): (bool, bool),
        resume: Option<&Positions>,
    ) {
        let owner = self.owner(topic).unwrap();
        if fresh {
            *self.lives.entry(topic.to_owned()).or_default() += 1;
        }
        let sub = self.subs[owner].clone();
        let stream = self.stream(topic, owner);
        if fresh || changed {
            stream.lanes.push(Lane::new(&sub, topic, log.last()));
        }
        let life = stream.life;
        let position = resume.filter(|_| fresh).and_then(|positions| positions.get(topic));
        let after = position
            .filter(|(epoch, seq)| *epoch && *seq <= log.head())
            .filter(|(_, seq)| *seq == log.head() || log.kept(seq + 1).is_some())
            .filter(|(_, seq)| {
                !sub.terms.edge || *seq == 0 || *seq == log.head() || log.kept(*seq).is_some()
            })
            .map(|(_, seq)| *seq);
        if let Some(after) = after {
            self.go_on(&sub, topic, log, after);
        } else if log.head() > 0 && (sub.terms.snapshot || resume.is_some()) {
            // What follows the snapshot is judged anew; what is still unread stands before it.
            let stream = self.stream(topic, owner);
            if stream.reads_on() {
                stream.lanes.push(Lane::new(&sub, topic, log.last()));
            }
            outcome.snapshots.push((topic.to_owned(), log.head()));
        }
        outcome.reached.push((topic.to_owned(), log.head(), after.is_some()));
        if fresh {
            outcome.begun.push(Begun { topic: topic.to_owned(), life, after });
        }
    }

    /// Nothing between `after` and the head is missed.
    fn go_on(&mut self, sub: &Sub, topic: &str, log: &Log, after: u64) {
        let stream = self.streams.get_mut(topic).unwrap();
        if after < log.head() {
            stream.lanes.push(Lane::new(sub, topic, log.kept(after)));
        }
        stream.unread_lane = stream.lanes.len() - 1;
        for seq in after + 1..=log.head() {
            let stream = self.streams.get_mut(topic).unwrap();
            let fate = if sub.terms.every {
                stream.unread.push_back(seq);
                Fate::Unread
            } else if seq < log.head() {
                Fate::Skipped
            } else {
                stream.lane().judge(topic, log.value(seq))
            };
            self.note(topic, seq, fate);
        }
    }

    pub(super) fn alive(&self) -> BTreeSet<usize> {
        self.subs.iter().map(|sub| sub.id).collect()
    }

    pub(super) fn owner_id(&self, topic: &str) -> Option<usize> {
        self.owner(topic).map(|at| self.subs[at].id)
    }

    /// The subscription under which a topic reaches the client.
    pub(super) fn owner(&self, topic: &str) -> Option<usize> {
        let matching = (0..self.subs.len()).filter(|at| matches(&self.subs[*at].pattern, topic));
        matching.max_by_key(|at| rank(&self.subs[*at].pattern))
    }
}

impl Sub {
    pub(super) fn credit(&mut self, fate: Fate) {
        self.filtered += u64::from(fate.seen() == Fate::Refused);
        if fate == Fate::Failed && !std::mem::replace(&mut self.fault_told, true) {
            self.faults += 1;
        }
    }
}

impl Stream {
    /// The terms that apply now.
    pub(super) fn lane(&mut self) -> &mut Lane {
        self.lanes.last_mut().unwrap()
    }

    /// Whether what is offered now joins what is unread.
    fn reads_on(&self) -> bool {
        !self.unread.is_empty() && self.unread_lane + 1 == self.lanes.len()
    }
}
