//! `max_rate`.

use std::time::Duration;

use super::world::{ROOMY, World, latest, slow, with_snapshot};
use crate::delivery::Ledger;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_rate_holds_back_and_then_lets_the_newest_through() {
    let mut world = World::new();
    let client = world.connect_open();
    world.subscribe(client, "price.A-B", &slow(SECOND));
    world.publish_and_pump("price.A-B", 3);
    assert_eq!(world.got(client), ["u1"]);
    let ledger = world.ledger(client, "price.A-B");
    let expected =
        Ledger { published: 3, delivered: 1, conflated: 1, queued: 1, ..Ledger::default() };
    assert_eq!(ledger, expected);
    assert!(!world.flow(client).waiting);
    world.advance(SECOND - Duration::from_millis(1));
    assert_eq!(world.got(client), ["u1"]);
    world.advance(Duration::from_millis(1));
    assert_eq!(world.got(client), ["u1", "u3"]);
    assert_eq!(world.flow(client).next_held, None);
}

#[test]
fn without_its_rate_a_subscription_holds_nothing_back_any_more() {
    let mut world = World::new();
    let client = world.connect_open();
    world.subscribe(client, "price.A-B", &slow(3600 * SECOND));
    world.publish_and_pump("price.A-B", 2);
    assert_eq!(world.got(client), ["u1"]);
    world.subscribe(client, "price.A-B", &latest());
    world.publish_and_pump("price.A-B", 2);
    assert_eq!(world.got(client), ["u1", "u2", "u3", "u4"]);
}

#[test]
fn one_that_takes_over_is_not_slowed_by_the_rate_of_the_one_before() {
    let mut world = World::new();
    let client = world.connect_open();
    world.subscribe(client, "price.>", &slow(3600 * SECOND));
    world.publish_and_pump("price.A-B", 2);
    world.subscribe(client, "price.A-B", &latest());
    world.publish_and_pump("price.A-B", 1);
    assert_eq!(world.got(client).last().unwrap(), "u3");
}

#[test]
fn a_moment_that_has_been_overtaken_lets_nothing_through_early() {
    let mut world = World::new();
    let client = world.connect_open();
    world.subscribe(client, "price.A-B", &slow(10 * SECOND));
    world.publish_and_pump("price.A-B", 2);
    world.advance(5 * SECOND);
    // Subscribed again at 5 s, it begins anew: the update that was due at 10 s goes out now, and
    // the next may go at 15 s.
    world.subscribe(client, "price.A-B", &slow(10 * SECOND));
    world.publish_and_pump("price.A-B", 1);
    let before = world.got(client);
    assert_eq!(before.first().unwrap(), "u1");
    world.advance(5 * SECOND);
    assert_eq!(world.got(client), before);
    world.advance(5 * SECOND);
    assert_eq!(world.got(client).last().unwrap(), "u3");
    assert_eq!(world.flow(client).next_held, None);
}

#[test]
fn a_held_update_of_an_ended_subscription_leaves_nothing_to_wait_for() {
    let mut world = World::new();
    let client = world.connect_open();
    for _ in 0..5 {
        world.subscribe(client, "price.A-B", &slow(3600 * SECOND));
        world.publish_and_pump("price.A-B", 2);
        assert!(world.flow(client).next_held.is_some());
        world.unsubscribe(client, "price.A-B");
        assert_eq!(world.flow(client).next_held, None);
    }
    assert_eq!(world.counter("tickwire_dropped_total", "unsubscribed"), 5);
}

#[test]
fn a_rate_that_ends_while_the_socket_is_full_is_not_waited_for_again_and_again() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.A-B", &slow(SECOND));
    world.publish_and_pump("price.A-B", 1);
    world.grant(client, 200);
    world.publish_and_pump("price.A-B", 2);
    world.grant(client, 0);
    world.subscribe(client, "price.C-D", &latest());
    while !world.flow(client).blocked {
        world.publish_and_pump("price.C-D", 1);
    }
    assert!(world.flow(client).next_held.is_some());
    world.advance(2 * SECOND);
    assert_eq!(world.flow(client).next_held, None);
    assert!(world.flow(client).waiting);
}

#[test]
fn a_snapshot_is_not_held_back() {
    let mut world = World::new();
    let client = world.connect_open();
    world.subscribe(client, "price.A-B", &slow(SECOND));
    world.publish_and_pump("price.A-B", 1);
    world.subscribe(client, "price.A-B", &with_snapshot(slow(SECOND)));
    assert_eq!(world.got(client), ["u1", "s1"]);
}
