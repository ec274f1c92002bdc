use super::*;
use crate::market::State;

const KRAKEN: &str = "name = 'x'\nprovider = 'kraken'\nsymbols = ['BTC-USD', 'ETH-USD']\n\
                      every = '2s'\nstale_after = '9s'";

const COINBASE: &str = "name = 'x'\nprovider = 'coinbase'\n\
                        symbols = ['BTC-USD', 'ETH-USD', 'BAD-USD']\nevery = '2s'";

fn kraken(symbol: &str, price: &str) -> String {
    let data = format!(r#"{{"symbol":"{symbol}","last":{price}}}"#);
    format!(r#"{{"channel":"ticker","type":"update","data":[{data}]}}"#)
}

fn coinbase(product: &str, sequence: u64, price: &str, trade: u64) -> String {
    format!(
        r#"{{"type":"ticker","sequence":{sequence},"product_id":"{product}","price":"{price}","trade_id":{trade}}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn a_quiet_market_of_kraken_stays_live_by_the_answers_to_our_pings() {
    let mut rig = Rig::new(KRAKEN);
    let mut venue = rig.subscribed().await;
    venue.say(kraken("BTC/USD", "100.10")).await;
    venue.say(kraken("ETH/USD", "5.50")).await;
    let mut last = Instant::now();
    // BTC trades on, so that no heartbeat comes; ETH does not.
    for number in 0..20 {
        let (_, ping) = venue.heard().await;
        assert!(ping.contains("\"ping\""), "{ping}");
        assert!(last.elapsed() <= 4 * SECOND, "{:?}", last.elapsed());
        last = Instant::now();
        venue.say(kraken("BTC/USD", &format!("100.{number}"))).await;
        venue.say(r#"{"method":"pong","req_id":1}"#).await;
    }
    elapse(Duration::from_millis(10)).await;
    let head = rig.head("price.ETH-USD.x");
    assert_eq!((head.status.state, head.seq), (State::Live, 1), "confirmed, and not sent again");
    assert_eq!((rig.price("price.ETH-USD.x").as_str(), rig.venue.dials()), ("5.50", 1));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_alone_are_a_stall() {
    let mut rig = Rig::new(KRAKEN);
    let mut venue = rig.subscribed().await;
    venue.say(kraken("BTC/USD", "100.10")).await;
    let heard = Instant::now();
    let beats = async {
        loop {
            venue.say(r#"{"channel":"heartbeat"}"#).await;
            elapse(SECOND).await;
        }
    };
    tokio::select! {
        () = beats => unreachable!(),
        next = rig.connected() => drop(next),
    }
    assert!((9.0..11.0).contains(&heard.elapsed().as_secs_f64()), "{:?}", heard.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_product_of_coinbase_stays_live_by_its_heartbeat_and_another_does_not() {
    let mut rig = Rig::new(COINBASE);
    let mut venue = rig.subscribed().await;
    venue.say(coinbase("BTC-USD", 1, "100", 7)).await;
    venue.say(coinbase("ETH-USD", 1, "5", 8)).await;
    // Out of order: neither published nor a reason to worry.
    venue.say(coinbase("ETH-USD", 1, "4", 9)).await;
    for second in 0..60 {
        let beat = |product: &str, trade: u64| {
            format!(
                r#"{{"type":"heartbeat","sequence":{second},"last_trade_id":{trade},"product_id":"{product}"}}"#
            )
        };
        venue.say(beat("BTC-USD", 7)).await;
        // A trade of which we have never heard.
        venue.say(beat("ETH-USD", 10)).await;
        elapse(SECOND).await;
    }
    assert_eq!(rig.head("price.BTC-USD.x").status.state, State::Live);
    assert_eq!(rig.head("price.ETH-USD.x").status.state, State::Down);
    assert_eq!((rig.price("price.ETH-USD.x").as_str(), rig.venue.dials()), ("5", 1));
    assert!(rig.counts(r#"tickwire_upstream_ignored_total{feed="x"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn a_symbol_that_is_refused_does_not_take_the_others_with_it() {
    let mut rig = Rig::new(COINBASE);
    let mut venue = rig.subscribed().await;
    let refusal = "BAD-USD is not a valid product";
    venue
        .say(format!(r#"{{"type":"error","message":"Failed to subscribe","reason":"{refusal}"}}"#))
        .await;
    let (_, again) = venue.heard().await;
    assert!(again.contains("BTC-USD") && !again.contains("BAD-USD"), "{again}");
    venue.say(coinbase("BTC-USD", 1, "100", 7)).await;
    rig.reaches("price.BTC-USD.x", "100").await;
    elapse(11 * SECOND).await;
    assert_eq!(rig.head("price.BAD-USD.x").status.state, State::Down);
}

#[tokio::test(start_paused = true)]
async fn a_quarantined_value_is_not_confirmed_as_the_one_before_it() {
    let mut rig = Rig::new(KRAKEN);
    let mut venue = rig.subscribed().await;
    venue.say(kraken("BTC/USD", "100.10")).await;
    venue.say(kraken("ETH/USD", "5.50")).await;
    venue.say(kraken("ETH/USD", "500")).await;
    for number in 0..30 {
        venue.say(kraken("BTC/USD", &format!("100.{number}"))).await;
        venue.say(r#"{"channel":"heartbeat"}"#).await;
        elapse(SECOND).await;
    }
    assert_eq!(rig.head("price.BTC-USD.x").status.state, State::Live);
    let head = rig.head("price.ETH-USD.x");
    assert_ne!(head.status.state, State::Live);
    venue.say(kraken("ETH/USD", "501")).await;
    rig.reaches("price.ETH-USD.x", "501").await;
}
