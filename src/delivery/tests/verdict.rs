//! Compares what a client got, byte for byte read back, with what the model says it was offered.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    lane::Fate,
    model::{Log, Model, Offer, Offered, Request, Subscriber, matches},
    wire::Message,
};
use crate::delivery::Ledger;

/// What one client has seen, in the order of its bytes.
pub(super) struct Seen<'a> {
    topics: &'a BTreeMap<String, Log>,
    client: &'a Subscriber,
    /// Patterns whose answers have been seen, and their subscriptions.
    active: BTreeMap<String, usize>,
    ended: BTreeSet<usize>,
    /// Per topic, how often it had begun to come.
    lives: BTreeMap<String, u32>,
    /// Per topic, the last number that was accounted for.
    pub(super) cursors: BTreeMap<String, u64>,
    delivered: BTreeSet<Offered>,
    gaps: Vec<Gap>,
    /// Snapshots since the last answer to a subscribe.
    snapshots: BTreeSet<(String, u64)>,
    /// How often each pattern's filter was told to fail.
    notices: BTreeMap<String, usize>,
    /// The last state that the client was told of each topic.
    pub(super) states: BTreeMap<String, String>,
}

struct Gap {
    topic: String,
    life: u32,
    from: u64,
    to: u64,
    dropped: u64,
}

/// Checks all that must hold at any time; and where the queue was `drained`, that nothing is
/// missing.
pub(super) fn check<'a>(
    model: &'a Model,
    client: usize,
    messages: &[Message],
    drained: bool,
) -> Seen<'a> {
    let mut seen = Seen {
        topics: &model.topics,
        client: &model.clients[client],
        active: BTreeMap::new(),
        ended: BTreeSet::new(),
        lives: BTreeMap::new(),
        cursors: BTreeMap::new(),
        delivered: BTreeSet::new(),
        gaps: Vec::new(),
        snapshots: BTreeSet::new(),
        notices: BTreeMap::new(),
        states: BTreeMap::new(),
    };
    for message in messages {
        seen.message(message);
    }
    seen.gaps_count_what_they_lost();
    if drained {
        seen.nothing_is_missing();
    }
    seen
}

