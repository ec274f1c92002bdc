mod budgeted;
mod confirming;
mod failing;
mod random;
mod renewing;
mod rig;

use self::rig::*;
use super::*;
use crate::market::{Reason, State};

#[tokio::test(start_paused = true)]
async fn prices_come_by_the_stream_and_nothing_is_polled() {
    let mut rig = Rig::new(BINANCE);
    let mut venue = rig.connected().await;
    let (_, text) = venue.heard().await;
    assert!(text.contains("btcusdt@miniTicker") && text.contains("ethusdt@miniTicker"), "{text}");
    for (btc, eth) in [("100.10", "5"), ("100.20", "5.0"), ("100.20", "6")] {
        venue.price("BTCUSDT", btc).await;
        venue.price("ETHUSDT", eth).await;
        rig.reaches("price.BTC-USDT.x", btc).await;
        rig.reaches("price.ETH-USDT.x", eth).await;
        elapse(SECOND).await;
    }
    let report = rig.report();
    assert_eq!((report.state, report.transport), (State::Live, Some(Transport::Ws)));
    assert_eq!((report.next_due, report.interval_ms, report.last_error), (None, 0, None));
    assert_eq!(rig.price("price.BTC-USDT"), "100.20");
    assert_eq!((rig.rest.polls(), rig.venue.dials()), (0, 1));
    assert!(rig.counts(r#"tickwire_upstream_stream_connected{feed="x"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn polls_stand_in_while_the_stream_is_down_and_stop_when_it_is_back() {
    let mut rig = Rig::new(BINANCE);
    let mut venue = rig.subscribed().await;
    venue.price("BTCUSDT", "100").await;
    rig.reaches("price.BTC-USDT.x", "100").await;
    *rig.rest.price.lock() = Some("101");
    rig.venue.refuse(3, Reason::Connect, None);
    drop(venue);
    rig.reaches("price.BTC-USDT.x", "101").await;
    let report = rig.report();
    assert_eq!((report.state, report.transport), (State::Live, Some(Transport::Rest)));
    assert_eq!(report.interval_ms, 2000);
    assert_eq!(report.last_error.unwrap().reason, Reason::Connect);

    let mut venue = rig.subscribed().await;
    let before = rig.rest.polls();
    elapse(5 * SECOND).await;
    assert!(rig.rest.polls() > before, "a connection that says nothing yet is no reason to stop");
    venue.price("BTCUSDT", "102").await;
    rig.reaches("price.BTC-USDT.x", "102").await;
    let polls = rig.rest.polls();
    for _ in 0..10 {
        venue.price("ETHUSDT", "5").await;
        elapse(SECOND).await;
    }
    assert_eq!(rig.rest.polls(), polls);
    assert_eq!(rig.report().transport, Some(Transport::Ws));
    assert!(rig.counts(r#"tickwire_upstream_reconnects_total{feed="x"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_new_connection_is_no_interval() {
    let mut rig = Rig::new(BINANCE);
    let mut venue = rig.subscribed().await;
    for _ in 0..40 {
        venue.price("BTCUSDT", "100").await;
        elapse(SECOND).await;
    }
    rig.venue.refuse(1000, Reason::Connect, None);
    drop(venue);
    elapse(SECOND).await;
    let report = rig.report();
    assert_eq!((report.transport, report.interval_ms), (Some(Transport::Ws), 0));
    assert!(report.next_due.is_some(), "a new connection is due");
    for _ in 0..20 {
        elapse(2 * SECOND).await;
        let report = rig.report();
        assert_eq!((report.transport, report.interval_ms), (Some(Transport::Rest), 2000));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_answers_after_a_stream_may_be_older_than_it_and_are_passed_over() {
    let mut rig = Rig::new(
        "name = 'x'\nprovider = 'binance'\nendpoint = 'ticker_24hr'\nsymbols = ['BTC-USDT']\n\
         every = '2s'",
    );
    let at = |ms: i64| START / 1000 + ms;
    let mut venue = rig.subscribed().await;
    let ticker = format!(r#"{{"c":"100","C":{},"E":{}}}"#, at(5_000), at(5_000));
    venue.say(format!(r#"{{"stream":"btcusdt@ticker","data":{ticker}}}"#)).await;
    rig.reaches("price.BTC-USDT.x", "100").await;
    *rig.rest.price.lock() = Some("99");
    *rig.rest.close_time.lock() = Some(at(4_200));
    rig.venue.refuse(1000, Reason::Connect, None);
    drop(venue);
    while rig.rest.polls() < 3 {
        elapse(SECOND).await;
        assert_eq!(rig.price("price.BTC-USDT.x"), "100", "an older value replaced a newer one");
    }
    let error = rig.report().last_error.unwrap();
    assert_eq!(error.reason, Reason::Connect, "{}", error.message);
    assert!(rig.counts(NONE_OUT_OF_ORDER));
    // The venue's own order holds as before, once it has caught up.
    for (price, ms, expected) in
        [("101", 5_001, "101"), ("98", 4_900, "101"), ("102", 5_002, "102")]
    {
        *rig.rest.price.lock() = Some(price);
        *rig.rest.close_time.lock() = Some(at(ms));
        elapse(4 * SECOND).await;
        assert_eq!(rig.price("price.BTC-USDT.x"), expected);
    }
    assert_eq!(rig.report().state, State::Live);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_stream_is_back_is_too_late() {
    let mut rig = Rig::new(BINANCE);
    *rig.rest.price.lock() = None;
    let mut venue = rig.subscribed().await;
    elapse(3 * SECOND).await;
    assert_eq!(rig.rest.polls(), 1, "a poll is on its way");
    venue.price("BTCUSDT", "100").await;
    rig.reaches("price.BTC-USDT.x", "100").await;
    *rig.rest.price.lock() = Some("99");
    elapse(5 * SECOND).await;
    assert_eq!((rig.price("price.BTC-USDT.x").as_str(), rig.rest.polls()), ("100", 1));
    // The poll that was never heard of again holds nothing up.
    drop(venue);
    rig.reaches("price.BTC-USDT.x", "99").await;
}

#[tokio::test(start_paused = true)]
async fn everything_is_subscribed_to_again_on_a_new_connection() {
    let mut rig = Rig::new(BINANCE);
    let mut first = rig.connected().await;
    let (_, before) = first.heard().await;
    first.price("BTCUSDT", "100").await;
    drop(first);
    let (_, after) = rig.connected().await.heard().await;
    assert_eq!(before, after);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_paced_as_the_venue_allows() {
    let symbols: Vec<String> = (0..1000).map(|number| format!("'C{number}-USDT'")).collect();
    let config = format!(
        "name = 'x'\nprovider = 'binance'\nevery = '60s'\nsymbols = [{}]",
        symbols.join(",")
    );
    let mut rig = Rig::new(&config);
    let mut venue = rig.connected().await;
    let mut came = Vec::new();
    let mut names = 0;
    for _ in 0..10 {
        let (at, text) = venue.heard().await;
        came.push(at);
        names += text.matches("@ticker").count();
    }
    assert_eq!(names, 1000);
    for window in came.windows(5) {
        assert!(window[4] - window[0] >= SECOND, "five messages in less than a second");
    }
}

#[tokio::test(start_paused = true)]
async fn an_announced_end_is_followed_by_a_new_connection_at_once() {
    let mut rig = Rig::new(BINANCE);
    let mut venue = rig.subscribed().await;
    for _ in 0..12 {
        venue.price("BTCUSDT", "100").await;
        elapse(SECOND).await;
    }
    venue.say(r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#).await;
    let announced = Instant::now();
    let mut next = rig.subscribed().await;
    assert!(announced.elapsed() < Duration::from_millis(50), "{:?}", announced.elapsed());
    next.price("BTCUSDT", "101").await;
    rig.reaches("price.BTC-USDT.x", "101").await;
    assert!(venue.farewell().await.is_some());
    assert_eq!((rig.rest.polls(), rig.report().last_error), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_renewed_before_binance_ends_it_after_a_day() {
    let mut rig = Rig::new(BINANCE);
    let mut venue = rig.subscribed().await;
    let began = Instant::now();
    let mut next = tokio::select! {
        next = rig.subscribed() => next,
        () = async {
            loop {
                venue.price("BTCUSDT", "100").await;
                elapse(5 * SECOND).await;
            }
        } => unreachable!(),
    };
    let hours = began.elapsed().as_secs_f64() / 3600.0;
    assert!((23.5..24.0).contains(&hours), "{hours}");
    next.price("BTCUSDT", "101").await;
    elapse(SECOND).await;
    assert_eq!((rig.price("price.BTC-USDT.x").as_str(), rig.rest.polls()), ("101", 0));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_says_farewell_and_ends_at_once() {
    let mut rig = Rig::new(BINANCE);
    let mut venue = rig.subscribed().await;
    venue.price("BTCUSDT", "100").await;
    rig.reaches("price.BTC-USDT.x", "100").await;
    rig.trigger.advance(shutdown_stage());
    let (farewell, joined) = tokio::join!(venue.farewell(), rig.tasks.join(SECOND));
    assert!(farewell.is_some() && joined);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_venue_that_does_not_listen() {
    let rig = Rig::new(BINANCE);
    *rig.rest.price.lock() = None;
    rig.venue.refuse(1000, Reason::Connect, None);
    elapse(5 * SECOND).await;
    rig.trigger.advance(shutdown_stage());
    assert!(rig.tasks.join(SECOND).await);
}

fn shutdown_stage() -> crate::shutdown::Stage {
    crate::shutdown::Stage::Stopping
}

const NONE_OUT_OF_ORDER: &str = r#"tickwire_quarantined_total{feed="x",reason="out_of_order"} 0"#;
