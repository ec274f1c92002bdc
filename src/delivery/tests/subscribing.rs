//! Subscribing, subscribing again, taking over and ending.

use super::world::{LIMITS, ROOMY, World, every, latest, with_snapshot, with_status};
use crate::{delivery::Bounds, market::State, protocol::code::ErrorCode};

#[test]
fn a_snapshot_comes_first_and_then_only_what_is_newer() {
    let mut world = World::new();
    let client = world.connect_open();
    world.publish_and_pump("price.A-B", 3);
    world.publish("price.A-B", 7);
    let row = world.subscribe(client, "price.A-B", &with_snapshot(every()));
    assert_eq!((row.ok, row.seq, row.state), (true, Some(4), Some(State::Live)));
    world.pump();
    world.publish_and_pump("price.A-B", 2);
    assert_eq!(world.got(client), ["s4", "u5", "u6"]);
    assert_eq!(world.messages(client)[0].brief(), "a1");
}

#[test]
fn what_is_still_in_the_channel_reaches_the_old_and_not_the_new_subscriber_once() {
    let mut world = World::new();
    let (old, new) = (world.connect_open(), world.connect_open());
    world.subscribe(old, "price.A-B", &every());
    for price in 0..3 {
        world.publish("price.A-B", price);
    }
    world.subscribe(new, "price.A-B", &every());
    world.publish("price.A-B", 9);
    world.pump();
    assert_eq!(world.got(old), ["u1", "u2", "u3", "u4"]);
    assert_eq!(world.got(new), ["u4"]);
}

#[test]
fn topics_that_are_born_later_come_from_their_first_update_on() {
    let mut world = World::new();
    let (exact, pattern) = (world.connect_open(), world.connect_open());
    let row = world.subscribe(exact, "price.A-B", &every());
    assert_eq!((row.seq, row.state), (Some(0), Some(State::Down)));
    assert_eq!(world.subscribe(pattern, "price.*", &every()).matched, Some(0));
    world.publish_and_pump("price.A-B", 2);
    world.publish_and_pump("price.A-B.source", 1);
    for client in [exact, pattern] {
        assert_eq!(world.got(client), ["u1", "u2"]);
    }
}

#[test]
fn a_birth_that_the_channel_lost_is_found_by_catching_up() {
    let mut world = World::new();
    let client = world.connect_open();
    world.subscribe(client, "price.>", &every());
    world.publish("price.A-B", 1);
    world.publish("price.A-B", 2);
    world.lag();
    assert_eq!(world.got(client), ["u1", "u2"]);
}

#[test]
fn lag_beyond_what_history_keeps_is_told_as_a_gap() {
    let mut world = World::new();
    let client = world.connect_open();
    world.subscribe(client, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 1);
    for price in 0..7 {
        world.publish("price.A-B", price);
    }
    world.lag();
    assert_eq!(world.got(client), ["u1", "g2-4/3", "u5", "u6", "u7", "u8"]);
    let ledger = world.ledger(client, "price.A-B");
    assert_eq!((ledger.published, ledger.dropped, ledger.delivered), (8, 3, 5));
    assert_eq!(world.counter("tickwire_dropped_total", "lag"), 3);
}

#[test]
fn subscribing_again_keeps_the_account_and_what_waits() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 2);
    world.subscribe(client, "price.A-B", &with_snapshot(every()));
    assert_eq!(world.ledger(client, "price.A-B").published, 2);
    world.publish_and_pump("price.A-B", 1);
    world.open(client);
    assert_eq!(world.got(client), ["u1", "u2", "s2", "u3"]);
    assert_eq!(world.client(client).look().subscriptions().len(), 1);
    assert_eq!(world.ledger(client, "price.A-B").delivered, 3);
}

#[test]
fn a_topic_reaches_a_client_once_under_its_most_specific_subscription() {
    let mut world = World::new();
    let client = world.connect_open();
    for text in [">", "price.>", "price.A-B", "price.*"] {
        world.subscribe(client, text, &every());
    }
    world.publish_and_pump("price.A-B", 2);
    assert_eq!(world.got(client), ["u1", "u2"]);
    assert_eq!(world.ledger(client, "price.A-B").published, 2);
    assert_eq!(world.ledger(client, "price.*").published, 0);
}

#[test]
fn the_next_most_specific_takes_over_at_the_following_update() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    for text in [">", "price.*", "price.A-B"] {
        world.subscribe(client, text, &every());
    }
    world.publish_and_pump("price.A-B", 2);
    world.unsubscribe(client, "price.A-B");
    world.publish_and_pump("price.A-B", 1);
    world.open(client);
    assert_eq!(world.got(client), ["u3"]);
    assert_eq!(world.ledger(client, "price.*").published, 1);
    assert_eq!(world.ledger(client, ">").published, 0);
    assert_eq!(world.counter("tickwire_dropped_total", "unsubscribed"), 2);
}

