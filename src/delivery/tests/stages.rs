//! What filter, trigger and `min_change` let through, and what a client is told about them.

use std::collections::BTreeMap;

use super::{
    terms::{Compiled, Condition, Least, MoveBy, Terms, Value},
    world::{ROOMY, World},
};
use crate::protocol::params::{Position, Resume};

const TOPIC: &str = "price.A-B";

fn terms() -> Terms {
    Terms {
        every: true,
        interval: None,
        filter: None,
        edge: false,
        least: None,
        fields: None,
        snapshot: false,
        status: false,
    }
}

fn after(world: &World, seq: u64) -> Resume {
    let epoch = Some(world.hub.epoch().to_string());
    Resume { epoch, seq: BTreeMap::from([(TOPIC.to_owned(), Position::Seq(seq))]) }
}

fn publish(world: &mut World, tenths: &[u64]) {
    for tenths in tenths {
        world.publish_data(TOPIC, Value(*tenths).data());
        world.pump();
    }
}

#[test]
fn a_move_of_exactly_the_threshold_is_enough_whatever_binary_fractions_make_of_it() {
    for (before, now) in [(9, 12), (12, 9), (1, 4), (8, 11)] {
        let mut world = World::new();
        let client = world.connect_open();
        let least = Some(Least { lots: false, move_by: MoveBy::Tenths(3) });
        world.subscribe(client, TOPIC, &Compiled::default().options(&Terms { least, ..terms() }));
        publish(&mut world, &[before, if now > before { now - 1 } else { now + 1 }, now]);
        assert_eq!(world.got(client), ["u1", "u3"], "{before} to {now}");
    }
}

#[test]
fn a_filter_that_fails_on_resuming_is_told_after_the_answer() {
    let mut world = World::new();
    publish(&mut world, &[1, 2, 7]);
    let client = world.connect(ROOMY);
    let faulty = Terms { every: false, filter: Some(Condition::Faulty), ..terms() };
    let resume = after(&world, 1);
    world.resume(client, TOPIC, &Compiled::default().options(&faulty), Some(&resume));
    world.open(client);
    let got: Vec<_> = world.messages(client).iter().map(|message| message.brief()).collect();
    assert_eq!(got, ["a1", "filter_error"]);
}

#[test]
fn before_the_first_value_zero_is_where_everybody_left_off() {
    let mut world = World::new();
    let options = Compiled::default().options(&terms());
    let (resume, client) = (after(&world, 0), world.connect_open());
    assert_eq!(world.resume(client, TOPIC, &options, Some(&resume)).recovered, Some(true));
    let mut world = World::new();
    world.trouble(TOPIC, false);
    let (resume, client) = (after(&world, 0), world.connect_open());
    assert_eq!(world.resume(client, TOPIC, &options, Some(&resume)).recovered, Some(true));
    let mut world = World::new();
    let client = world.connect_open();
    let elsewhere = Resume { epoch: Some("another".to_owned()), ..after(&world, 0) };
    assert_eq!(world.resume(client, TOPIC, &options, Some(&elsewhere)).recovered, Some(false));
}

#[test]
fn an_edge_does_not_go_on_where_the_value_before_it_is_no_longer_kept() {
    let edge = Terms { filter: Some(Condition::High), edge: true, ..terms() };
    for (terms, recovered, got) in [
        (edge, false, vec!["s5"]),
        (Terms { filter: Some(Condition::High), ..terms() }, true, vec!["u2", "u3", "u4", "u5"]),
    ] {
        let mut world = World::new();
        // Four are kept: number 1, after which the filter was true already, is not.
        publish(&mut world, &[9, 10, 11, 12, 13]);
        let client = world.connect_open();
        let options = Compiled::default().options(&terms);
        let resume = after(&world, 1);
        let row = world.resume(client, TOPIC, &options, Some(&resume));
        assert_eq!(row.recovered, Some(recovered));
        assert_eq!(world.got(client), got);
    }
}

/// A `latest` client whose socket takes nothing: number 2 was lost to lag, 3 waits, 4 to 6 were
/// refused, 7 and 8 were lost and 9 to 12 were refused.
fn lost_on_both_sides(world: &mut World) -> usize {
    publish(world, &[1]);
    let client = world.connect(ROOMY);
    world.answer(client);
    let high = Terms { every: false, filter: Some(Condition::High), ..terms() };
    world.subscribe(client, TOPIC, &Compiled::default().options(&high));
    for missed in [&[2, 9, 3, 4, 5][..], &[1, 2, 3, 4, 5, 6]] {
        for tenths in missed {
            world.publish_data(TOPIC, Value(*tenths).data());
        }
        world.lag();
    }
    client
}

#[test]
fn a_gap_comes_behind_the_latest_update_that_nothing_after_it_replaces() {
    let mut world = World::new();
    let client = lost_on_both_sides(&mut world);
    world.open(client);
    assert_eq!(world.got(client), ["g2-2/1", "u3", "g7-8/2"]);
}

#[test]
fn gaps_become_one_when_the_latest_update_between_them_is_replaced() {
    let mut world = World::new();
    let client = lost_on_both_sides(&mut world);
    publish(&mut world, &[10]);
    world.client(client).look().outbox.audit();
    world.open(client);
    assert_eq!(world.got(client), ["g2-8/3", "u13"]);
    assert_eq!(world.ledger(client, TOPIC).dropped, 3);
}

#[test]
fn a_gap_comes_behind_the_update_that_a_rate_holds_back() {
    let mut world = World::new();
    let client = world.connect_open();
    let slow =
        Terms { every: false, interval: Some(1000), filter: Some(Condition::High), ..terms() };
    world.subscribe(client, TOPIC, &Compiled::default().options(&slow));
    publish(&mut world, &[9, 10]);
    for tenths in [1, 2, 3, 4, 5] {
        world.publish_data(TOPIC, Value(tenths).data());
    }
    world.lag();
    world.advance(std::time::Duration::from_secs(1));
    assert_eq!(world.got(client), ["u1", "u2", "g3-3/1"]);
}
