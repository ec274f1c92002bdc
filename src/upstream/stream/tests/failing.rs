use super::*;

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_pings_but_brings_no_data_is_a_stall() {
    let mut rig = Rig::new(BINANCE);
    *rig.rest.price.lock() = Some("100");
    let mut venue = rig.subscribed().await;
    venue.price("BTCUSDT", "100").await;
    let heard = Instant::now();
    let (mut next, ()) = tokio::join!(rig.subscribed(), venue.pings());
    // The connection was given up after `stale_after`, five times 2 s, and made anew by back-off.
    let waited = heard.elapsed().as_secs_f64();
    assert!((10.5..11.1).contains(&waited), "{waited}");
    let report = rig.report();
    assert_eq!(report.last_error.as_ref().map(|error| error.reason), Some(Reason::Timeout));
    next.price("BTCUSDT", "101").await;
    rig.reaches("price.BTC-USDT.x", "101").await;
    assert!(rig.counts(r#"tickwire_upstream_requests_total{feed="x",outcome="timeout"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn attempts_back_off_and_polls_go_on() {
    let rig = Rig::new(BINANCE);
    rig.venue.refuse(1000, Reason::Http5xx, None);
    elapse(300 * SECOND).await;
    let dialled = rig.venue.dialled.lock().clone();
    assert!((12..60).contains(&dialled.len()), "{}", dialled.len());
    let longest = dialled.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest <= 30 * SECOND, "{longest:?}");
    let polls = rig.rest.polls();
    assert!((145..=151).contains(&polls), "{polls}");
    let report = rig.report();
    assert_eq!((report.state, report.transport), (State::Live, Some(Transport::Rest)));
    assert_eq!(report.last_error.unwrap().reason, Reason::Http5xx);
    // What the stream lacks does not flicker in the status, as the polls deliver.
    assert!(rig.head("status.x").seq < 40, "{}", rig.head("status.x").seq);
}

#[tokio::test(start_paused = true)]
async fn a_venue_that_asks_to_be_left_alone_is_and_so_are_those_of_its_budget() {
    let mut rig = Rig::with(BINANCE, Some(60));
    rig.venue.refuse(1, Reason::RateLimited, Some(40 * SECOND));
    let began = Instant::now();
    rig.subscribed().await;
    assert!(began.elapsed() >= 40 * SECOND, "{:?}", began.elapsed());
    assert!(rig.rest.polled.lock().iter().all(|at| *at - began >= 40 * SECOND));
    assert_eq!(rig.report().budget.unwrap().per_minute, 60);
}

#[tokio::test(start_paused = true)]
async fn a_connection_costs_what_a_request_costs() {
    let mut rig = Rig::with(BINANCE, Some(2));
    let began = Instant::now();
    for _ in 0..3 {
        drop(rig.subscribed().await);
    }
    assert!(began.elapsed() >= 30 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn poisoned_values_are_neither_published_nor_a_reason_to_stop_polling() {
    let mut rig = Rig::new(BINANCE);
    *rig.rest.price.lock() = Some("100");
    let mut venue = rig.subscribed().await;
    for poison in ["-1", "0", "0.000", "-0", "1e-400", "NaN", "inf", "1,5", ""] {
        venue.price("BTCUSDT", poison).await;
        elapse(SECOND).await;
        if let Some(hub) = rig.hub.topic("price.BTC-USDT.x")
            && hub.head(0).last.is_some()
        {
            assert_eq!(rig.price("price.BTC-USDT.x"), "100");
        }
    }
    assert!(rig.rest.polls() >= 3, "{}", rig.rest.polls());
    assert_eq!(rig.report().transport, Some(Transport::Rest));
    venue.price("BTCUSDT", "101").await;
    rig.reaches("price.BTC-USDT.x", "101").await;
    // A jump waits for a second one like it.
    venue.price("BTCUSDT", "1000").await;
    elapse(SECOND).await;
    assert_eq!(rig.price("price.BTC-USDT.x"), "101");
    venue.price("BTCUSDT", "1001").await;
    rig.reaches("price.BTC-USDT.x", "1001").await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_large_ends_the_connection_and_nothing_else() {
    let mut rig = Rig::new(BINANCE);
    let mut venue = rig.subscribed().await;
    venue.price("BTCUSDT", "100").await;
    *rig.rest.price.lock() = None;
    venue.floods(connect::MESSAGE_MAX + 1).await;
    drop(venue);
    let mut venue = rig.subscribed().await;
    assert_eq!(rig.report().last_error.unwrap().reason, Reason::BadBody);
    venue.price("BTCUSDT", "101").await;
    rig.reaches("price.BTC-USDT.x", "101").await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_nobody_can_read_is_passed_over_and_many_in_a_row_are_not() {
    let mut rig = Rig::new(BINANCE);
    let mut venue = rig.subscribed().await;
    for _ in 0..40 {
        venue.say("<html>").await;
        venue.price("BTCUSDT", "100").await;
    }
    rig.reaches("price.BTC-USDT.x", "100").await;
    elapse(SECOND).await;
    assert_eq!(rig.venue.dials(), 1);
    for _ in 0..16 {
        venue.say("<html>").await;
    }
    elapse(2 * SECOND).await;
    assert_eq!(rig.venue.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_restarts_the_stream_within_a_second_and_many_are_slowed_down() {
    let mut rig = Rig::new(BINANCE);
    let began = Instant::now();
    for _ in 0..4 {
        let mut venue = rig.subscribed().await;
        venue.price("BTCUSDT", "100").await;
        rig.reaches("price.BTC-USDT.x", "100").await;
        venue.say("panic").await;
    }
    rig.subscribed().await.say("panic").await;
    assert!(began.elapsed() < 4 * SECOND, "{:?}", began.elapsed());
    assert!(rig.counts(r#"tickwire_upstream_restarts_total{feed="x"} 4"#));
    for _ in 0..15 {
        rig.subscribed().await.say("panic").await;
    }
    assert!(began.elapsed() > 60 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_comes_and_goes_does_not_keep_the_polls_from_their_turn() {
    let mut rig = Rig::new(BINANCE);
    let began = Instant::now();
    while began.elapsed() < 60 * SECOND {
        let mut venue = rig.subscribed().await;
        venue.price("ETHUSDT", "5").await;
        elapse(Duration::from_millis(10)).await;
    }
    let each = began.elapsed().as_secs_f64() / rig.rest.polls() as f64;
    assert!((1.8..4.0).contains(&each), "{each}");
    assert_eq!(rig.price("price.BTC-USDT.x"), "1");
}

#[tokio::test(start_paused = true)]
async fn what_the_venue_refuses_as_a_whole_ends_the_connection() {
    let mut rig = Rig::new(BINANCE);
    let mut venue = rig.subscribed().await;
    venue.say(r#"{"code":-1003,"msg":"Too many requests","id":1}"#).await;
    elapse(Duration::from_millis(100)).await;
    assert_eq!(rig.report().last_error.unwrap().reason, Reason::RateLimited);
    assert!(venue.farewell().await.is_some());
}
