//! What can happen to a shard, at random.

use std::time::Duration;

use proptest::prelude::*;

use super::world::ROOMY;
use crate::{
    delivery::{Bounds, Options},
    protocol::params::Mode,
};

pub(super) const TOPICS: [&str; 4] = ["price.A-B", "price.C-D", "price.A-B.x", "signal.A-B.rsi"];
/// How many of them have a value at the beginning.
pub(super) const BORN: usize = 2;
pub(super) const PATTERNS: [&str; 8] =
    ["price.A-B", "price.C-D", "price.A-B.x", "price.*", "price.>", "*.A-B.*", "*.A-B.>", ">"];
pub(super) const BOUNDS: [Bounds; 3] =
    [Bounds { updates: 3, bytes: 1 << 20 }, Bounds { updates: 100, bytes: 450 }, ROOMY];

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// As many different values; they may be more than history keeps.
    Burst {
        topic: usize,
        count: u64,
    },
    /// Few prices, so that some are unchanged.
    Publish {
        topic: usize,
        price: u64,
    },
    Subscribe {
        client: usize,
        pattern: usize,
        options: Options,
    },
    Unsubscribe {
        client: usize,
        pattern: usize,
    },
    /// The shard takes some events out of its channel.
    Pump {
        events: usize,
    },
    /// The channel is overrun.
    Lag,
    /// The socket takes some bytes more.
    Grant {
        client: usize,
        bytes: usize,
    },
    AtMostPerWrite {
        client: usize,
        bytes: usize,
    },
    Advance {
        by: Duration,
    },
    Trouble {
        topic: usize,
        blocked: bool,
    },
}

impl Step {
    pub(super) fn client(&self) -> Option<usize> {
        match self {
            Self::Subscribe { client, .. }
            | Self::Unsubscribe { client, .. }
            | Self::Grant { client, .. }
            | Self::AtMostPerWrite { client, .. } => Some(*client),
            _ => None,
        }
    }
}

fn options() -> impl Strategy<Value = Options> {
    let delivery = prop_oneof![
        3 => Just((Mode::Every, None)),
        2 => Just((Mode::Latest, None)),
        1 => Just((Mode::Latest, Some(Duration::from_secs(1)))),
        1 => Just((Mode::Latest, Some(Duration::from_secs(3600)))),
    ];
    (delivery, any::<bool>(), prop::bool::weighted(0.8)).prop_map(
        |((mode, interval), snapshot, status)| Options {
            mode,
            interval,
            snapshot,
            status,
            ..Options::default()
        },
    )
}

/// Most happens to one client and one topic, so that steps meet.
pub(super) fn step() -> impl Strategy<Value = Step> {
    let client = || prop_oneof![3 => Just(0), 1 => 1..BOUNDS.len()];
    let pattern = || prop_oneof![3 => Just(0), 2 => Just(3), 1 => 1..PATTERNS.len()];
    let topic = || prop_oneof![3 => Just(0), 1 => 1..TOPICS.len()];
    prop_oneof![
        8 => (topic(), 0..3_u64).prop_map(|(topic, price)| Step::Publish { topic, price }),
        3 => (topic(), 2..8_u64).prop_map(|(topic, count)| Step::Burst { topic, count }),
        7 => (client(), pattern(), options())
            .prop_map(|(client, pattern, options)| Step::Subscribe { client, pattern, options }),
        3 => (client(), pattern())
            .prop_map(|(client, pattern)| Step::Unsubscribe { client, pattern }),
        8 => prop_oneof![Just(usize::MAX), 1..4_usize].prop_map(|events| Step::Pump { events }),
        2 => Just(Step::Lag),
        4 => (client(), prop_oneof![0..40_usize, 0..500_usize])
            .prop_map(|(client, bytes)| Step::Grant { client, bytes }),
        1 => (client(), 1..200_usize)
            .prop_map(|(client, bytes)| Step::AtMostPerWrite { client, bytes }),
        2 => prop_oneof![Just(300), Just(1000), Just(11_000)]
            .prop_map(|ms| Step::Advance { by: Duration::from_millis(ms) }),
        1 => (topic(), any::<bool>())
            .prop_map(|(topic, blocked)| Step::Trouble { topic, blocked }),
    ]
}
