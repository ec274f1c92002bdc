//! From the queue to the socket.

use super::world::{ROOMY, World, every, latest, with_snapshot, with_status};
use crate::protocol::frame::{Opcode, frame};

#[test]
fn an_answer_never_stands_inside_a_frame_that_is_partly_written() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.A-B", &every());
    world.grant(client, 14);
    world.publish_and_pump("price.A-B", 2);
    for _ in 0..400 {
        world.answer(client);
        world.grant(client, 1);
    }
    world.open(client);
    let messages = world.messages(client);
    assert_eq!(messages.len(), 1 + 2 + 400);
    assert_eq!(world.got(client), ["u1", "u2"]);
}

#[test]
fn answers_go_ahead_of_data() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.A-B", &every());
    world.publish_and_pump("price.A-B", 2);
    world.answer(client);
    world.open(client);
    let brief: Vec<_> = world.messages(client).iter().map(|message| message.brief()).collect();
    assert_eq!(brief, ["a1", "a2", "u1", "u2"]);
}

#[test]
fn an_update_is_delivered_when_its_last_byte_is_taken() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.A-B", &every());
    world.grant(client, 14);
    world.publish_and_pump("price.A-B", 1);
    let len = world.client(client).look().outbox.queued_bytes();
    world.grant(client, len - 1);
    let ledger = world.ledger(client, "price.A-B");
    assert_eq!((ledger.queued, ledger.delivered), (1, 0));
    world.grant(client, 1);
    let ledger = world.ledger(client, "price.A-B");
    assert_eq!((ledger.queued, ledger.delivered), (0, 1));
}

#[test]
fn the_rest_of_a_partly_written_frame_is_sent_after_its_subscription_has_ended() {
    for options in [every(), latest()] {
        let mut world = World::new();
        let client = world.connect(ROOMY);
        world.subscribe(client, "price.A-B", &options);
        world.grant(client, 14);
        world.publish_and_pump("price.A-B", 1);
        world.grant(client, 20);
        world.unsubscribe(client, "price.A-B");
        // Its number is used again: what is left of the old one must not be credited to this one.
        world.subscribe(client, "price.C-D", &options);
        world.open(client);
        assert_eq!(world.got(client), ["u1"]);
        assert_eq!(world.ledger(client, "price.C-D").delivered, 0);
        assert_eq!(world.counter("tickwire_dropped_total", "unsubscribed"), 1);
    }
}

#[test]
fn a_value_that_is_partly_written_is_not_replaced() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.A-B", &latest());
    world.grant(client, 14);
    world.publish_and_pump("price.A-B", 1);
    world.grant(client, 20);
    world.publish_and_pump("price.A-B", 3);
    world.open(client);
    assert_eq!(world.got(client), ["u1", "u4"]);
}

#[test]
fn many_topics_are_delivered_and_accounted_as_few_are() {
    const TOPICS: usize = 25;
    let mut world = World::new();
    let client = world.connect_open();
    let topics = [0; TOPICS].iter().enumerate().map(|(n, _)| format!("price.T{n}"));
    let topics: Vec<_> = topics.collect();
    for topic in &topics {
        world.subscribe(client, topic, &every());
    }
    for round in 1..=4 {
        // All of them in one turn, in the third to a socket that does not take all.
        if round == 3 {
            world.wire(client).leave(1000);
        }
        for (price, topic) in (round * 100..).zip(&topics) {
            world.publish(topic, price);
            world.publish(topic, price + 1000);
        }
        world.pump();
        if round == 3 {
            assert!(world.flow(client).blocked);
            world.open(client);
        }
    }
    assert_eq!(world.got(client).len(), 4 * 2 * TOPICS);
    for topic in &topics {
        let ledger = world.ledger(client, topic);
        assert_eq!((ledger.published, ledger.delivered, ledger.queued), (8, 8, 0), "{topic}");
    }
}

#[test]
fn no_number_of_updates_is_too_many_for_a_lane() {
    let mut world = World::new();
    let client = world.connect_open();
    let topics = (0..12).map(|n| format!("price.T{n}")).collect::<Vec<_>>();
    for topic in &topics {
        world.subscribe(client, topic, &every());
        world.publish_and_pump(topic, 1);
    }
    // As if so many had come at once since the account was last looked at.
    let many = (1 << 31) - 1;
    world.client(client).look().outbox.lanes.pretend(many);
    for topic in &topics {
        world.publish_and_pump(topic, 1);
    }
    for (_, sub) in &world.client(client).look().outbox.subs {
        assert!(sub.ledger.delivered >= u64::from(many), "{}", sub.pattern);
    }
    for topic in &topics {
        assert_eq!(world.ledger(client, topic).delivered, u64::from(many) + 1, "{topic}");
    }
}

#[test]
fn more_than_fits_into_one_write_is_written_whole_byte_by_byte_too() {
    for per_write in [1, 7, 1000, usize::MAX] {
        let mut world = World::new();
        let client = world.connect(ROOMY);
        world.wire(client).at_most_per_write(per_write);
        world.subscribe(client, "price.>", &with_status(with_snapshot(every())));
        for number in 0..40 {
            world.publish_and_pump(&format!("price.T{number}"), 3);
        }
        world.subscribe(client, "price.>", &with_status(with_snapshot(every())));
        world.open(client);
        let got = world.got(client);
        let count = |kind: char| got.iter().filter(|brief| brief.starts_with(kind)).count();
        assert_eq!((count('u'), count('s'), count('l')), (120, 40, 40));
        assert!(!world.flow(client).broken);
    }
}

#[test]
fn once_discarded_a_client_takes_nothing_but_control_frames() {
    let mut world = World::new();
    let client = world.connect(ROOMY);
    world.subscribe(client, "price.>", &with_status(every()));
    world.grant(client, 14);
    world.publish_and_pump("price.A-B", 3);
    world.grant(client, 20);
    world.client(client).discard(world.now().instant);
    let ledger = world.ledger(client, "price.>");
    assert_eq!((ledger.published, ledger.queued), (3, 0));
    world.publish_and_pump("price.A-B", 2);
    world.send(client, frame(Opcode::Text, br#"{"answer":9}"#));
    world.publish_and_pump("price.A-B", 2);
    world.open(client);
    // The frame that was partly written, then the last word.
    let brief: Vec<_> = world.messages(client).iter().map(|message| message.brief()).collect();
    assert_eq!(brief, ["a1", "live", "a9"]);
    assert_eq!(world.counter("tickwire_dropped_total", "closed"), 3);
    assert_eq!(world.counter("tickwire_send_queue_bytes", ""), 0);
}

#[test]
fn while_an_answer_is_being_made_nothing_is_written_ahead_of_it() {
    let mut world = World::new();
    let client = world.connect_open();
    world.subscribe(client, "price.A-B", &every());
    world.client(client).cork();
    world.publish_and_pump("price.A-B", 1);
    assert_eq!(world.messages(client).len(), 1);
    let answer = frame(Opcode::Text, br#"{"answer":9}"#);
    world.client(client).uncork(answer);
    world.client(client).flush(world.now().instant);
    let brief: Vec<_> = (world.messages(client).iter()).map(|message| message.brief()).collect();
    assert_eq!(brief, ["a1", "a9", "u1"]);
}