#[test]
fn a_more_specific_one_takes_over_without_losing_what_waits() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.>", &every());
    world.publish_and_pump("price.A-B", 2);
    world.subscribe(client, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 1);
    world.open(client);
    assert_eq!(world.got(client), ["u1", "u2", "u3"]);
    assert_eq!(world.ledger(client, "price.>").delivered, 2);
    assert_eq!(world.ledger(client, "price.A-B").delivered, 1);
}

#[test]
fn after_the_answer_to_unsubscribe_nothing_of_it_comes() {
    let mut world = World::new();
    let client = world.connect(Bounds { updates: 2, bytes: 1 << 20 });
    world.publish_and_pump("price.A-B", 1);
    world.subscribe(client, "price.A-B", &with_snapshot(every()));
    world.publish_and_pump("price.A-B", 5);
    world.unsubscribe(client, "price.A-B");
    world.publish_and_pump("price.A-B", 1);
    world.open(client);
    assert_eq!(world.got(client), Vec::<String>::new());
    // Nor of what had been encoded already when the socket was found full.
    world.grant(client, 0);
    assert_eq!(world.counter("tickwire_offered_total", ""), 5);
    assert_eq!(world.counter("tickwire_dropped_total", ""), 5);
}

#[test]
fn the_gap_of_a_subscription_survives_the_end_of_one_that_had_taken_over() {
    let mut world = World::new();
    let client = world.connect(Bounds { updates: 2, bytes: 1 << 20 });
    world.subscribe(client, "price.>", &every());
    world.publish_and_pump("price.A-B", 4);
    // The socket says that it is writable and takes nothing: the gap has been encoded.
    world.grant(client, 0);
    world.subscribe(client, "price.A-B", &every());
    world.unsubscribe(client, "price.A-B");
    world.open(client);
    assert_eq!(world.got(client), ["g1-2/2", "u3", "u4"]);
}

#[test]
fn the_gap_of_an_ended_subscription_does_not_fall_to_another() {
    let mut world = World::new();
    let client = world.connect(Bounds { updates: 2, bytes: 1 << 20 });
    world.subscribe(client, "price.>", &every());
    world.publish_and_pump("price.A-B", 4);
    world.subscribe(client, "price.A-B", &every());
    world.unsubscribe(client, "price.>");
    world.unsubscribe(client, "price.A-B");
    // The numbers of views and subscriptions are used again.
    world.subscribe(client, "price.C-D", &every());
    world.open(client);
    assert!(!world.flow(client).broken);
    world.publish_and_pump("price.C-D", 1);
    assert_eq!(world.got(client), ["u1"]);
}

#[test]
fn topics_born_under_a_pattern_do_not_spoil_the_count_of_another() {
    let mut world = World::new();
    let client = world.connect_open();
    for number in 0..LIMITS.matched_topics {
        world.publish(&format!("price.T{number}"), 1);
    }
    assert!(world.subscribe(client, "signal.>", &latest()).ok);
    assert!(world.subscribe(client, "price.*", &latest()).ok);
    world.publish("signal.A.x", 1);
    world.pump();
    world.unsubscribe(client, "signal.>");
    // Still as many as are allowed.
    let row = world.subscribe(client, "price.>", &latest());
    assert_eq!(row.error.unwrap().code.as_str(), "too_many_topics");
    world.unsubscribe(client, "price.*");
    assert!(world.subscribe(client, "price.>", &latest()).ok);
}

#[test]
fn a_client_that_leaves_takes_all_of_it_with_it() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.>", &every());
    world.subscribe(client, "price.C-D", &latest());
    world.publish_and_pump("price.A-B", 2);
    world.publish_and_pump("price.C-D", 2);
    world.disconnect(client);
    assert_eq!(world.counter("tickwire_offered_total", ""), 4);
    assert_eq!(world.counter("tickwire_conflated_total", ""), 1);
    assert_eq!(world.counter("tickwire_dropped_total", "closed"), 3);
    assert_eq!(world.counter("tickwire_subscriptions", ""), 0);
    assert_eq!(world.counter("tickwire_send_queue_bytes", ""), 0);
    // The next client gets the same number and none of what the one before asked for.
    let next = world.connect_open();
    world.publish_and_pump("price.A-B", 1);
    world.publish_and_pump("price.NEW", 1);
    assert_eq!(world.got(next), Vec::<String>::new());
}

