//! What delivery should do, said again in the simplest way: nothing is bounded, nothing is shared,
//! every offer to every client is written down with what became of it. Shares no code with what it
//! is compared with.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    lane::{Fate, Lane},
    terms::{Terms, Value},
    world::HISTORY,
};

/// Everything that was published and offered.
#[derive(Default)]
pub(super) struct Model {
    pub(super) topics: BTreeMap<String, Log>,
    pub(super) clients: Vec<Subscriber>,
}

/// One topic: its values, the first of which has number 1, and how far they were passed on.
#[derive(Default)]
pub(super) struct Log {
    pub(super) values: Vec<Value>,
    pub(super) position: u64,
}

/// One client.
#[derive(Default)]
pub(super) struct Subscriber {
    pub(super) subs: Vec<Sub>,
    pub(super) streams: BTreeMap<String, Stream>,
    pub(super) offers: BTreeMap<Offered, Offer>,
    /// By the number of the answer.
    pub(super) requests: BTreeMap<u64, Request>,
    /// How often a topic began to reach the client.
    pub(super) lives: BTreeMap<String, u32>,
    pub(super) next_sub: usize,
}

/// A topic, how often it had begun to reach the client, and a number. A client that resumes may be
/// offered a number again.
pub(super) type Offered = (String, u32, u64);

/// One subscription. An ended one never comes back: subscribed again, it is another.
#[derive(Debug, Clone)]
pub(super) struct Sub {
    pub(super) id: usize,
    pub(super) pattern: String,
    pub(super) terms: Terms,
    pub(super) published: u64,
    pub(super) filtered: u64,
    /// How often the client must be told that the filter fails.
    pub(super) faults: usize,
    pub(super) fault_told: bool,
}

/// A topic that reaches a client: by which terms, one after the other, and what was offered but not
/// read from history yet, all of it by the same terms.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) life: u32,
    pub(super) lanes: Vec<Lane>,
    pub(super) unread: VecDeque<u64>,
    pub(super) unread_lane: usize,
}

/// One update that was offered to a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub(super) sub: usize,
    pub(super) every: bool,
    pub(super) fields: Option<usize>,
    pub(super) fate: Fate,
}

/// What an answer stands for.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Subscribe {
        pattern: String,
        sub: usize,
        terms: Terms,
        state: Option<String>,
        /// Topics of which a snapshot follows, and its number.
        snapshots: Vec<(String, u64)>,
        /// Topics that begin to reach the client.
        begun: Vec<Begun>,
    },
    Unsubscribe {
        pattern: String,
        sub: Option<usize>,
    },
}

/// A topic that begins to reach the client.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) topic: String,
    pub(super) life: u32,
    /// From where it goes on without a hole.
    pub(super) after: Option<u64>,
}

/// Where a client says it left off: the epoch is right, and the number.
pub(super) type Positions = BTreeMap<String, (bool, u64)>;

/// What follows from subscribing.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) sub: usize,
    /// Topics that reach the client under this subscription, and whether they go on.
    pub(super) reached: Vec<(String, u64, bool)>,
    pub(super) snapshots: Vec<(String, u64)>,
    pub(super) begun: Vec<Begun>,
}

impl Log {
    pub(super) fn head(&self) -> u64 {
        self.values.len() as u64
    }

    /// The value of a number, where history has it still.
    pub(super) fn kept(&self, seq: u64) -> Option<Value> {
        let kept = seq > 0 && seq <= self.head() && seq + HISTORY as u64 > self.head();
        kept.then(|| self.value(seq))
    }

    pub(super) fn value(&self, seq: u64) -> Value {
        self.values[usize::try_from(seq - 1).unwrap()]
    }

    pub(super) fn last(&self) -> Option<Value> {
        self.values.last().copied()
    }
}

impl Model {
    /// The topic is known, though it may have no value.
    pub(super) fn declare(&mut self, topic: &str) -> &mut Log {
        self.topics.entry(topic.to_owned()).or_default()
    }

    pub(super) fn publish(&mut self, topic: &str, value: Value) -> u64 {
        let log = self.declare(topic);
        log.values.push(value);
        log.head()
    }

