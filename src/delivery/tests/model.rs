//! What delivery should do, said again in the simplest way: nothing is bounded, nothing is shared,
//! every offer to every client is written down. Shares no code with what it is compared with.

use std::collections::{BTreeMap, BTreeSet};

use super::world::HISTORY;

/// Everything that was published and offered.
#[derive(Default)]
pub(super) struct Model {
    pub(super) topics: BTreeMap<String, Log>,
    pub(super) clients: Vec<Subscriber>,
}

/// One topic: its values, the first of which has number 1, and how far they were passed on.
#[derive(Default)]
pub(super) struct Log {
    pub(super) prices: Vec<u64>,
    position: u64,
}

/// One client.
#[derive(Default)]
pub(super) struct Subscriber {
    pub(super) subs: Vec<Sub>,
    pub(super) offers: BTreeMap<(String, u64), Offer>,
    /// By the number of the answer.
    pub(super) requests: BTreeMap<u64, Request>,
    next_sub: usize,
}

/// One subscription. An ended one never comes back: subscribed again, it is another.
#[derive(Debug, Clone)]
pub(super) struct Sub {
    pub(super) id: usize,
    pub(super) pattern: String,
    pub(super) every: bool,
    pub(super) published: u64,
}

/// One update that was offered to a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub(super) sub: usize,
    pub(super) every: bool,
    /// Lost before it could be offered.
    pub(super) lag: bool,
}

/// What an answer stands for.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Subscribe {
        pattern: String,
        sub: usize,
        status: bool,
        state: Option<String>,
        /// Topics of which a snapshot follows, and its number.
        snapshots: Vec<(String, u64)>,
    },
    Unsubscribe {
        pattern: String,
        sub: Option<usize>,
    },
}

impl Model {
    pub(super) fn publish(&mut self, topic: &str, price: u64) -> u64 {
        let log = self.topics.entry(topic.to_owned()).or_default();
        log.prices.push(price);
        log.prices.len() as u64
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
        self.offer(topic, seq, false);
    }

    /// A topic is brought up to its head, as far as history reaches.
    fn reach_head(&mut self, topic: &str) {
        let Some(log) = self.topics.get_mut(topic) else {
            return;
        };
        let head = log.prices.len() as u64;
        let from = std::mem::replace(&mut log.position, head) + 1;
        for seq in from..=head {
            self.offer(topic, seq, seq + HISTORY as u64 <= head);
        }
    }

    /// The channel was overrun.
    pub(super) fn lag(&mut self) {
        for topic in self.topics.keys().cloned().collect::<Vec<_>>() {
            self.reach_head(&topic);
        }
    }

    fn offer(&mut self, topic: &str, seq: u64, lag: bool) {
        for client in &mut self.clients {
            let Some(owner) = client.owner(topic) else {
                continue;
            };
            let sub = &mut client.subs[owner];
            sub.published += 1;
            let offer = Offer { sub: sub.id, every: sub.every, lag };
            let before = client.offers.insert((topic.to_owned(), seq), offer);
            assert!(before.is_none(), "offered twice");
        }
    }

    pub(super) fn subscribe(&mut self, client: usize, pattern: &str, every: bool) -> usize {
        for topic in self.topics.keys().cloned().collect::<Vec<_>>() {
            if matches(pattern, &topic) {
                self.reach_head(&topic);
            }
        }
        let client = &mut self.clients[client];
        if let Some(sub) = client.subs.iter_mut().find(|sub| sub.pattern == pattern) {
            sub.every = every;
            return sub.id;
        }
        client.next_sub += 1;
        let (id, pattern) = (client.next_sub, pattern.to_owned());
        client.subs.push(Sub { id, pattern, every, published: 0 });
        id
    }

    /// Topics with a value that reach the client under `sub`, with their newest numbers.
    pub(super) fn reached_by(&self, client: usize, sub: usize) -> Vec<(String, u64)> {
        let client = &self.clients[client];
        let owned = |topic: &str| client.owner(topic).is_some_and(|at| client.subs[at].id == sub);
        let topics = self.topics.iter().filter(|(topic, _)| owned(topic));
        topics.map(|(topic, log)| (topic.clone(), log.prices.len() as u64)).collect()
    }
}

impl Subscriber {
    /// Ends a subscription, where there is one.
    pub(super) fn unsubscribe(&mut self, pattern: &str) -> Option<usize> {
        let at = self.subs.iter().position(|sub| sub.pattern == pattern)?;
        Some(self.subs.remove(at).id)
    }

    pub(super) fn alive(&self) -> BTreeSet<usize> {
        self.subs.iter().map(|sub| sub.id).collect()
    }

    /// The subscription under which a topic reaches the client.
    fn owner(&self, topic: &str) -> Option<usize> {
        let matching = (0..self.subs.len()).filter(|at| matches(&self.subs[*at].pattern, topic));
        matching.max_by_key(|at| rank(&self.subs[*at].pattern))
    }
}

fn rank(pattern: &str) -> Vec<u8> {
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
