use super::*;
use crate::upstream::budget::Share;

const SHUTDOWN: &str = r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#;

const BOOK: &str = "name = 'x'\nprovider = 'binance'\nendpoint = 'book_ticker'\n\
                    symbols = ['BTC-USDT']\nevery = '2s'";

/// A connection that has delivered for a while and is then said to end, and its successor, which
/// has subscribed.
async fn announced(rig: &mut Rig) -> (Peer, Peer) {
    let mut old = rig.subscribed().await;
    for _ in 0..12 {
        old.price("BTCUSDT", "100").await;
        elapse(SECOND).await;
    }
    old.say(SHUTDOWN).await;
    let next = rig.subscribed().await;
    (old, next)
}

fn dated(price: &str, after_ms: i64) -> String {
    let at = START / 1000 + after_ms;
    format!(r#"{{"stream":"btcusdt@miniTicker","data":{{"c":"{price}","E":{at}}}}}"#)
}

fn book(number: u64, bid: &str) -> String {
    format!(r#"{{"stream":"btcusdt@bookTicker","data":{{"u":{number},"b":"{bid}","a":"200"}}}}"#)
}

fn bid(rig: &Rig) -> String {
    let last = rig.head("price.BTC-USDT.x").last.unwrap();
    let data: serde_json::Value = serde_json::from_slice(&last.update.data).unwrap();
    data["bid"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_to_end_delivers_until_its_successor_does() {
    let mut rig = Rig::new(BINANCE);
    let (mut old, mut next) = announced(&mut rig).await;
    for price in ["101", "102", "103"] {
        old.price("BTCUSDT", price).await;
        rig.reaches("price.BTC-USDT.x", price).await;
        elapse(SECOND).await;
    }
    next.price("BTCUSDT", "104").await;
    rig.reaches("price.BTC-USDT.x", "104").await;
    assert!(old.farewell().await.is_some());
    let report = rig.report();
    assert_eq!((report.state, report.transport), (State::Live, Some(Transport::Ws)));
    assert_eq!((rig.rest.polls(), rig.venue.dials(), report.last_error), (0, 2, None));
    assert!(rig.counts(r#"tickwire_upstream_stream_connected{feed="x"} 1"#));
    assert!(rig.counts(r#"tickwire_upstream_reconnects_total{feed="x"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_lags_behind_does_not_bring_back_what_is_older() {
    let mut rig = Rig::new(BINANCE);
    let (mut old, mut next) = announced(&mut rig).await;
    old.say(dated("105", 5_000)).await;
    rig.reaches("price.BTC-USDT.x", "105").await;
    let before = rig.head("price.BTC-USDT.x").seq;
    for (price, at) in [("103", 3_000), ("104", 4_000), ("105", 5_000)] {
        next.say(dated(price, at)).await;
        elapse(SECOND).await;
        assert_eq!(rig.price("price.BTC-USDT.x"), "105");
    }
    assert_eq!(rig.head("price.BTC-USDT.x").seq, before, "a duplicate was published");
    next.say(dated("106", 6_000)).await;
    rig.reaches("price.BTC-USDT.x", "106").await;
    assert!(rig.counts(r#"tickwire_upstream_ignored_total{feed="x"} 2"#));
    assert!(rig.counts(NONE_OUT_OF_ORDER));
}

#[tokio::test(start_paused = true)]
async fn numbers_go_on_from_one_connection_to_the_next() {
    let mut rig = Rig::new(BOOK);
    let mut old = rig.subscribed().await;
    for number in 1..=12 {
        old.say(book(number, "100")).await;
        elapse(SECOND).await;
    }
    old.say(SHUTDOWN).await;
    let mut next = rig.subscribed().await;
    old.say(book(20, "120")).await;
    elapse(SECOND).await;
    for (number, price, expected) in
        [(18, "118", "120"), (19, "119", "120"), (20, "120", "120"), (21, "121", "121")]
    {
        next.say(book(number, price)).await;
        elapse(SECOND).await;
        assert_eq!(bid(&rig), expected, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_successor_takes_over_only_when_it_has_asked_for_everything() {
    let symbols: Vec<String> = (0..300).map(|number| format!("'C{number}-USDT'")).collect();
    let config = format!(
        "name = 'x'\nprovider = 'binance'\nendpoint = 'ticker_price'\nevery = '60s'\nsymbols = [{}]",
        symbols.join(",")
    );
    let mut rig = Rig::new(&config);
    let mut old = rig.connected().await;
    for _ in 0..12 {
        old.price("C0USDT", "100").await;
        elapse(SECOND).await;
    }
    old.say(SHUTDOWN).await;
    let mut next = rig.connected().await;
    next.heard().await;
    next.price("C0USDT", "99").await;
    elapse(Duration::from_millis(10)).await;
    old.price("C299USDT", "7").await;
    rig.reaches("price.C299-USDT.x", "7").await;
    assert_eq!(rig.price("price.C0-USDT.x"), "100");
    next.heard().await;
    next.heard().await;
    next.price("C299USDT", "8").await;
    rig.reaches("price.C299-USDT.x", "8").await;
    assert!(old.farewell().await.is_some());
    assert_eq!(rig.price("price.C0-USDT.x"), "100", "held back and undated: perhaps not news");
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_never_comes_is_tried_again_while_the_old_one_lasts() {
    let mut share: Option<Share> = None;
    let mut rig = Rig::sharing(BINANCE, |telemetry| {
        share = Some(budget(telemetry, 60, None));
        share.clone()
    });
    let mut old = rig.subscribed().await;
    for _ in 0..12 {
        old.price("BTCUSDT", "100").await;
        elapse(SECOND).await;
    }
    rig.venue.refuse(5, Reason::Connect, None);
    old.say(SHUTDOWN).await;
    let mut next = tokio::select! {
        next = rig.subscribed() => next,
        () = async {
            loop {
                old.price("BTCUSDT", "101").await;
                elapse(SECOND).await;
            }
        } => unreachable!(),
    };
    assert_eq!(rig.venue.dials(), 7);
    // Each attempt took one unit, and nothing else did.
    assert!(rig.report().budget.unwrap().remaining >= 60 - 7);
    assert_eq!((rig.price("price.BTC-USDT.x").as_str(), rig.rest.polls()), ("101", 0));
    assert_eq!(rig.report().state, State::Live);
    next.price("BTCUSDT", "102").await;
    rig.reaches("price.BTC-USDT.x", "102").await;
}

#[tokio::test(start_paused = true)]
async fn the_old_connection_is_left_in_the_end_though_nothing_follows_it() {
    let mut rig = Rig::new(BINANCE);
    let mut old = rig.subscribed().await;
    for _ in 0..12 {
        old.price("BTCUSDT", "100").await;
        elapse(SECOND).await;
    }
    rig.venue.refuse(1000, Reason::Connect, None);
    old.say(SHUTDOWN).await;
    let began = Instant::now();
    while old.says(r#"{"stream":"btcusdt@miniTicker","data":{"c":"101"}}"#).await {
        elapse(SECOND).await;
    }
    let waited = began.elapsed().as_secs();
    assert!((595..=605).contains(&waited), "{waited}");
    *rig.rest.price.lock() = Some("102");
    rig.reaches("price.BTC-USDT.x", "102").await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_is_not_ready_follows_when_the_old_one_ends_before() {
    let mut rig = Rig::new(BINANCE);
    let (old, mut next) = announced(&mut rig).await;
    drop(old);
    elapse(Duration::from_millis(100)).await;
    next.price("BTCUSDT", "101").await;
    rig.reaches("price.BTC-USDT.x", "101").await;
    elapse(SECOND).await;
    assert_eq!((rig.venue.dials(), rig.rest.polls(), rig.report().last_error), (2, 0, None));
}
