//! Changes of freshness.

use super::world::{ROOMY, STALE_AFTER, World, every, latest, with_snapshot, with_status};

#[test]
fn who_asked_is_told_of_every_change_and_others_are_not() {
    let mut world = World::new();
    let (told, not_told) = (world.connect_open(), world.connect_open());
    world.subscribe(told, "price.A-B", &with_status(latest()));
    world.subscribe(not_told, "price.A-B", &latest());
    world.publish_and_pump("price.A-B", 1);
    world.advance(STALE_AFTER);
    world.pump();
    assert_eq!(world.got(told), ["live", "u1", "stale"]);
    assert_eq!(world.got(not_told), ["u1"]);
}

#[test]
fn while_it_waits_a_status_keeps_its_place_and_becomes_the_newest() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.A-B", &with_status(every()));
    world.publish_and_pump("price.A-B", 1);
    world.advance(STALE_AFTER);
    world.pump();
    world.open(client);
    assert_eq!(world.got(client), ["stale", "u1"]);
}

#[test]
fn an_unchanged_value_confirms_and_is_not_sent_again() {
    let mut world = World::new();
    let client = world.connect_open();
    world.subscribe(client, "price.A-B", &with_status(every()));
    world.publish("price.A-B", 1);
    world.pump();
    world.advance(STALE_AFTER);
    world.pump();
    world.publish("price.A-B", 1);
    world.pump();
    assert_eq!(world.got(client), ["live", "u1", "stale", "live"]);
    assert_eq!(world.ledger(client, "price.A-B").published, 1);
}

#[test]
fn a_snapshot_tells_the_state_at_the_moment_it_is_sent() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.publish_and_pump("price.A-B", 1);
    world.subscribe(client, "price.A-B", &with_snapshot(latest()));
    world.trouble("price.A-B", true);
    world.open(client);
    let messages = world.messages(client);
    let Some(super::wire::Message::Snapshot { state, .. }) = messages.last() else {
        panic!("{messages:?}")
    };
    assert!(state == "live" || state == "down", "{state}");
}

#[test]
fn who_subscribes_later_does_not_hide_a_lost_change_from_others() {
    let mut world = World::new();
    let (early, late) = (world.connect_open(), world.connect_open());
    world.subscribe(early, "price.A-B", &with_status(latest()));
    world.publish_and_pump("price.A-B", 1);
    world.trouble("price.A-B", true);
    world.subscribe(late, "price.A-B", &with_status(latest()));
    world.lag();
    assert_eq!(world.got(early), ["live", "u1", "down"]);
}

#[test]
fn changes_from_before_the_answer_are_not_told_after_it() {
    let mut world = World::new();
    let (early, late) = (world.connect_open(), world.connect_open());
    world.subscribe(early, "price.A-B", &with_status(latest()));
    world.publish("price.A-B", 1);
    world.trouble("price.A-B", true);
    world.publish("price.A-B", 2);
    world.subscribe(late, "price.A-B", &with_status(latest()));
    world.pump();
    assert_eq!(world.got(late), Vec::<String>::new());
    assert_eq!(world.got(early), ["u2", "live"]);
}

#[test]
fn a_change_that_waits_survives_the_end_of_the_more_specific_subscription() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.>", &with_status(latest()));
    world.publish_and_pump("price.A-B", 1);
    world.open(client);
    world.wire(client).allow(0);
    let full = world.connect(ROOMY);
    world.subscribe(full, "price.>", &with_status(latest()));
    world.subscribe(full, "price.A-B", &with_status(latest()));
    world.trouble("price.A-B", true);
    world.pump();
    world.unsubscribe(full, "price.A-B");
    world.open(full);
    assert_eq!(world.got(full), ["down"]);
}
