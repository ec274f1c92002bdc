//! A pattern of many topics begins in turns, between which others are served.

use std::collections::BTreeMap;

use super::world::{LIMITS, ROOMY, World, every, with_snapshot};
use crate::{
    delivery::{
        Bounds, Options, SubscribeRow,
        index::Touched,
        subscribe::{self, Begun, Terms},
    },
    protocol::{
        code::ErrorCode,
        params::{Position, Resume},
    },
};

/// So few that patterns of the tests take several turns.
const MATCHES_PER_TURN: usize = 2;
/// Topics of which two turns begin four, and a third the last.
const FIVE: [&str; 5] = ["price.A-B", "price.C-D", "price.E-F", "price.G-H", "price.I-J"];

impl World {
    /// As [`World::resume`], while something else happens between the turns.
    pub(super) fn resume_in_turns(
        &mut self,
        peer: usize,
        text: &str,
        options: &Options,
        resume: Option<&Resume>,
        mut meanwhile: impl FnMut(&mut Self),
    ) -> SubscribeRow {
        let terms = Terms { options, resume, limits: LIMITS, matches_per_turn: MATCHES_PER_TURN };
        let mut touched = Touched::new();
        let client = self.client(peer).clone();
        client.cork();
        let (now, index) = (self.now(), &mut self.index);
        let mut begun = subscribe::subscribe(index, &client, text, terms, now, &mut touched);
        let row = loop {
            if let Begun::Whole(row) = begun {
                break row;
            }
            self.flush(std::mem::take(&mut touched));
            meanwhile(self);
            let (now, index) = (self.now(), &mut self.index);
            begun = subscribe::go_on(index, &client, begun, terms, now, &mut touched);
        };
        client.uncork(self.next_answer(peer));
        client.flush(self.now().instant);
        self.flush(touched);
        row
    }
}

fn world() -> World {
    assert_eq!(FIVE.len().div_ceil(MATCHES_PER_TURN), 3);
    let mut world = World::new();
    publish_all(&mut world);
    world
}

fn publish_all(world: &mut World) {
    FIVE.iter().for_each(|topic| world.publish_and_pump(topic, 1));
}

/// What the client has got, in brief, by topic.
fn got(world: &World, client: usize) -> BTreeMap<String, String> {
    let mut got = BTreeMap::<String, Vec<String>>::new();
    for message in world.messages(client) {
        if let Some(topic) = message.topic() {
            got.entry(topic.to_owned()).or_default().push(message.brief());
        }
    }
    got.into_iter().map(|(topic, briefs)| (topic, briefs.join(" "))).collect()
}

#[test]
fn each_topic_comes_without_a_hole_from_where_it_has_begun() {
    let mut world = world();
    let (client, other) = (world.connect_open(), world.connect_open());
    world.subscribe(other, "price.I-J", &every());
    let mut turns = 0;
    let row = world.resume_in_turns(client, "price.*", &with_snapshot(every()), None, |world| {
        turns += 1;
        publish_all(world);
        world.publish_and_pump("price.BORN-LATER", 1);
        assert!(world.messages(client).is_empty(), "the answer comes first");
        assert_eq!(world.got(other).len(), turns);
    });
    assert_eq!((row.ok, row.matched, turns), (true, Some(5), 2));
    publish_all(&mut world);
    let expected = [
        ("price.A-B", "s1 u2 u3 u4"),
        ("price.BORN-LATER", "u1 u2"),
        ("price.C-D", "s1 u2 u3 u4"),
        ("price.E-F", "s2 u3 u4"),
        ("price.G-H", "s2 u3 u4"),
        ("price.I-J", "s3 u4"),
    ];
    let expected = expected.map(|(topic, briefs)| (topic.to_owned(), briefs.to_owned()));
    assert_eq!(got(&world, client), BTreeMap::from(expected));
    let ledger = world.ledger(client, "price.*");
    assert_eq!((ledger.published, ledger.delivered), (13, 13));
}

