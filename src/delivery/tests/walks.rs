//! What one client does must not take longer for each of its subscriptions the more it has: a shard
//! serves nobody else meanwhile. What is counted is who is come to by walks over all subscriptions,
//! topics or waiting messages of the client.

use std::{
    cell::Cell,
    future::Future,
    pin::pin,
    task::{Context, Waker},
};

use bytes::Bytes;

use super::{
    panics::Shard,
    world::{LIMITS, ROOMY, STALE_AFTER, World, every, latest, with_snapshot, with_status},
};
use crate::{
    delivery::{Config, Options},
    protocol::params::Subscribe,
};

const MANY: usize = LIMITS.topics / 2;

fn visits(world: &World, client: usize) -> usize {
    let outbox = &world.client(client).look().outbox;
    outbox.subs.visits() + outbox.views.visits() + outbox.order_visits()
}

/// How many are come to while something is done.
fn visits_of(world: &mut World, client: usize, act: impl FnOnce(&mut World)) -> usize {
    let before = visits(world, client);
    act(world);
    visits(world, client) - before
}

fn topic(number: usize) -> String {
    format!("price.T{number}.x")
}

/// A pattern that matches [`topic`] of the same number.
fn narrow(number: usize) -> String {
    format!("price.T{number}.*")
}

fn topics() -> Vec<String> {
    (0..MANY).map(topic).collect()
}

fn patterns() -> Vec<String> {
    (0..MANY).map(narrow).collect()
}

fn all() -> Options {
    with_snapshot(with_status(every()))
}

fn publish(world: &mut World) {
    for name in topics() {
        world.publish_and_pump(&name, 1);
    }
}

fn subscribe(world: &mut World, client: usize, texts: &[String], options: &Options) {
    for text in texts {
        assert!(world.subscribe(client, text, options).ok, "{text}");
    }
}

#[test]
fn subscribing_again_looks_at_nothing_else_that_is_subscribed() {
    for texts in [topics(), patterns()] {
        let mut world = World::new();
        let client = world.connect_open();
        publish(&mut world);
        subscribe(&mut world, client, &texts, &all());
        for options in [all(), latest()] {
            let again = |world: &mut World| subscribe(world, client, &texts, &options);
            assert_eq!(visits_of(&mut world, client, again), 0);
        }
        assert_eq!(world.client(client).look().outbox.views.len(), MANY);
    }
}

#[test]
fn a_pattern_over_many_topics_looks_at_none_of_the_other_patterns() {
    let mut world = World::new();
    let client = world.connect_open();
    publish(&mut world);
    // Below what all patterns may match.
    let half = &patterns()[..MANY / 2];
    subscribe(&mut world, client, half, &all());
    for options in [all(), latest()] {
        let wide = |world: &mut World| subscribe(world, client, &["price.>".into()], &options);
        assert_eq!(visits_of(&mut world, client, wide), 0);
    }
    assert_eq!(world.client(client).look().outbox.views.len(), MANY);
}

#[test]
fn births_look_at_none_of_the_other_subscriptions() {
    for texts in [topics(), patterns()] {
        let mut world = World::new();
        let client = world.connect_open();
        subscribe(&mut world, client, &texts, &every());
        assert_eq!(visits_of(&mut world, client, publish), 0);
        assert_eq!(world.got(client).len(), MANY);
    }
}

#[test]
fn ending_the_subscription_of_a_topic_looks_at_no_other() {
    let mut world = World::new();
    let client = world.connect_open();
    publish(&mut world);
    subscribe(&mut world, client, &topics(), &all());
    let names = topics();
    let (first, rest) = names.split_at(MANY / 2);
    let one_by_one =
        |world: &mut World| first.iter().for_each(|text| world.unsubscribe(client, text));
    assert_eq!(visits_of(&mut world, client, one_by_one), 0);
    assert_eq!(visits_of(&mut world, client, |world| world.end(client, rest)), 0);
    assert!(world.client(client).look().outbox.views.is_empty());
}

#[test]
fn ending_many_patterns_at_once_goes_through_the_topics_once() {
    let mut world = World::new();
    let client = world.connect_open();
    publish(&mut world);
    subscribe(&mut world, client, &patterns()[1..], &all());
    subscribe(&mut world, client, &["price.>".into()], &all());
    let all = [&patterns()[..], &["price.>".into(), "price.>".into()]].concat();
    assert_eq!(visits_of(&mut world, client, |world| world.end(client, &all)), MANY);
    let state = world.client(client).look();
    assert!(state.outbox.views.is_empty() && state.outbox.subs.is_empty());
    drop(state);
    assert_eq!(world.counter("tickwire_subscriptions", ""), 0);
    assert!(world.index.wild.is_empty() && world.hub.interest().counts().is_empty());
}

#[test]
fn what_waits_for_a_slow_client_is_gone_through_a_few_times_and_not_for_each_topic() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    publish(&mut world);
    let wide = ["price.>".to_owned()];
    subscribe(&mut world, client, &wide, &all());
    world.advance(STALE_AFTER * 2);
    world.pump();
    // A snapshot and a change of freshness of each.
    let waiting = 2 * MANY;
    let few = 4 * waiting;
    let again = |world: &mut World| subscribe(world, client, &wide, &all());
    assert!(visits_of(&mut world, client, again) <= few);
    let untold = |world: &mut World| subscribe(world, client, &wide, &with_snapshot(every()));
    assert!(visits_of(&mut world, client, untold) <= few);

    subscribe(&mut world, client, &wide, &all());
    world.publish(&topic(0), 7);
    publish(&mut world);
    world.advance(STALE_AFTER * 2);
    world.pump();
    assert!(visits_of(&mut world, client, |world| world.end(client, &wide)) <= few * 2);
    world.open(client);
    assert!(world.got(client).is_empty());
}

#[test]
fn a_request_of_many_topics_gives_others_their_turn_and_is_answered_once() {
    let shard = Shard::with(&Config::default());
    let plain = |count: usize| (0..count).map(topic).collect::<Vec<_>>();
    let mixed = [plain(1), patterns()[..2].to_vec(), plain(2)].concat();
    for (topics, turns) in [(plain(64), 1), (plain(65), 2), (plain(200), 4), (mixed, 4)] {
        let asked = Subscribe { topics, ..Subscribe::default() };
        let subscriber = shard.client_by(usize::MAX, &every()).subscriber;
        let answered = Cell::new(0);
        let options = every();
        let mut subscribing = pin!(subscriber.subscribe_in_turns(&asked, &options, |rows| {
            answered.set(rows.len());
            Bytes::from_static(b"{}")
        }));
        let mut context = Context::from_waker(Waker::noop());
        let polls = (1..).find(|_| {
            assert_eq!(answered.get(), 0);
            subscribing.as_mut().poll(&mut context).is_ready()
        });
        assert_eq!((polls, answered.get()), (Some(turns), asked.topics.len()));
    }
}