impl Seen<'_> {
    fn message(&mut self, message: &Message) {
        if let Some(topic) = message.topic() {
            let wanted = self.active.keys().any(|pattern| matches(pattern, topic));
            assert!(wanted, "{message:?} came before an answer or after the end");
        }
        match message {
            Message::Answer(number) => self.answer(*number),
            Message::Snapshot { topic, seq, data, state } => {
                self.snapshot_is_right(topic, *seq, data);
                let cursor = self.cursors.entry(topic.clone()).or_default();
                assert!(*seq >= *cursor, "snapshot {seq} of {topic} after {cursor}");
                *cursor = *seq;
                self.snapshots.insert((topic.clone(), *seq));
                self.states.insert(topic.clone(), state.clone());
            }
            Message::Update { topic, seq, data } => {
                self.advance(topic, *seq, *seq);
                let key = (topic.clone(), self.life(topic), *seq);
                let offer = self.client.offers.get(&key).expect("it was not offered");
                assert_eq!(offer.fate, Fate::Through, "{message:?}");
                assert!(!self.ended.contains(&offer.sub), "{message:?} is of an ended one");
                assert_eq!(*data, self.topics[topic].value(*seq).json(offer.fields));
                assert!(self.delivered.insert(key), "{message:?} came twice");
            }
            Message::Gap { topic, from, to, dropped, reason } => {
                assert!(from <= to && *dropped > 0 && *dropped <= to - from + 1);
                assert!(matches!(reason.as_str(), "slow_consumer" | "lag"));
                self.advance(topic, *from, *to);
                let (topic, life) = (topic.clone(), self.life(topic));
                self.gaps.push(Gap { topic, life, from: *from, to: *to, dropped: *dropped });
            }
            Message::Status { topic, state } => {
                self.states.insert(topic.clone(), state.clone());
            }
            Message::Notice { code, pattern } => {
                assert_eq!(code, "filter_error");
                assert!(self.active.contains_key(pattern), "{message:?} came before its answer");
                *self.notices.entry(pattern.clone()).or_default() += 1;
            }
        }
    }

    fn answer(&mut self, number: u64) {
        match self.client.requests.get(&number).expect("an answer to nothing") {
            Request::Subscribe { pattern, sub, state, begun, .. } => {
                self.active.insert(pattern.clone(), *sub);
                self.snapshots.clear();
                if let Some(state) = state {
                    self.states.insert(pattern.clone(), state.clone());
                }
                for begun in begun {
                    self.lives.insert(begun.topic.clone(), begun.life);
                    if let Some(after) = begun.after {
                        self.cursors.insert(begun.topic.clone(), after);
                    }
                }
            }
            Request::Unsubscribe { pattern, sub } => {
                self.active.remove(pattern);
                self.ended.extend(sub);
                self.notices.remove(pattern);
                let active = &self.active;
                let wanted = |topic: &str| active.keys().any(|mine| matches(mine, topic));
                self.states.retain(|topic, _| wanted(topic));
            }
        }
    }

    fn life(&self, topic: &str) -> u32 {
        self.lives.get(topic).copied().unwrap_or_default()
    }

    /// A snapshot shows the fields that its subscription asked for, then or since.
    fn snapshot_is_right(&self, topic: &str, seq: u64, data: &serde_json::Value) {
        let key = (topic.to_owned(), seq);
        let mut due = BTreeSet::new();
        let asked = self.client.requests.values().any(|request| match request {
            Request::Subscribe { sub, terms, snapshots, .. } => {
                if snapshots.contains(&key) {
                    due.insert(*sub);
                }
                let value = self.topics[topic].value(seq);
                due.contains(sub) && *data == value.json(terms.fields)
            }
            Request::Unsubscribe { .. } => false,
        });
        assert!(asked, "snapshot {seq} of {topic} was not asked for or is not as asked: {data}");
    }

    /// Numbers only rise, and a gap comes before what follows it.
    fn advance(&mut self, topic: &str, from: u64, to: u64) {
        let cursor = self.cursors.entry(topic.to_owned()).or_default();
        assert!(from > *cursor, "{from} of {topic} after {cursor}");
        *cursor = to;
    }

    /// Whether an update is lost, where it was not delivered.
    fn must_be_told(&self, key: &Offered, offer: &Offer) -> bool {
        match offer.fate {
            Fate::Missed | Fate::Overtaken => true,
            Fate::Through => offer.every && !self.delivered.contains(key),
            _ => false,
        }
    }

    fn gaps_count_what_they_lost(&self) {
        let alive = self.client.alive();
        for Gap { topic, life, from, to, dropped } in &self.gaps {
            let range = (topic.clone(), *life, *from)..=(topic.clone(), *life, *to);
            let (mut certain, mut possible) = (0, 0);
            for (key, offer) in self.client.offers.range(range) {
                assert!(!self.delivered.contains(key), "{key:?} is in a gap and was delivered");
                let lost = self.must_be_told(key, offer);
                possible += u64::from(lost);
                certain += u64::from(lost && alive.contains(&offer.sub));
            }
            assert!((certain..=possible).contains(dropped), "{topic} {from}-{to}/{dropped}");
        }
    }

    /// Every number was delivered, filtered, replaced or lies in exactly one gap; the last value
    /// has come, and what was said to follow an answer.
    fn nothing_is_missing(&self) {
        let alive = self.client.alive();
        let mut newest = BTreeMap::new();
        for (key, offer) in self.client.offers.iter().filter(|(_, of)| alive.contains(&of.sub)) {
            let (topic, life, seq) = key;
            let told = |gap: &&Gap| {
                gap.topic == *topic && gap.life == *life && (gap.from..=gap.to).contains(seq)
            };
            let gaps = self.gaps.iter().filter(told).count();
            let least = usize::from(self.must_be_told(key, offer));
            assert!((least..=1).contains(&gaps), "{key:?} {offer:?} lies in {gaps} gaps");
            assert_ne!(offer.fate, Fate::Unread, "{key:?}");
        }
        // One that was replaced by an update of a subscription that ended went with that.
        for (key, offer) in &self.client.offers {
            if offer.fate == Fate::Through && !offer.every {
                newest.insert((&key.0, key.1), (key, offer.sub));
            }
        }
        for (key, _) in newest.values().filter(|(_, sub)| alive.contains(sub)) {
            assert!(self.delivered.contains(*key), "the last value {key:?} never came");
        }
        for sub in &self.client.subs {
            let told = self.notices.get(&sub.pattern).copied().unwrap_or_default();
            assert_eq!(told, sub.faults, "how often {} was told of its filter", sub.pattern);
        }
        if let Some((_, Request::Subscribe { snapshots, .. })) =
            self.client.requests.last_key_value()
        {
            for due in snapshots {
                assert!(self.snapshots.contains(due), "no snapshot {due:?}");
            }
        }
    }

    /// What the account of each subscription must say, where nothing waits.
    pub(super) fn accounts(&self) -> BTreeMap<&str, Ledger> {
        let account = |id: usize| {
            let mut ledger = Ledger::default();
            for (key, offer) in self.client.offers.iter().filter(|(_, offer)| offer.sub == id) {
                ledger.published += 1;
                match offer.fate {
                    _ if self.delivered.contains(key) => ledger.delivered += 1,
                    Fate::Missed | Fate::Overtaken => ledger.dropped += 1,
                    Fate::Through if offer.every => ledger.dropped += 1,
                    Fate::Refused | Fate::Failed => ledger.filtered += 1,
                    Fate::Through | Fate::Skipped => ledger.conflated += 1,
                    Fate::Unread => ledger.queued += 1,
                }
            }
            ledger
        };
        self.client.subs.iter().map(|sub| (&*sub.pattern, account(sub.id))).collect()
    }
}