#[test]
fn a_topic_that_the_shard_has_not_seen_begins_at_its_head() {
    let mut world = world();
    let client = world.connect_open();
    for price in 0..3 {
        world.publish("price.UNSEEN", price);
    }
    world.resume_in_turns(client, "price.*", &with_snapshot(every()), None, |world| {
        world.pump();
    });
    world.publish_and_pump("price.UNSEEN", 1);
    assert_eq!(got(&world, client)["price.UNSEEN"], "s3 u4");
}

#[test]
fn every_turn_goes_on_from_where_the_client_left_off() {
    let mut world = world();
    let client = world.connect_open();
    let seq = FIVE.map(|topic| (topic.to_owned(), Position::Seq(1)));
    let resume = Resume { epoch: Some(world.hub.epoch().to_string()), seq: seq.into() };
    let row = world.resume_in_turns(client, "price.*", &every(), Some(&resume), publish_all);
    let rows = row.topics.unwrap();
    let rows: Vec<_> =
        rows.iter().map(|row| (row.topic.as_str(), row.seq, row.recovered)).collect();
    let begun = [1, 1, 2, 2, 3].into_iter().zip(FIVE);
    assert_eq!(rows, begun.map(|(seq, topic)| (topic, seq, true)).collect::<Vec<_>>());
    let got = got(&world, client);
    assert!(got.len() == 5 && got.values().all(|briefs| briefs == "u2 u3"), "{got:?}");
}

#[test]
fn what_a_topic_had_for_a_wider_pattern_comes_before_it_begins_under_the_next() {
    let mut world = world();
    let client = world.connect_open();
    world.subscribe(client, ">", &every());
    world.resume_in_turns(client, "price.*", &with_snapshot(every()), None, |world| {
        // The shard has taken it in, and the client has not had its turn yet.
        world.hold_turns(true);
        publish_all(world);
    });
    world.hold_turns(false);
    let expected = [("price.A-B", "s1 u2 u3"), ("price.C-D", "s1 u2 u3")].into_iter();
    let expected = expected.chain([("price.E-F", "u2 s2 u3"), ("price.G-H", "u2 s2 u3")]);
    let expected = expected.chain([("price.I-J", "u2 u3 s3")]);
    let expected = expected.map(|(topic, briefs)| (topic.to_owned(), briefs.to_owned()));
    assert_eq!(got(&world, client), expected.collect());
    assert_eq!(world.ledger(client, ">").published, 4);
    assert_eq!(world.ledger(client, "price.*").published, 6);
}

#[test]
fn a_topic_that_has_a_subscription_of_its_own_stays_with_it() {
    let mut world = world();
    let client = world.connect_open();
    world.subscribe(client, "price.I-J", &every());
    world.resume_in_turns(client, "price.*", &with_snapshot(every()), None, publish_all);
    assert_eq!(got(&world, client)["price.I-J"], "u2 u3");
    assert_eq!(world.ledger(client, "price.I-J").published, 2);
    assert_eq!(world.ledger(client, "price.*").published, 6);
}

#[test]
fn where_much_comes_in_between_the_rest_begins_at_once() {
    let mut world = world();
    let client = world.connect(Bounds { updates: 4, ..ROOMY });
    let mut turns = 0;
    world.resume_in_turns(client, "price.*", &every(), None, |world| {
        turns += 1;
        publish_all(world);
    });
    world.open(client);
    assert_eq!(turns, 1);
    let ledger = world.ledger(client, "price.*");
    assert_eq!((ledger.published, ledger.delivered, ledger.dropped), (2, 2, 0));
}

#[test]
fn a_client_that_leaves_between_two_turns_leaves_nothing_behind() {
    let mut world = world();
    let client = world.connect_open();
    let mut turns = 0;
    let row = world.resume_in_turns(client, "price.*", &every(), None, |world| {
        turns += 1;
        world.disconnect(client);
    });
    assert_eq!((row.ok, turns), (false, 1));
    assert_eq!(row.error.unwrap().code, ErrorCode::StaleConnection);
    assert!(world.index.wild.is_empty());
    let members = world.index.topics.iter().flatten().map(|entry| entry.members.len());
    assert_eq!(members.sum::<usize>(), 0);
    publish_all(&mut world);
    assert!(world.got(client).is_empty());
}
