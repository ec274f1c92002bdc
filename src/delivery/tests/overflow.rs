//! What happens when more waits than may wait.

use super::world::{World, every, latest, with_snapshot};
use crate::delivery::Bounds;

const FEW: Bounds = Bounds { updates: 3, bytes: 1 << 20 };

#[test]
fn the_oldest_are_lost_and_one_gap_stands_in_their_place() {
    let mut world = World::new();
    let client = world.connect(FEW);
    world.subscribe(client, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 6);
    let ledger = world.ledger(client, "price.A-B");
    assert_eq!((ledger.published, ledger.queued, ledger.dropped), (6, 3, 3));
    world.open(client);
    assert_eq!(world.got(client), ["g1-3/3", "u4", "u5", "u6"]);
    let ledger = world.ledger(client, "price.A-B");
    assert_eq!((ledger.delivered, ledger.queued, ledger.dropped), (3, 0, 3));
    assert_eq!(world.counter("tickwire_dropped_total", "overflow"), 3);
    assert_eq!(world.counter("tickwire_gaps_total", ""), 1);
}

#[test]
fn the_topic_with_most_waiting_loses() {
    let mut world = World::new();
    let client = world.connect(FEW);
    world.subscribe(client, "price.>", &every());
    world.publish_and_pump("price.QUIET", 1);
    world.publish_and_pump("price.BUSY", 5);
    world.open(client);
    let quiet: Vec<_> = world
        .messages(client)
        .into_iter()
        .filter(|message| message.topic() == Some("price.QUIET"))
        .collect();
    assert_eq!(quiet.len(), 1);
    assert_eq!(world.got(client), ["u1", "g1-3/3", "u4", "u5"]);
}

#[test]
fn the_bound_of_bytes_holds_even_for_one_update() {
    let mut world = World::new();
    let client = world.connect(Bounds { updates: 100, bytes: 250 });
    world.subscribe(client, "price.A-B", &every());
    for _ in 0..5 {
        world.publish_and_pump("price.A-B", 1);
        assert!(world.client(client).look().outbox.queued_bytes() <= 250);
    }
    world.open(client);
    assert_eq!(world.got(client), ["g1-3/3", "u4", "u5"]);

    let tiny = world.connect(Bounds { updates: 100, bytes: 10 });
    world.subscribe(tiny, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 2);
    world.open(tiny);
    assert_eq!(world.got(tiny), ["g6-7/2"]);
}

#[test]
fn a_loss_by_overflow_is_told_before_what_follows_it_though_lag_is_told_later() {
    let mut world = World::new();
    let client = world.connect(FEW);
    world.subscribe(client, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 2);
    for price in 0..6 {
        world.publish("price.A-B", price);
    }
    world.lag();
    world.open(client);
    // 3 and 4 were lost to lag while 1 and 2 waited; then 5 to 8 came and pushed 1, 2 and 5 out.
    assert_eq!(world.got(client), ["g1-5/5", "u6", "u7", "u8"]);
}

#[test]
fn lag_in_between_leaves_two_gaps_each_in_its_place() {
    let mut world = World::new();
    let client = world.connect(Bounds { updates: 5, bytes: 1 << 20 });
    world.subscribe(client, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 2);
    for price in 0..6 {
        world.publish("price.A-B", price);
    }
    world.lag();
    world.open(client);
    assert_eq!(world.got(client), ["g1-1/1", "u2", "g3-4/2", "u5", "u6", "u7", "u8"]);
}

#[test]
fn a_loss_behind_a_snapshot_is_told_behind_it() {
    let mut world = World::new();
    let client = world.connect(Bounds { updates: 1, bytes: 1 << 20 });
    world.subscribe(client, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 2);
    world.subscribe(client, "price.A-B", &with_snapshot(every()));
    world.publish_and_pump("price.A-B", 2);
    world.open(client);
    assert_eq!(world.got(client), ["g1-2/2", "s2", "g3-3/1", "u4"]);
}

#[test]
fn a_topic_of_mode_latest_never_has_a_gap_however_often_it_is_subscribed_again() {
    let mut world = World::new();
    let client = world.connect(FEW);
    world.subscribe(client, "price.A-B", &latest());
    for _ in 0..10 {
        world.publish_and_pump("price.A-B", 1);
        world.subscribe(client, "price.A-B", &with_snapshot(latest()));
        world.client(client).look().outbox.audit();
    }
    world.publish_and_pump("price.A-B", 1);
    assert_eq!(world.ledger(client, "price.A-B").dropped, 0);
    world.open(client);
    assert_eq!(world.got(client), ["s10", "u11"]);
}

#[test]
fn the_same_update_is_lost_to_one_client_and_kept_for_another() {
    let mut world = World::new();
    let (slow, fast) = (world.connect(FEW), world.connect_open());
    for client in [slow, fast] {
        world.subscribe(client, "price.A-B", &every());
    }
    world.publish_and_pump("price.A-B", 5);
    assert_eq!(world.got(fast), ["u1", "u2", "u3", "u4", "u5"]);
    world.open(slow);
    assert_eq!(world.got(slow), ["g1-2/2", "u3", "u4", "u5"]);
}
