//! What can happen to a shard, at random.

use std::time::Duration;

use proptest::{option, prelude::*};

use super::{
    terms::{Condition, FIELDS, Least, MoveBy, Terms},
    world::ROOMY,
};
use crate::delivery::Bounds;

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
        tenths: u64,
    },
    Subscribe {
        client: usize,
        pattern: usize,
        terms: Terms,
        resume: Option<LeftOff>,
    },
    Unsubscribe {
        client: usize,
        pattern: usize,
    },
    /// The connection is lost and made anew, and goes on from what it has seen or says it has.
    Reconnect {
        client: usize,
        pattern: usize,
        terms: Terms,
        resume: Option<LeftOff>,
    },
    /// Kept updates are asked for.
    Replay {
        topic: usize,
        back: u64,
        count: Option<u64>,
        limit: usize,
    },
    /// The shard takes some events out of its channel.
    Pump {
        events: usize,
    },
    /// It takes all of them at once.
    PumpBatch,
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
    /// The shard's loop is started again.
    Recover,
    /// The shard takes all out of its channel, and something happens before those whom it is for
    /// have their turn.
    Meanwhile(Box<Step>),
}

/// Where a client says it left off.
#[derive(Debug, Clone)]
pub(super) struct LeftOff {
    /// Whether it names the right epoch, or a wrong one.
    pub(super) epoch: Option<bool>,
    pub(super) positions: Vec<Position>,
}

/// Where in one topic.
#[derive(Debug, Clone)]
pub(super) struct Position {
    pub(super) topic: usize,
    /// How far behind the head; nothing means beyond it.
    pub(super) back: Option<u64>,
    /// Its own epoch, as that of [`LeftOff`].
    pub(super) epoch: Option<bool>,
}

impl Step {
    pub(super) fn client(&self) -> Option<usize> {
        match self {
            Self::Subscribe { client, .. }
            | Self::Unsubscribe { client, .. }
            | Self::Reconnect { client, .. }
            | Self::Grant { client, .. }
            | Self::AtMostPerWrite { client, .. } => Some(*client),
            Self::Meanwhile(step) => step.client(),
            _ => None,
        }
    }
}

fn terms() -> impl Strategy<Value = Terms> {
    let delivery = prop_oneof![
        4 => Just((true, None)),
        2 => Just((false, None)),
        1 => Just((false, Some(1000))),
        1 => Just((false, Some(1_000_000))),
    ];
    let conditions =
        [Condition::High, Condition::Outside, Condition::Lots, Condition::Faulty].as_slice();
    let filter = option::weighted(0.4, prop::sample::select(conditions));
    let sizes = [MoveBy::Tenths(3), MoveBy::Tenths(12), MoveBy::Bps(1000), MoveBy::Bps(30_000)];
    let least = (prop::bool::weighted(0.2), prop::sample::select(sizes.to_vec()))
        .prop_map(|(lots, move_by)| Least { lots, move_by });
    (
        delivery,
        (filter, any::<bool>()),
        option::weighted(0.25, least),
        option::weighted(0.25, 0..FIELDS.len()),
        any::<bool>(),
        prop::bool::weighted(0.8),
    )
        .prop_map(|((every, interval), (filter, edge), least, fields, snapshot, status)| {
            let edge = edge && filter.is_some();
            Terms { every, interval, filter, edge, least, fields, snapshot, status }
        })
}

fn left_off() -> impl Strategy<Value = LeftOff> {
    let epoch = || prop_oneof![6 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)];
    let own = prop_oneof![5 => Just(None), 1 => Just(Some(true)), 1 => Just(Some(false))];
    let back = prop_oneof![9 => (0..7_u64).prop_map(Some), 1 => Just(None)];
    let position =
        (topic(), back, own).prop_map(|(topic, back, epoch)| Position { topic, back, epoch });
    (epoch(), prop::collection::vec(position, 1..4))
        .prop_map(|(epoch, positions)| LeftOff { epoch, positions })
}

fn topic() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0), 1 => 1..TOPICS.len()]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let meanwhile = single().prop_filter_map("turns take no time", |step| match step {
        Step::Advance { .. } => None,
        step => Some(Step::Meanwhile(Box::new(step))),
    });
    prop_oneof![5 => single(), 1 => meanwhile]
}

/// Most happens to one client and one topic, so that steps meet.
fn single() -> impl Strategy<Value = Step> {
    let client = || prop_oneof![3 => Just(0), 1 => 1..BOUNDS.len()];
    let pattern = || prop_oneof![3 => Just(0), 2 => Just(3), 1 => 1..PATTERNS.len()];
    let subscribe =
        move |resumed| (client(), pattern(), terms(), option::weighted(resumed, left_off()));
    prop_oneof![
        8 => (topic(), prop::sample::select(vec![0_u64, 2, 3, 6, 9, 12, 14]))
            .prop_map(|(topic, tenths)| Step::Publish { topic, tenths }),
        3 => (topic(), 2..8_u64).prop_map(|(topic, count)| Step::Burst { topic, count }),
        7 => subscribe(0.3).prop_map(|(client, pattern, terms, resume)| {
            Step::Subscribe { client, pattern, terms, resume }
        }),
        2 => subscribe(0.5).prop_map(|(client, pattern, terms, resume)| {
            Step::Reconnect { client, pattern, terms, resume }
        }),
        3 => (client(), pattern())
            .prop_map(|(client, pattern)| Step::Unsubscribe { client, pattern }),
        8 => prop_oneof![Just(usize::MAX), 1..4_usize].prop_map(|events| Step::Pump { events }),
        3 => Just(Step::PumpBatch),
        2 => Just(Step::Lag),
        1 => Just(Step::Recover),
        4 => (client(), prop_oneof![0..40_usize, 0..500_usize])
            .prop_map(|(client, bytes)| Step::Grant { client, bytes }),
        1 => (client(), 1..200_usize)
            .prop_map(|(client, bytes)| Step::AtMostPerWrite { client, bytes }),
        2 => prop_oneof![Just(300), Just(1000), Just(11_000)]
            .prop_map(|ms| Step::Advance { by: Duration::from_millis(ms) }),
        1 => (topic(), any::<bool>())
            .prop_map(|(topic, blocked)| Step::Trouble { topic, blocked }),
        1 => (0..TOPICS.len(), 0..7_u64, option::of(0..5_u64), 1..4_usize)
            .prop_map(|(topic, back, count, limit)| Step::Replay { topic, back, count, limit }),
    ]
}
