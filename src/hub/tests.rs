use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::atomic::AtomicBool,
    task::{Context, Wake, Waker},
    thread,
};

use futures::FutureExt;
use proptest::prelude::*;

use super::{freshness::Freshness, *};
use crate::{
    market::{Data, Decimal, Reason, State},
    units::ByteSize,
};

const SECOND: Micros = 1_000_000;

fn hub(config: Config) -> Hub {
    Hub::new(config, 2, Arc::from("e1"), &Telemetry::new().unwrap())
}

fn tick(topic: &str, price: u64) -> Tick {
    let data = Data::new().with("price", Decimal::parse(&price.to_string()).unwrap());
    Tick { topic: Topic::parse(topic).unwrap(), data, ts: None }
}

fn publish(hub: &Hub, topic: &str, price: u64, rx: Micros) -> Outcome {
    hub.publish(&tick(topic, price), &Arc::from("test"), rx, 10 * SECOND)
}

fn updates(inbox: &mut Inbox) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Ok(event) = inbox.try_recv() {
        if let Event::Update(issued) = event {
            seqs.push(issued.update.seq);
        }
    }
    seqs
}

#[test]
fn updates_are_numbered_from_one_and_an_unchanged_value_only_confirms() {
    let hub = hub(Config::default());
    let mut out = hub.open(0).unwrap();
    assert_eq!(publish(&hub, "price.A-B", 5, 0), Outcome::Issued(1));
    assert_eq!(publish(&hub, "price.A-B", 5, 8 * SECOND), Outcome::Unchanged);
    assert_eq!(publish(&hub, "price.A-B", 6, 9 * SECOND), Outcome::Issued(2));
    assert_eq!(updates(&mut out), [1, 2]);
    let head = hub.topic("price.A-B").unwrap().head(9 * SECOND);
    assert_eq!((head.seq, head.status.age_ms), (2, Some(0)));
    let last = head.last.unwrap();
    assert_eq!(&last.update.data[..], br#"{"price":"6"}"#);
    assert_eq!(
        std::str::from_utf8(&last.json()).unwrap(),
        r#"{"type":"update","topic":"price.A-B","seq":2,"ts":null,"rx":9000000,"source":"test","data":{"price":"6"}}"#
    );
}

#[test]
fn an_unchanged_value_keeps_its_topic_live() {
    let hub = hub(Config::default());
    publish(&hub, "price.A-B", 5, 0);
    publish(&hub, "price.A-B", 5, 8 * SECOND);
    hub.sweep(15 * SECOND);
    let state = |now| hub.topic("price.A-B").unwrap().head(now).status.state;
    assert_eq!(state(15 * SECOND), State::Live);
    hub.sweep(18 * SECOND);
    assert_eq!(state(18 * SECOND), State::Stale);
}

#[test]
fn an_outlet_that_left_gets_nothing_until_it_joins_again() {
    let hub = hub(Config::default());
    let (mut zero, mut one) = (hub.open(0).unwrap(), hub.open(1).unwrap());
    publish(&hub, "price.A-B", 1, 0);
    let slot = hub.topic("price.A-B").unwrap();
    slot.leave(0);
    publish(&hub, "price.A-B", 2, 1);
    let epoch = hub.epoch().clone();
    let joined = slot.join(0, Some((&epoch, 1)), 2);
    assert_eq!(joined.head.seq, 2);
    assert_eq!(joined.missed.iter().map(|issued| issued.update.seq).collect::<Vec<_>>(), [2]);
    publish(&hub, "price.A-B", 3, 3);
    assert_eq!(updates(&mut zero), [1, 3]);
    assert_eq!(updates(&mut one), [1, 2, 3]);
}

#[test]
fn history_is_bounded_in_updates_per_topic() {
    let hub = hub(Config { history: 3, ..Config::default() });
    for price in 1..=5 {
        publish(&hub, "price.A-B", price, 0);
    }
    let (kept, oldest) = hub.topic("price.A-B").unwrap().history(1, 100);
    assert_eq!((kept.len(), oldest), (3, 3));
    let (kept, _) = hub.topic("price.A-B").unwrap().history(4, 1);
    assert_eq!(kept[0].update.seq, 4);
}

#[test]
fn history_is_bounded_in_bytes_over_all_topics_and_the_oldest_goes_first() {
    let bound = 40_000;
    let hub = hub(Config { history: 1000, history_bytes: ByteSize(bound) });
    publish(&hub, "price.QUIET-B", 1, 0);
    for price in 1..=50 {
        publish(&hub, "price.OLD-B", price, 10);
    }
    for price in 1..=500 {
        publish(&hub, "price.NEW-B", price, 1000);
    }
    assert!(hub.history_bytes() <= bound, "{}", hub.history_bytes());
    let oldest = |topic: &str| hub.topic(topic).unwrap().history(1, 1).1;
    assert_eq!(oldest("price.QUIET-B"), 1, "the last value of a topic is never dropped");
    assert_eq!(oldest("price.OLD-B"), 50);
    assert!(oldest("price.NEW-B") > 1);
}

#[test]
fn patterns_find_topics_by_name() {
    let hub = hub(Config::default());
    for topic in ["price.B-USD", "price.A-USD", "price.A-USD.x", "signal.A-USD.y"] {
        publish(&hub, topic, 1, 0);
    }
    let names = |pattern: &str| {
        let slots = hub.matching(&Pattern::parse(pattern).unwrap());
        slots.iter().map(|slot| slot.topic().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names("price.*"), ["price.A-USD", "price.B-USD"]);
    assert_eq!(names("price.A-USD"), ["price.A-USD"]);
    assert_eq!(names(">").len(), 4);
    assert!(names("candle.>").is_empty());
}

proptest! {
    #[test]
    fn a_pattern_finds_all_that_it_matches_in_order(
        topics in prop::collection::btree_set("[ab-]{1,2}(\\.[ab_]{1,2}){0,3}", 0..30),
        pattern in "([ab-]{1,2}|\\*)(\\.([ab_]{1,2}|\\*)){0,2}(\\.>)?|>",
    ) {
        let hub = hub(Config::default());
        topics.iter().for_each(|topic| drop(hub.declare(&Topic::parse(topic).unwrap())));
        let pattern = Pattern::parse(&pattern).unwrap();
        let found = hub.matching(&pattern);
        let found: Vec<_> = found.iter().map(|slot| slot.topic().as_str()).collect();
        let expected: Vec<_> = topics.iter().filter(|topic| pattern.matches(topic)).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn concurrent_publishers_make_one_numbering_in_one_order() {
    let hub = Arc::new(hub(Config { history: 10_000, ..Config::default() }));
    let mut out = hub.open(0).unwrap();
    thread::scope(|scope| {
        for publisher in 0..4_u64 {
            let hub = hub.clone();
            scope.spawn(move || {
                for n in 0..500 {
                    let topic = format!("price.T{}-USD", n % 3);
                    publish(&hub, &topic, publisher * 1000 + n, 0);
                }
            });
        }
    });
    let mut by_topic: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while let Ok(event) = out.try_recv() {
        if let Event::Update(issued) = event {
            by_topic.entry(issued.update.topic.to_string()).or_default().push(issued.update.seq);
        }
    }
    assert_eq!(by_topic.len(), 3);
    for (topic, seqs) in by_topic {
        assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{topic}");
    }
}

/// What may happen to the freshness of one of three topics.
#[derive(Debug, Clone)]
enum Step {
    Confirm(usize, Micros),
    Trouble(usize, bool),
    Settle(usize, Micros, Micros),
    Wait(Micros),
}

fn step() -> impl Strategy<Value = Step> {
    let topic = 0..3_usize;
    prop_oneof![
        3 => (topic.clone(), 1..50_i64).prop_map(|(topic, after)| Step::Confirm(topic, after)),
        1 => (topic.clone(), any::<bool>()).prop_map(|(topic, open)| Step::Trouble(topic, open)),
        2 => (topic, -5..50_i64, -5..100_i64).prop_map(|(topic, stale, down)| {
            Step::Settle(topic, stale, down)
        }),
        3 => (0..40_i64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Topics are looked at when their moment comes: to a reader it is as if each were looked at
    /// whenever time passes.
    #[test]
    fn a_topic_ages_in_time_whatever_happened_to_it(steps in prop::collection::vec(step(), 1..60)) {
        let (hub, source) = (hub(Config::default()), Source::from("test"));
        let topics = ["price.A-B", "price.C-D", "price.E-F"];
        let slots = topics.map(|topic| hub.declare(&Topic::parse(topic).unwrap()));
        let mut expected = topics.map(|_| Freshness::default());
        let mut now = 0;
        for (price, step) in (1..).zip(steps) {
            match step {
                Step::Confirm(at, after) => {
                    hub.publish_to(&slots[at], &tick(topics[at], price), &source, now, after);
                    expected[at].confirm(&source, now, after);
                }
                Step::Trouble(at, blocked) => {
                    let trouble = Trouble { reason: Reason::NoData, retry_at: None, blocked };
                    hub.trouble(slots[at].topic(), &source, trouble, now);
                    expected[at].trouble(&source, trouble, now);
                }
                Step::Settle(at, stale, down) => {
                    let (stale_at, down_at) = (now + stale, now + down);
                    let source = source.clone();
                    let standing =
                        Standing { source, confirmed: now, stale_at, down_at, trouble: None };
                    hub.settle(&slots[at], &standing, now);
                    expected[at].settle(&standing, now);
                }
                Step::Wait(us) => {
                    now += us;
                    hub.sweep(now);
                    for topic in &mut expected {
                        topic.evaluate(now);
                    }
                }
            }
            let states = expected.each_ref().map(Freshness::state);
            prop_assert_eq!(slots.each_ref().map(|slot| slot.head(now).status.state), states);
            let counted = State::ALL.map(|state| states.iter().filter(|is| **is == state).count());
            prop_assert_eq!(hub.common.ageing.counts().map(|count| count as usize), counted);
        }
    }
}

/// Panics, once, where a reader is woken.
struct Trap(AtomicBool);

impl Wake for Trap {
    fn wake(self: Arc<Self>) {
        assert!(!self.0.swap(false, Ordering::AcqRel), "a fault on purpose");
    }
}

#[test]
fn a_panic_while_readers_are_woken_leaves_no_hole_in_history() {
    let hub = hub(Config::default());
    let mut inbox = hub.open(0).unwrap();
    publish(&hub, "price.A-B", 1, 0);
    while inbox.try_recv().is_ok() {}
    assert!(inbox.ready().now_or_never().is_some(), "the waking of what was received");
    let waker = Waker::from(Arc::new(Trap(AtomicBool::new(true))));
    let mut ready = pin!(inbox.ready());
    assert!(ready.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| publish(&hub, "price.A-B", 2, 0))).is_err());
    publish(&hub, "price.A-B", 3, 0);
    let (kept, _) = hub.topic("price.A-B").unwrap().history(1, 9);
    let numbers: Vec<_> = kept.iter().map(|issued| issued.update.seq).collect();
    assert_eq!(numbers, [1, 2, 3]);
}
