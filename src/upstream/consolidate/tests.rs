mod model;
mod rig;

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep_until};

use self::rig::{OPEN, RATE_LIMITED, Rig, SECOND, topic};
use crate::{
    hub::Trouble,
    market::{Reason, State, Topic},
    units::Micros,
    upstream::config::ConsolidateConfig,
};

fn preferring(names: &[&str]) -> ConsolidateConfig {
    let prefer = names.iter().map(|name| (*name).to_owned()).collect();
    ConsolidateConfig { prefer, ..ConsolidateConfig::default() }
}

#[test]
fn the_price_is_the_median_source_s_own_digits_and_time() {
    let rig = Rig::new(ConsolidateConfig::default());
    rig.offer("a", "100.50", 1);
    rig.offer("b", "101.000", 2);
    rig.offer("c", "102", 3);
    let shown = rig.shown("BTC-USD");
    assert_eq!((&shown.source[..], shown.ts, shown.rx), ("b", Some(2), 3 * SECOND));
    assert_eq!(shown.data, json!({"price": "101.000", "sources": 3, "spread_bps": "148.51"}));
}

#[test]
fn a_source_that_goes_stale_leaves_within_a_sweep() {
    let rig = Rig::new(preferring(&["c"]));
    rig.offer("a", "1", 0);
    rig.offer("b", "1.02", 5);
    assert_eq!(rig.said(), (2, "a".into(), "1".into(), 2));
    rig.sweep(9);
    assert_eq!(rig.said().0, 2);
    rig.sweep(10);
    assert_eq!(rig.said(), (3, "b".into(), "1.02".into(), 1));
    rig.offer("a", "1.01", 11);
    assert_eq!(rig.said(), (4, "a".into(), "1.01".into(), 2));
}

#[tokio::test(start_paused = true)]
async fn a_source_leaves_at_its_deadline_and_not_with_the_next_sweep() {
    const MILLI: Micros = 1_000;
    let rig = Rig::new(ConsolidateConfig::default());
    let began = Instant::now();
    let until = |millis| sleep_until(began + Duration::from_millis(millis));
    let _running = rig.sweep_by_itself();
    until(100).await;
    rig.offer_at("a", "1", 100 * MILLI);
    until(5_000).await;
    rig.offer_at("b", "1.02", 5_000 * MILLI);
    assert_eq!(rig.said(), (2, "a".into(), "1".into(), 2));
    until(10_099).await;
    assert_eq!(rig.said().0, 2);
    until(10_101).await;
    assert_eq!(rig.said(), (3, "b".into(), "1.02".into(), 1));
    // An answer that came late: its deadline lies before all that were known, and before the sweep.
    until(10_600).await;
    rig.offer_at("a", "1.01", 650 * MILLI);
    assert_eq!(rig.said(), (4, "a".into(), "1.01".into(), 2));
    until(10_652).await;
    assert_eq!(rig.said(), (5, "b".into(), "1.02".into(), 1));
}

#[test]
fn it_also_leaves_when_another_one_speaks_before_the_sweep() {
    let rig = Rig::new(ConsolidateConfig::default());
    rig.offer("a", "1", 0);
    rig.offer("b", "1.02", 11);
    assert_eq!(rig.said(), (2, "b".into(), "1.02".into(), 1));
}

#[test]
fn of_equal_prices_the_preferred_source_speaks_and_the_next_takes_over() {
    let rig = Rig::new(preferring(&["c", "b"]));
    rig.offer("a", "1", 0);
    rig.offer("b", "1.0", 1);
    rig.offer("c", "1.00", 2);
    assert_eq!(rig.said().1, "c");
    rig.trouble("c", OPEN, 3);
    assert_eq!(rig.said().1, "b");
    rig.trouble("b", OPEN, 3);
    assert_eq!(rig.said().1, "a");
}

#[test]
fn what_changes_nothing_for_a_client_is_not_published() {
    let rig = Rig::new(ConsolidateConfig::default());
    for feed in ["a", "b", "c"] {
        rig.offer(feed, "1", 0);
    }
    let before = rig.said().0;
    for second in 1..9 {
        for feed in ["a", "b", "c"] {
            rig.offer(feed, "1", second);
        }
    }
    assert_eq!(rig.said().0, before);
    // It is confirmed all the same.
    rig.sweep(15);
    assert_eq!(rig.status("BTC-USD", 15).state, State::Live);
    let news = |feed: &str, price: &str| {
        let before = rig.said().0;
        rig.offer(feed, price, 16);
        rig.said().0 - before
    };
    // Of four, one may move between the outermost without being noticed.
    assert_eq!((news("a", "1"), news("c", "1.03"), news("b", "1.01")), (0, 1, 1));
    assert_eq!((news("a", "1.005"), news("b", "1.01"), news("a", "1.006")), (1, 0, 1));
    assert_eq!((news("slow", "1.008"), rig.said().1), (1, "slow".to_owned()));
    assert_eq!((news("b", "1.009"), news("b", "1.010")), (0, 0));
}

