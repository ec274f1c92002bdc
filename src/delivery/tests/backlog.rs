//! A shard that was held up finds more in its outlet than it takes at once. Real shards, real
//! threads.

use std::time::Duration;

use super::{
    panics::{Client, Shard, eventually},
    world::every,
};
use crate::{delivery::Config, units::Span};

/// A shard for which `count` updates have been published while it waited for more, so that its
/// wake-ups have become one; and its client.
fn held_up(count: i64) -> (Shard, Client) {
    let coalesce = Span(Duration::from_millis(500));
    let shard = Shard::with(&Config { coalesce, ..Config::default() });
    let client = shard.client_by(usize::MAX, &every());
    (1..=count).for_each(|value| shard.publish(value));
    (shard, client)
}

#[test]
fn all_that_has_come_is_delivered_without_anything_more_being_published() {
    let (_shard, client) = held_up(3000);
    client.gets(1, 3000);
}

#[test]
fn what_is_published_after_a_lag_does_not_wait_behind_what_was_caught_up_with() {
    let (shard, client) = held_up(1000);
    let stale = shard.last();
    // More than an outlet holds; the client's queue keeps the last 256 of what history has.
    (1001..=5000).for_each(|value| shard.publish(value));
    client.gets(4745, 5000);
    // What comes while the outlet is full is a lag of its own, and caught up with at once.
    eventually("there is room in the outlet", || stale.strong_count() == 0);
    shard.publish(5001);
    client.gets(4745, 5001);
}
