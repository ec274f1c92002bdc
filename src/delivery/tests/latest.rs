//! Mode `latest`: one waiting place for each topic, the newest wins.

use std::time::Duration;

use super::{
    panics::Shard,
    world::{ROOMY, World, every, latest, with_snapshot},
};
use crate::{delivery::Config, units::Span};

#[test]
fn a_newer_value_takes_the_place_of_the_one_that_waits() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.>", &latest());
    world.publish_and_pump("price.A", 1);
    world.publish_and_pump("price.B", 1);
    world.publish_and_pump("price.A", 4);
    let ledger = world.ledger(client, "price.>");
    assert_eq!((ledger.published, ledger.conflated, ledger.queued), (6, 4, 2));
    world.open(client);
    // A keeps its place before B.
    assert_eq!(world.got(client), ["u5", "u1"]);
    assert_eq!(world.messages(client)[1].topic(), Some("price.A"));
    assert_eq!(world.ledger(client, "price.>").delivered, 2);
}

#[test]
fn every_topic_is_sent_within_as_many_sends_as_topics_wait() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.grant(client, 64);
    world.subscribe(client, "price.>", &latest());
    let topics: Vec<_> = (0..8).map(|number| format!("price.T{number}")).collect();
    for topic in &topics {
        world.publish_and_pump(topic, 1);
    }
    // One topic never rests, and the socket takes about one frame between two of its updates.
    for _ in 0..3 * topics.len() {
        world.publish_and_pump("price.T0", 1);
        world.grant(client, 100);
    }
    let sent: Vec<_> = world
        .messages(client)
        .iter()
        .filter_map(|message| message.topic().map(str::to_owned))
        .collect();
    let first: std::collections::BTreeSet<_> = sent.iter().take(topics.len()).collect();
    assert_eq!(first.len(), topics.len(), "{sent:?}");
    assert!(sent.iter().filter(|topic| *topic == "price.T0").count() > 2, "{sent:?}");
}

#[test]
fn what_a_snapshot_follows_is_not_overtaken_by_what_is_newer_than_the_snapshot() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.A-B", &latest());
    world.publish_and_pump("price.A-B", 2);
    world.subscribe(client, "price.A-B", &with_snapshot(latest()));
    world.publish_and_pump("price.A-B", 2);
    world.open(client);
    assert_eq!(world.got(client), ["s2", "u4"]);
    let ledger = world.ledger(client, "price.A-B");
    assert_eq!((ledger.published, ledger.delivered, ledger.conflated), (4, 1, 3));
}

#[test]
fn what_waits_when_it_is_subscribed_again_is_still_delivered() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.A-B", &latest());
    world.publish_and_pump("price.A-B", 1);
    world.subscribe(client, "price.A-B", &with_snapshot(latest()));
    world.open(client);
    assert_eq!(world.got(client), ["u1", "s1"]);
    assert_eq!(world.ledger(client, "price.A-B").delivered, 1);
}

#[test]
fn changing_to_every_and_back_does_not_let_the_newest_overtake_older_ones() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.A-B", &latest());
    world.publish_and_pump("price.A-B", 1);
    world.subscribe(client, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 2);
    world.subscribe(client, "price.A-B", &latest());
    world.publish_and_pump("price.A-B", 2);
    world.open(client);
    assert_eq!(world.got(client), ["u2", "u3", "u5"]);
    let ledger = world.ledger(client, "price.A-B");
    assert_eq!((ledger.published, ledger.delivered, ledger.conflated), (5, 3, 2));
}

#[test]
fn of_three_subscriptions_that_take_over_from_each_other_none_mixes_the_order() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.>", &latest());
    world.publish_and_pump("price.A-B", 1);
    world.subscribe(client, "price.*", &every());
    world.publish_and_pump("price.A-B", 2);
    world.subscribe(client, "price.A-B", &latest());
    world.publish_and_pump("price.A-B", 1);
    world.open(client);
    assert_eq!(world.got(client), ["u2", "u3", "u4"]);
    assert_eq!(world.ledger(client, "price.>").conflated, 1);
    assert_eq!(world.ledger(client, "price.*").delivered, 2);
    assert_eq!(world.ledger(client, "price.A-B").delivered, 1);
}

#[test]
fn a_gap_of_lag_comes_before_the_value_that_follows_it() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.A-B", &latest());
    world.publish_and_pump("price.A-B", 1);
    for price in 0..7 {
        world.publish("price.A-B", price);
    }
    world.lag();
    world.open(client);
    assert_eq!(world.got(client), ["g2-4/3", "u8"]);
    let ledger = world.ledger(client, "price.A-B");
    assert_eq!((ledger.published, ledger.conflated, ledger.dropped), (8, 4, 3));
}

#[test]
fn latest_updates_may_wait_for_others_and_go_with_what_does_not_wait() {
    let mut world = World::new();
    world.index.defers_latest = true;
    let (people, bot) = (world.connect_open(), world.connect_open());
    // What brings a topic up to date does not wait.
    world.publish_and_pump("price.A-B", 1);
    world.subscribe(people, "price.A-B", &latest());
    world.subscribe(bot, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 3);
    assert_eq!(world.got(bot), ["u2", "u3", "u4"]);
    assert!(world.got(people).is_empty());
    assert_eq!(world.index.deferred.len(), 1, "a client is deferred once");
    world.end_deferral();
    assert_eq!(world.got(people), ["u4"]);
    world.subscribe(people, "price.C-D", &every());
    world.publish("price.A-B", 50);
    world.publish("price.C-D", 60);
    world.pump();
    assert_eq!(world.got(people), ["u4", "u5", "u1"]);
}

#[test]
fn what_was_deferred_is_written_though_nothing_else_happens() {
    let wait = Span(Duration::from_millis(20));
    let shard = Shard::with(&Config { coalesce_latest: wait, ..Config::default() });
    let client = shard.client_by(usize::MAX, &latest());
    for value in 1..=3 {
        shard.publish(value);
        client.gets(1, value.unsigned_abs());
    }
}