#[test]
fn whoever_leaves_and_whoever_ends_a_subscription_leaves_the_others_as_they_were() {
    let mut world = World::new();
    let clients: Vec<_> = (0..9).map(|_| world.connect_open()).collect();
    for client in &clients {
        world.subscribe(*client, "price.A-B", &every());
        world.subscribe(*client, "price.C-D.*", &every());
    }
    world.publish_and_pump("price.A-B", 1);
    let gone = [4, 0, 8, 3];
    for (which, client) in gone.into_iter().enumerate() {
        if which % 2 == 0 {
            world.disconnect(client);
        } else {
            world.unsubscribe(client, "price.A-B");
            world.unsubscribe(client, "price.C-D.*");
        }
        world.publish_and_pump("price.A-B", 1);
        world.publish_and_pump("price.C-D.x", 1);
    }
    for client in clients {
        let a_b = 1 + gone.iter().position(|left| *left == client).unwrap_or(gone.len());
        let got = world.got(client);
        let after = 2 * (a_b - 1);
        assert_eq!(got.len(), 1 + after, "{client}: {got:?}");
        assert_eq!(got.iter().filter(|update| *update == "u1").count(), 1 + usize::from(a_b > 1));
    }
}

#[test]
fn a_client_that_is_gone_is_refused_and_nothing_of_it_stays() {
    let mut world = World::new();
    let (gone, other) = (world.connect_open(), world.connect_open());
    world.publish_and_pump("price.A-B", 1);
    world.subscribe(other, "price.A-B", &every());
    world.disconnect(gone);
    let before = world.hub.interest().counts();
    for text in ["price.A-B", "price.C-D", "price.>"] {
        let row = world.subscribe(gone, text, &every());
        assert!(!row.ok, "{text}");
        assert_eq!(row.error.unwrap().code, ErrorCode::StaleConnection, "{text}");
        world.unsubscribe(gone, text);
    }
    world.disconnect(gone);
    assert_eq!(world.hub.interest().counts(), before);
    assert!(world.index.exact.len() == 1 && world.index.wild.is_empty());
    assert_eq!(world.counter("tickwire_subscriptions", ""), 1);
}

#[test]
fn a_client_that_is_gone_does_not_touch_the_one_that_has_got_its_number() {
    let mut world = World::new();
    let gone = world.connect_open();
    world.disconnect(gone);
    let heir = world.connect_open();
    assert_eq!(world.client(gone).key, world.client(heir).key);
    world.subscribe(heir, "price.A-B", &every());
    assert!(!world.subscribe(gone, "price.A-B", &every()).ok);
    world.unsubscribe(gone, "price.A-B");
    world.disconnect(gone);
    world.publish_and_pump("price.A-B", 2);
    assert_eq!(world.got(heir), ["u1", "u2"]);
    assert!(world.got(gone).is_empty());
    assert_eq!(world.hub.interest().counts().into_values().sum::<usize>(), 1);
}

#[test]
fn what_a_client_was_marked_for_is_lost_to_the_end_of_its_subscription_and_never_comes_by_another()
{
    let mut world = World::new();
    let client = world.connect_open();
    world.publish_and_pump("price.C-D", 1);
    world.subscribe(client, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 1);
    world.hold_turns(true);
    world.publish("price.A-B", 7);
    world.pump();
    world.unsubscribe(client, "price.A-B");
    // Gets the place of the topic that has gone.
    world.subscribe(client, "price.C-D", &every());
    world.hold_turns(false);
    assert_eq!(world.got(client), ["u1"]);
    assert_eq!(world.counter("tickwire_offered_total", ""), 2);
    assert_eq!(world.counter("tickwire_dropped_total", "unsubscribed"), 1);
    assert_eq!(world.ledger(client, "price.C-D").published, 0);
}

#[test]
fn no_run_of_before_a_restart_is_taken_for_one_of_after_it() {
    for pumps in 0..16 {
        let mut world = World::new();
        let clients = [world.connect_open(), world.connect_open()];
        for (client, topic) in clients.into_iter().zip(["price.A-B", "price.C-D"]) {
            world.publish_and_pump(topic, 1);
            world.subscribe(client, topic, &every());
        }
        world.publish_and_pump("price.A-B", 1);
        world.recover();
        world.publish_and_pump("price.C-D", pumps);
        world.publish("price.C-D", 7);
        world.publish("price.A-B", 7);
        world.pump();
        assert_eq!(world.got(clients[0]), ["u2", "u3"]);
        assert_eq!(world.ledger(clients[0], "price.A-B").delivered, 2);
        assert_eq!(world.ledger(clients[1], "price.C-D").delivered, pumps + 1);
        assert_eq!(world.index.turns.counts(), [0; 3]);
    }
}

#[test]
fn subscribing_looks_at_nothing_that_the_client_has_subscribed_before() {
    let mut world = World::new();
    let client = world.connect_open();
    for number in 0..LIMITS.topics {
        let topic = format!("price.T{number}");
        // Some are there before and some are born later.
        if number % 2 == 0 {
            world.publish_and_pump(&topic, 1);
        }
        let visits = |world: &World| {
            let outbox = &world.client(client).look().outbox;
            outbox.subs.visits() + outbox.views.visits()
        };
        let before = visits(&world);
        assert!(world.subscribe(client, &topic, &with_snapshot(with_status(every()))).ok);
        assert_eq!(visits(&world) - before, 0, "at {number} subscriptions");
    }
}