#[test]
fn the_same_digits_of_another_source_are_told_as_its_own() {
    let rig = Rig::new(ConsolidateConfig::default());
    rig.offer("a", "1", 0);
    rig.offer("b", "1", 12);
    assert_eq!(rig.said(), (2, "b".into(), "1".into(), 1));
}

#[test]
fn bid_ask_and_change_come_from_whoever_has_them() {
    let rig = Rig::new(ConsolidateConfig::default());
    let offer = |feed, fields| rig.offer_all("BTC-USD", feed, fields, 0);
    offer("a", &[("price", "100.0"), ("bid", "99.8"), ("volume_24h", "7")]);
    offer(
        "b",
        &[("price", "100.1"), ("bid", "99.9"), ("ask", "100.2"), ("change_24h_pct", "-1.5")],
    );
    offer(
        "c",
        &[("price", "99.9"), ("ask", "100.15"), ("market_cap", "5"), ("change_24h_pct", "9")],
    );
    let shown = rig.shown("BTC-USD");
    assert_eq!(shown.source, "a");
    assert_eq!(
        shown.data,
        json!({
            "price": "100.0", "bid": "99.9", "ask": "100.15", "volume_24h": "7",
            "change_24h_pct": "-1.5", "sources": 3, "spread_bps": "20.00",
        })
    );
}

