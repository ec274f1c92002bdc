//! A shard that was held up finds more in its outlet than it takes at once. Real shards, real
//! threads.

use std::time::Duration;

use super::{panics::Shard, world::every};
use crate::{delivery::Config, units::Span};

/// While a shard waits for more, its wake-ups become one.
fn held_up() -> Shard {
    Shard::with(&Config { coalesce: Span(Duration::from_millis(500)), ..Config::default() })
}

#[test]
fn all_that_has_come_is_delivered_without_anything_more_being_published() {
    let shard = held_up();
    let client = shard.client_by(usize::MAX, &every());
    (1..=3000).for_each(|value| shard.publish(value));
    client.gets(1, 3000);
}

#[test]
fn what_is_published_after_a_lag_does_not_wait_behind_what_was_caught_up_with() {
    let shard = held_up();
    let client = shard.client_by(usize::MAX, &every());
    // More than an outlet holds; the client's queue keeps the last 256 of what history has.
    (1..=5000).for_each(|value| shard.publish(value));
    client.gets(4745, 5000);
    shard.publish(5001);
    client.gets(4745, 5001);
}
