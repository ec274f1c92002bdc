//! A shard that was held up finds more in its outlet than it takes at once. Real shards, real
//! threads.

use std::time::Duration;

use super::{
    panics::{Client, Shard},
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
    // More than an outlet holds; the client's queue keeps the last 256 of what history has.
    let (shard, client) = held_up(5000);
    client.gets(4745, 5000);
    shard.publish(5001);
    client.gets(4745, 5001);
}
