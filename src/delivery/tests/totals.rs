//! What the server counts of all clients together is what their ledgers say, whatever happens while
//! several of them are accounted for at once.

use super::world::{World, every};
use crate::{delivery::TransportKind, market::Data};

const TOPICS: [&str; 3] = ["price.A-B", "price.A-C", "price.A-D"];

/// So many clients, whose sockets take everything, of all topics; each has got an update of each.
fn world(clients: usize) -> World {
    let mut world = World::new();
    for _ in 0..clients {
        let client = world.connect_open();
        world.subscribe(client, "price.>", &every());
    }
    TOPICS.iter().for_each(|topic| world.publish_and_pump(topic, 1));
    world
}

fn totals_are_those_of_the_ledgers(world: &World, clients: usize, published: u64) {
    assert_eq!(world.index.turns.counts(), [0; 3]);
    let ledgers: Vec<_> = (0..clients).map(|client| world.ledger(client, "price.>")).collect();
    let delivered = ledgers.iter().map(|ledger| ledger.delivered).sum::<u64>();
    assert_eq!(ledgers.iter().map(|ledger| ledger.published).sum::<u64>(), published);
    for (name, sum) in [
        ("tickwire_offered_total", published),
        ("tickwire_delivered_total", delivered),
        ("tickwire_delivery_latency_seconds_count", delivered),
    ] {
        assert_eq!(world.counter(name, ""), sum, "{name}");
    }
}

#[test]
fn what_clients_get_one_after_the_other_counts_for_the_transport_of_each() {
    let mut world = World::new();
    for clients in [2, 9, 5] {
        for transport in TransportKind::ALL {
            world.by_transport(transport);
            for _ in 0..clients {
                let client = world.connect_open();
                world.subscribe(client, "price.>", &every());
            }
        }
    }
    world.publish("price.A-B", 1);
    world.publish("price.A-C", 1);
    world.publish_and_pump("price.A-B", 2);
    for transport in TransportKind::ALL {
        assert_eq!(world.counter("tickwire_delivered_total", transport.as_str()), 4 * 16);
    }
    for name in ["tickwire_offered_total", "tickwire_delivery_latency_seconds_count"] {
        assert_eq!(world.counter(name, ""), 2 * 4 * 16, "{name}");
    }
    assert_eq!(world.index.turns.counts(), [0; 3]);
}

#[test]
fn a_client_whose_socket_takes_a_part_between_others_counts_as_much() {
    for bytes in 0..700 {
        let mut world = world(7);
        world.wire(3).leave(bytes);
        for price in [5, 6, 7] {
            for topic in TOPICS {
                world.publish(topic, price);
            }
        }
        world.pump();
        totals_are_those_of_the_ledgers(&world, 7, 7 * 12);
        world.open(3);
        assert_eq!(world.got(3).len(), 12);
        totals_are_those_of_the_ledgers(&world, 7, 7 * 12);
    }
}

#[test]
fn what_is_too_much_for_one_write_counts_as_much() {
    for lengths in [[70_000, 10, 10], [40_000, 40_000, 10], [10, 10, 70_000], [65_520, 10, 10]] {
        let mut world = world(7);
        world.wire(3).leave(66_000);
        for (topic, length) in TOPICS.iter().zip(lengths) {
            world.publish_data(topic, Data::new().with("pad", "x".repeat(length)));
        }
        world.pump();
        world.open(3);
        totals_are_those_of_the_ledgers(&world, 7, 7 * 6);
        assert!((0..7).all(|client| world.got(client).len() == 6));
    }
}

#[test]
fn a_client_that_fails_between_others_leaves_them_what_they_got() {
    for bad in 0..9 {
        let mut world = world(9);
        world.client(bad).look().outbox.lanes.pretend(u32::MAX);
        for topic in TOPICS {
            world.publish(topic, 7);
        }
        world.pump();
        assert!(world.flow(bad).broken);
        assert_eq!(world.index.turns.counts(), [0; 3]);
        for client in (0..9).filter(|client| *client != bad) {
            assert_eq!(world.got(client).len(), 6);
            assert_eq!(world.ledger(client, "price.>").delivered, 6);
        }
        assert_eq!(world.counter("tickwire_delivered_total", ""), 8 * 6 + 3);
    }
}
