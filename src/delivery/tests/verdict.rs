//! Compares what a client got, byte for byte read back, with what the model says it was offered.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    model::{Log, Model, Request, Subscriber, matches},
    wire::Message,
};

/// What one client has seen, in the order of its bytes.
struct Seen<'a> {
    topics: &'a BTreeMap<String, Log>,
    client: &'a Subscriber,
    /// Patterns whose answers have been seen, and their subscriptions.
    active: BTreeMap<String, usize>,
    ended: BTreeSet<usize>,
    /// Per topic, the last number that was accounted for.
    cursors: BTreeMap<String, u64>,
    delivered: BTreeSet<(String, u64)>,
    gaps: Vec<(String, u64, u64, u64)>,
    /// Snapshots since the last answer to a subscribe.
    snapshots: BTreeSet<(String, u64)>,
    states: BTreeMap<String, String>,
}

/// Checks all that must hold at any time; and where the queue was `drained`, that nothing is
/// missing. Returns the last state that the client was told of each topic.
pub(super) fn check(
    model: &Model,
    client: usize,
    messages: &[Message],
    drained: bool,
) -> BTreeMap<String, String> {
    let mut seen = Seen {
        topics: &model.topics,
        client: &model.clients[client],
        active: BTreeMap::new(),
        ended: BTreeSet::new(),
        cursors: BTreeMap::new(),
        delivered: BTreeSet::new(),
        gaps: Vec::new(),
        snapshots: BTreeSet::new(),
        states: BTreeMap::new(),
    };
    for message in messages {
        seen.message(message);
    }
    seen.gaps_count_what_they_lost();
    if drained {
        seen.nothing_is_missing();
    }
    seen.states
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
                self.value(topic, *seq, data);
                let cursor = self.cursors.entry(topic.clone()).or_default();
                assert!(*seq >= *cursor, "snapshot {seq} of {topic} after {cursor}");
                *cursor = *seq;
                self.snapshots.insert((topic.clone(), *seq));
                self.states.insert(topic.clone(), state.clone());
            }
            Message::Update { topic, seq, data } => {
                self.value(topic, *seq, data);
                self.advance(topic, *seq, *seq);
                let key = (topic.clone(), *seq);
                let offer = self.client.offers.get(&key).expect("it was not offered");
                assert!(!offer.lag, "it was lost before it could be offered");
                assert!(!self.ended.contains(&offer.sub), "{message:?} is of an ended one");
                assert!(self.delivered.insert(key), "{message:?} came twice");
            }
            Message::Gap { topic, from, to, dropped, reason } => {
                assert!(from <= to && *dropped > 0 && *dropped <= to - from + 1);
                assert!(matches!(reason.as_str(), "slow_consumer" | "lag"));
                self.advance(topic, *from, *to);
                self.gaps.push((topic.clone(), *from, *to, *dropped));
            }
            Message::Status { topic, state } => {
                self.states.insert(topic.clone(), state.clone());
            }
        }
    }

    fn answer(&mut self, number: u64) {
        match self.client.requests.get(&number).expect("an answer to nothing") {
            Request::Subscribe { pattern, sub, state, .. } => {
                self.active.insert(pattern.clone(), *sub);
                self.snapshots.clear();
                if let Some(state) = state {
                    self.states.insert(pattern.clone(), state.clone());
                }
            }
            Request::Unsubscribe { pattern, sub } => {
                self.active.remove(pattern);
                self.ended.extend(sub);
                let active = &self.active;
                let wanted = |topic: &str| active.keys().any(|mine| matches(mine, topic));
                self.states.retain(|topic, _| wanted(topic));
            }
        }
    }

    /// What was published under a number is what comes under it.
    fn value(&self, topic: &str, seq: u64, data: &serde_json::Value) {
        let index = usize::try_from(seq - 1).unwrap();
        let published = self.topics[topic].prices[index];
        assert_eq!(*data, serde_json::json!({ "price": published.to_string() }));
    }

    /// Numbers only rise, and a gap comes before what follows it.
    fn advance(&mut self, topic: &str, from: u64, to: u64) {
        let cursor = self.cursors.entry(topic.to_owned()).or_default();
        assert!(from > *cursor, "{from} of {topic} after {cursor}");
        *cursor = to;
    }

    fn gaps_count_what_they_lost(&self) {
        let alive = self.client.alive();
        for (topic, from, to, dropped) in &self.gaps {
            let range = (topic.clone(), *from)..=(topic.clone(), *to);
            let (mut certain, mut possible) = (0, 0);
            for (key, offer) in self.client.offers.range(range) {
                assert!(!self.delivered.contains(key), "{key:?} is in a gap and was delivered");
                let lost = offer.every || offer.lag;
                possible += u64::from(lost);
                certain += u64::from(lost && alive.contains(&offer.sub));
            }
            assert!((certain..=possible).contains(dropped), "{topic} {from}-{to}/{dropped}");
        }
    }

    fn nothing_is_missing(&self) {
        let alive = self.client.alive();
        let mut last = BTreeMap::new();
        for (key, offer) in &self.client.offers {
            let (topic, seq) = key;
            last.insert(topic, (seq, offer));
            let told = |(of, from, to, _): &&(String, u64, u64, u64)| {
                of == topic && (from..=to).contains(&seq)
            };
            let gaps = self.gaps.iter().filter(told).count();
            let delivered = usize::from(self.delivered.contains(key));
            if alive.contains(&offer.sub) && (offer.every || offer.lag) {
                assert_eq!(gaps + delivered, 1, "{key:?} {offer:?}");
            }
        }
        for (topic, (seq, offer)) in last {
            if alive.contains(&offer.sub) && !offer.every && !offer.lag {
                let key = (topic.clone(), *seq);
                assert!(self.delivered.contains(&key), "the last value {key:?} never came");
            }
        }
        if let Some((_, Request::Subscribe { snapshots, .. })) =
            self.client.requests.last_key_value()
        {
            for due in snapshots {
                assert!(self.snapshots.contains(due), "no snapshot {due:?}");
            }
        }
    }
}