#[test]
fn what_a_source_calls_sources_is_not_believed() {
    let rig = Rig::new(ConsolidateConfig::default());
    let fields = [("price", "1"), ("sources", "99"), ("spread_bps", "7")];
    rig.offer_all("BTC-USD", "a", &fields, 0);
    let text = rig.text("BTC-USD");
    assert_eq!(text, r#"{"price":"1","sources":1,"spread_bps":"0.00"}"#);
}

#[test]
fn an_outlier_does_not_count_and_its_feed_says_so_once() {
    let rig = Rig::new(ConsolidateConfig::default());
    rig.offer("a", "100", 0);
    rig.offer("b", "101", 0);
    rig.offer("c", "102", 0);
    rig.offer("c", "500", 1);
    assert_eq!(rig.said(), (4, "a".into(), "100".into(), 2));
    assert_eq!(rig.shown("BTC-USD").data["spread_bps"], "100.00");
    let report = rig.report("c", 1);
    assert_eq!(report.state, State::Live);
    let error = report.last_error.unwrap();
    assert_eq!((error.reason, error.at), (Reason::Quarantined, SECOND));
    assert_eq!(
        error.message,
        "price.BTC-USD.c does not count: 500 is more than 5 % away from 100, the price of 2 others"
    );
    assert_eq!(rig.feed_status("c")["reason"], "quarantined");
    // The same burst: counted for each value, told once. Others' values are not its own.
    rig.offer("c", "501", 2);
    rig.offer("a", "100.1", 2);
    assert_eq!((rig.outliers("c"), rig.outliers("a")), (2, 0));
    assert_eq!(rig.report("c", 2).last_error.unwrap().at, SECOND);
    rig.offer("c", "103", 3);
    assert_eq!(rig.said().3, 3);
    assert_eq!(rig.feed_status("c").get("reason"), None);
    rig.offer("c", "500", 4);
    assert_eq!((rig.outliers("c"), rig.report("c", 4).last_error.unwrap().at), (3, 4 * SECOND));
    // One that is gone is no outlier.
    rig.trouble("c", OPEN, 5);
    assert_eq!(rig.feed_status("c").get("reason"), None);
}

#[test]
fn two_that_disagree_are_told_apart_by_preference_alone() {
    let rig = Rig::new(preferring(&["b"]));
    rig.offer("a", "100", 0);
    rig.offer("b", "200", 0);
    assert_eq!(rig.said(), (2, "b".into(), "200".into(), 2));
    assert_eq!((rig.outliers("a"), rig.outliers("b")), (0, 0));
}

#[test]
fn weights_count() {
    let weights = [("c".to_owned(), 3)].into();
    let rig = Rig::new(ConsolidateConfig { weights, ..ConsolidateConfig::default() });
    rig.offer("a", "100", 0);
    rig.offer("b", "101", 0);
    rig.offer("c", "102", 0);
    assert_eq!(rig.said().1, "c");
}

#[test]
fn the_price_is_as_fresh_as_its_best_source_and_no_fresher() {
    // `slow` is stale after 60 s, the others after 10 s.
    let rig = Rig::new(ConsolidateConfig::default());
    rig.offer("slow", "100", 0);
    rig.offer("a", "101", 0);
    rig.sweep(20);
    assert_eq!((rig.said().1, rig.status("BTC-USD", 20).state), ("slow".into(), State::Live));
    rig.offer("a", "101", 21);
    rig.trouble("slow", OPEN, 22);
    assert_eq!((rig.said().1, rig.status("BTC-USD", 22).state), ("a".into(), State::Live));
    // The slow one has left with its deadline.
    rig.sweep(30);
    assert_eq!(rig.status("BTC-USD", 30).state, State::Live);
    rig.sweep(31);
    let status = rig.status("BTC-USD", 31);
    assert_eq!((status.state, status.age_ms), (State::Stale, Some(10_000)));
    assert_eq!(rig.said().1, "a");
    rig.sweep(50);
    assert_eq!(rig.status("BTC-USD", 50).state, State::Stale);
    rig.sweep(51);
    assert_eq!(rig.status("BTC-USD", 51).state, State::Down);
    rig.offer("slow", "100", 52);
    assert_eq!(rig.status("BTC-USD", 52).state, State::Live);
}

#[test]
fn the_reason_told_is_that_of_the_source_that_speaks() {
    let rig = Rig::new(ConsolidateConfig::default());
    rig.trouble("a", RATE_LIMITED, 0);
    let status = rig.status("BTC-USD", 0);
    assert_eq!((status.state, status.reason), (State::Down, Some(Reason::RateLimited)));
    rig.offer("a", "1", 1);
    rig.offer("b", "1.02", 2);
    rig.trouble("a", RATE_LIMITED, 3);
    rig.trouble("b", Trouble { reason: Reason::Timeout, ..RATE_LIMITED }, 4);
    // `a` leaves, and what ails `b` is not forgotten over it.
    rig.sweep(11);
    rig.sweep(12);
    let status = rig.status("BTC-USD", 12);
    assert_eq!((status.state, status.reason), (State::Stale, Some(Reason::Timeout)));
    assert_eq!(&*status.source.unwrap(), "b");
}

#[test]
fn a_source_whose_breaker_is_open_leaves_at_once() {
    let rig = Rig::new(ConsolidateConfig::default());
    rig.offer("a", "1", 0);
    rig.offer("b", "1.02", 0);
    rig.trouble("a", OPEN, 1);
    assert_eq!((rig.said().1, rig.status("BTC-USD", 1).state), ("b".into(), State::Live));
    rig.trouble("b", OPEN, 1);
    let status = rig.status("BTC-USD", 1);
    assert_eq!((status.state, status.reason), (State::Down, Some(Reason::BreakerOpen)));
    rig.offer("a", "1", 2);
    assert_eq!(rig.status("BTC-USD", 2).state, State::Live);
}

#[test]
fn a_quote_counts_as_another_only_where_that_is_configured() {
    let rig = Rig::new(ConsolidateConfig::default());
    rig.offer_all("BTC-USDT", "a", &[("price", "1")], 0);
    assert!(rig.hub.topic("price.BTC-USD").is_none());

    let quote_as = [("USDT".to_owned(), "USD".to_owned())].into();
    let rig = Rig::new(ConsolidateConfig { quote_as, ..ConsolidateConfig::default() });
    rig.consolidator.declare(&topic("ETH-USDT", "a"));
    assert!(rig.hub.topic("price.ETH-USD").is_some());
    rig.offer_all("BTC-USDT", "a", &[("price", "1")], 0);
    rig.offer_all("BTC-USDT", "b", &[("price", "1.01")], 0);
    assert_eq!(rig.said(), (2, "a".into(), "1".into(), 2));
    // A source speaks once, and in its own quote where it has both.
    rig.offer("a", "1.02", 0);
    assert_eq!(rig.said(), (3, "b".into(), "1.01".into(), 2));
    assert_eq!(rig.text("BTC-USDT"), r#"{"price":"1","sources":2,"spread_bps":"100.00"}"#);
}

#[test]
fn what_is_no_price_of_a_source_is_ignored() {
    let rig = Rig::new(ConsolidateConfig::default());
    for text in ["price.BTC-USD", "onchain.bitcoin.fees", "price.nonsense.a", "price.A-B.c.d"] {
        rig.consolidator.declare(&Topic::parse(text).unwrap());
    }
    assert!(rig.consolidator.symbols.is_empty() && rig.consolidator.ways.is_empty());
}