    /// The shard took an update out of its channel.
    pub(super) fn dispatched(&mut self, topic: &str, seq: u64) {
        let Some(log) = self.topics.get_mut(topic) else { panic!("{topic} was not published") };
        if seq <= log.position {
            return;
        }
        let owned = self.clients.iter().any(|client| client.owner(topic).is_some());
        assert!(!owned || seq == log.position + 1, "the channel skipped an update");
        log.position = seq;
        let value = log.value(seq);
        self.clients.iter_mut().for_each(|client| client.offer(topic, seq, Some(value)));
    }

    /// A topic is brought up to its head, as far as history reaches.
    fn reach_head(&mut self, topic: &str) {
        let Some(log) = self.topics.get_mut(topic) else {
            return;
        };
        let head = log.head();
        let from = std::mem::replace(&mut log.position, head) + 1;
        for seq in from..=head {
            let value = log.kept(seq);
            self.clients.iter_mut().for_each(|client| client.offer(topic, seq, value));
        }
    }

    /// The channel was overrun.
    pub(super) fn lag(&mut self) {
        for topic in self.topics.keys().cloned().collect::<Vec<_>>() {
            self.reach_head(&topic);
        }
    }

    pub(super) fn subscribe(
        &mut self,
        client: usize,
        pattern: &str,
        terms: &Terms,
        resume: Option<&Positions>,
    ) -> Outcome {
        let matching: Vec<_> =
            self.topics.keys().filter(|topic| matches(pattern, topic)).cloned().collect();
        matching.iter().for_each(|topic| self.reach_head(topic));
        let Self { topics, clients } = self;
        let client = &mut clients[client];
        let fresh: BTreeSet<_> =
            matching.iter().filter(|topic| client.owner(topic).is_none()).collect();
        let (sub, changed) = client.put(pattern, terms);
        let mut outcome = Outcome { sub, ..Outcome::default() };
        for topic in &matching {
            if client.owner_id(topic) == Some(sub) {
                let fresh = fresh.contains(topic);
                client.begin(&mut outcome, topic, &topics[topic], (fresh, changed), resume);
            }
        }
        outcome
    }

    /// Ends a subscription, where there is one. Its topics go to the next that matches.
    pub(super) fn unsubscribe(&mut self, client: usize, pattern: &str) -> Option<Sub> {
        let client = &mut self.clients[client];
        let at = client.subs.iter().position(|sub| sub.pattern == pattern)?;
        let ended = client.subs.remove(at);
        for (topic, mut stream) in std::mem::take(&mut client.streams) {
            if stream.lanes[stream.unread_lane].sub == ended.id {
                stream.unread.clear();
            }
            if stream.lane().sub == ended.id {
                let Some(next) = client.owner(&topic) else { continue };
                let log = &self.topics[&topic];
                let next = &client.subs[next];
                stream.lanes.push(Lane::new(next, &topic, log.kept(log.position)));
            }
            client.streams.insert(topic, stream);
        }
        Some(ended)
    }

    /// Of what was unread, all before `next` has been read.
    pub(super) fn read(&mut self, client: usize, topic: &str, next: u64) {
        let log = &self.topics[topic];
        let client = &mut self.clients[client];
        let Some(stream) = client.streams.get_mut(topic) else { return };
        while let Some(seq) = stream.unread.pop_front_if(|seq| *seq < next) {
            let lane = &mut stream.lanes[stream.unread_lane];
            let fate = log.kept(seq).map_or(Fate::Overtaken, |value| lane.judge(topic, value));
            let offered = (topic.to_owned(), stream.life, seq);
            client.offers.get_mut(&offered).unwrap().fate = fate.seen();
            let sub = lane.sub;
            client.subs.iter_mut().filter(|known| known.id == sub).for_each(|sub| sub.credit(fate));
        }
    }
}

pub(super) fn rank(pattern: &str) -> Vec<u8> {
    pattern
        .split('.')
        .map(|token| [b'>', b'*'].iter().position(|wild| token.as_bytes() == [*wild]))
        .map(|wild| wild.map_or(2, |rank| u8::try_from(rank).unwrap()))
        .collect()
}

pub(super) fn matches(pattern: &str, topic: &str) -> bool {
    let (mine, theirs): (Vec<_>, Vec<_>) =
        (pattern.split('.').collect(), topic.split('.').collect());
    let (mine, long_enough) = match mine.split_last() {
        Some((&">", rest)) => (rest, theirs.len() > rest.len()),
        _ => (&mine[..], theirs.len() == mine.len()),
    };
    long_enough && mine.iter().zip(&theirs).all(|(mine, theirs)| *mine == "*" || mine == theirs)
}
