//! Going on from where an earlier connection left off, at the pace of the socket.

use std::collections::BTreeMap;

use super::world::{ROOMY, World, every, latest, with_snapshot};
use crate::protocol::params::{Position, Resume};

const TOPIC: &str = "price.A-B";

fn after(world: &World, seq: u64) -> Resume {
    let epoch = Some(world.hub.epoch().to_string());
    Resume { epoch, seq: BTreeMap::from([(TOPIC.to_owned(), Position::Seq(seq))]) }
}

/// A client whose socket takes nothing and that has resumed after number 1 of 3.
fn resumed(world: &mut World, text: &str) -> usize {
    world.publish_and_pump(TOPIC, 3);
    let client = world.connect(ROOMY);
    let resume = after(world, 1);
    world.resume(client, text, &every(), Some(&resume));
    client
}

fn audit(world: &World, client: usize) {
    world.client(client).look().outbox.audit();
}

#[test]
fn what_was_missed_is_followed_by_what_is_published_meanwhile() {
    let mut world = World::new();
    let client = resumed(&mut world, TOPIC);
    assert_eq!(world.ledger(client, TOPIC).queued, 2);
    world.publish_and_pump(TOPIC, 2);
    audit(&world, client);
    assert_eq!(world.ledger(client, TOPIC).queued, 4);
    world.open(client);
    world.publish_and_pump(TOPIC, 1);
    assert_eq!(world.got(client), ["u2", "u3", "u4", "u5", "u6"]);
    let ledger = world.ledger(client, TOPIC);
    assert_eq!((ledger.published, ledger.delivered), (5, 5));
}

#[test]
fn history_that_overtakes_the_cursor_is_told_as_a_gap() {
    let mut world = World::new();
    world.publish_and_pump(TOPIC, 3);
    let client = world.connect(ROOMY);
    // A socket that is known to take nothing: nothing is read ahead for it.
    world.answer(client);
    let resume = after(&world, 1);
    world.resume(client, TOPIC, &every(), Some(&resume));
    world.publish_and_pump(TOPIC, 4);
    world.open(client);
    assert_eq!(world.got(client), ["g2-3/2", "u4", "u5", "u6", "u7"]);
    let ledger = world.ledger(client, TOPIC);
    assert_eq!((ledger.published, ledger.delivered, ledger.dropped), (6, 4, 2));
}

#[test]
fn other_options_come_behind_what_is_still_to_be_replayed() {
    let mut world = World::new();
    let client = resumed(&mut world, TOPIC);
    world.subscribe(client, TOPIC, &with_snapshot(every()));
    world.publish_and_pump(TOPIC, 1);
    audit(&world, client);
    world.open(client);
    world.publish_and_pump(TOPIC, 1);
    assert_eq!(world.got(client), ["u2", "u3", "s3", "u4", "u5"]);
    assert!(world.ledger(client, TOPIC).balances());
}

#[test]
fn a_more_specific_subscription_comes_behind_what_is_still_to_be_replayed() {
    let mut world = World::new();
    let client = resumed(&mut world, "price.>");
    world.subscribe(client, TOPIC, &with_snapshot(every()));
    world.publish_and_pump(TOPIC, 1);
    audit(&world, client);
    world.open(client);
    assert_eq!(world.got(client), ["u2", "u3", "s3", "u4"]);
    assert_eq!(world.ledger(client, "price.>").delivered, 2);
    assert_eq!(world.ledger(client, TOPIC).delivered, 1);
}

#[test]
fn what_is_left_to_replay_is_lost_with_its_subscription() {
    let mut world = World::new();
    let client = resumed(&mut world, TOPIC);
    world.unsubscribe(client, TOPIC);
    world.open(client);
    world.publish_and_pump(TOPIC, 1);
    assert!(world.got(client).is_empty());
    assert_eq!(world.counter("tickwire_dropped_total", "unsubscribed"), 2);
}

#[test]
fn latest_gets_the_newest_of_what_was_missed_and_knows_of_the_rest() {
    let mut world = World::new();
    world.publish_and_pump(TOPIC, 4);
    let client = world.connect_open();
    let resume = after(&world, 1);
    let row = world.resume(client, TOPIC, &latest(), Some(&resume));
    assert_eq!(row.recovered, Some(true));
    assert_eq!(world.got(client), ["u4"]);
    let ledger = world.ledger(client, TOPIC);
    assert_eq!((ledger.published, ledger.conflated, ledger.delivered), (3, 2, 1));
}

#[test]
fn a_pattern_answers_only_for_the_topics_that_reach_the_client_under_it() {
    let mut world = World::new();
    world.publish_and_pump(TOPIC, 3);
    world.publish_and_pump("price.C-D", 2);
    let client = world.connect_open();
    world.subscribe(client, TOPIC, &every());
    let resume = after(&world, 1);
    let row = world.resume(client, "price.*", &every(), Some(&resume));
    assert_eq!(row.matched, Some(2));
    let listed: Vec<_> =
        row.topics.iter().flatten().map(|row| (row.topic.as_str(), row.recovered)).collect();
    assert_eq!(listed, [("price.C-D", false)]);
    assert_eq!(world.got(client), ["s2"]);
}
