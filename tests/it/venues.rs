//! Upstream WebSockets: from a venue's message to a client, and polls while the stream is down.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Builder, Client, EXCHANGES, Server, Upstream, Venue, eventually, server};

/// A feed of Binance's last prices by `venue`, or by polls of `upstream`.
fn streaming(venue: &Venue, upstream: &Upstream, symbols: &[&str]) -> Builder {
    let (base, stream) = (upstream.url(), venue.url());
    server().feed(&format!(
        "name = \"x\"\nprovider = \"binance\"\nendpoint = \"ticker_price\"\ntransport = \"ws\"\n\
         base_url = \"{base}\"\nstream_url = \"{stream}\"\nallow_private = true\n\
         symbols = {symbols:?}\nevery = \"100ms\"\nstale_after = \"3s\"\ntimeout = \"2s\""
    ))
}

/// Reads until an update or a snapshot has `price`; every price before must be one of `others`.
async fn until(client: &mut Client, price: &str, others: &[&str]) -> Value {
    loop {
        let event = client.event().await;
        let Some(found) = event["data"]["price"].as_str() else { continue };
        if found == price {
            return event;
        }
        assert!(others.contains(&found), "{event}");
    }
}

async fn transport(server: &Server, expected: &str) {
    eventually(&format!("the feed to come by {expected}"), || async {
        let page = server.json("/v1/feeds").await;
        (page["feeds"][0]["transport"] == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_venue_s_digits_reach_the_client_and_nothing_is_polled() {
    let (mut venue, upstream) = (Venue::start().await, Upstream::start().await);
    let server = streaming(&venue, &upstream, &["BTC-USDT"]).start().await;
    let mut connection = venue.connection().await;
    let request: Value = serde_json::from_str(&connection.text().await).unwrap();
    assert_eq!(request["params"], json!(["btcusdt@miniTicker"]));
    let mut client = server.client().await;
    client.subscribe(&["price.BTC-USDT"], json!({"mode": "every"})).await;
    let mut before = vec![];
    for (sent, expected) in
        [("68900.50", "68900.50"), ("68900.5000", "68900.5000"), ("7e4", "70000")]
    {
        connection.price("BTCUSDT", sent).await;
        let event = until(&mut client, expected, &before).await;
        assert_eq!((&event["source"], &event["topic"]), (&json!("x"), &json!("price.BTC-USDT")));
        before.push(expected);
    }
    transport(&server, "ws").await;
    let feed = server.json("/v1/feeds").await["feeds"][0].clone();
    assert_eq!((&feed["state"], &feed["next_due"]), (&json!("live"), &Value::Null));
    assert!(server.stop().await);
    assert!(connection.closes().await, "a shutdown says farewell");
}

#[tokio::test]
async fn a_client_gets_polled_values_while_the_stream_is_down() {
    let (mut venue, upstream) = (Venue::start().await, Upstream::start().await);
    let server = streaming(&venue, &upstream, &["BTC-USDT", "ETH-USDT"]).start().await;
    let mut connection = venue.connection().await;
    connection.price("BTCUSDT", "100").await;
    let mut client = server.client().await;
    client.subscribe(&["price.BTC-USDT.x"], json!({"mode": "every"})).await;
    until(&mut client, "100", &[]).await;

    upstream.price("BTCUSDT", "101");
    venue.refuse("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
    drop(connection);
    until(&mut client, "101", &["100"]).await;
    transport(&server, "rest").await;

    venue.accept();
    let mut connection = venue.connection().await;
    assert!(connection.text().await.contains("ethusdt@miniTicker"), "all are subscribed to again");
    connection.price("BTCUSDT", "102").await;
    until(&mut client, "102", &["101"]).await;
    transport(&server, "ws").await;
    let polls = upstream.polls();
    for number in 0..5 {
        let price = format!("102.{number}");
        connection.price("BTCUSDT", &price).await;
        until(&mut client, &price, &[]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(upstream.polls(), polls, "polls went on though the stream delivers");
    server.metric_reaches("tickwire_upstream_reconnects_total", "feed=\"x\"", 1.0).await;
}

#[tokio::test]
async fn a_client_gets_each_value_once_and_without_a_break_while_a_stream_is_renewed() {
    let (mut venue, upstream) = (Venue::start().await, Upstream::start().await);
    let server = streaming(&venue, &upstream, &["BTC-USDT"]).start().await;
    let mut old = venue.connection().await;
    old.price("BTCUSDT", "100").await;
    let mut client = server.client().await;
    client.subscribe(&["price.BTC-USDT.x"], json!({"mode": "every"})).await;
    until(&mut client, "100", &[]).await;
    let polls = upstream.polls();

    old.say(r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#).await;
    let mut new = venue.connection().await;
    assert!(new.text().await.contains("btcusdt@miniTicker"));
    let mut before = "100".to_owned();
    for number in 1..=5 {
        let price = format!("100.{number}");
        old.price("BTCUSDT", &price).await;
        let event = until(&mut client, &price, &[&before]).await;
        assert_eq!(event["seq"], number + 1, "{event}");
        before = price;
    }
    new.price("BTCUSDT", "101").await;
    let event = until(&mut client, "101", &[&before]).await;
    assert_eq!(event["seq"], 7, "{event}");
    assert!(old.closes().await, "the old connection is closed as one should be");
    assert_eq!(upstream.polls(), polls);
    transport(&server, "ws").await;
}

#[tokio::test]
async fn a_venue_that_refuses_the_handshake_is_left_alone_for_as_long_as_it_asks() {
    let (mut venue, upstream) = (Venue::start().await, Upstream::start().await);
    venue.refuse("HTTP/1.1 429 Slow\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n");
    upstream.price("BTCUSDT", "100");
    let server = streaming(&venue, &upstream, &["BTC-USDT"]).start().await;
    let label = "feed=\"x\",outcome=\"rate_limited\"";
    server.metric_reaches("tickwire_upstream_requests_total", label, 1.0).await;
    let refused = Instant::now();
    venue.accept();
    upstream.polled(3).await;
    let mut connection = venue.connection().await;
    assert!(refused.elapsed() >= Duration::from_millis(2500), "{:?}", refused.elapsed());
    connection.price("BTCUSDT", "101").await;
    transport(&server, "ws").await;
}

#[tokio::test]
async fn poison_of_a_stream_never_reaches_a_client() {
    let (mut venue, upstream) = (Venue::start().await, Upstream::start().await);
    let server = streaming(&venue, &upstream, &["BTC-USDT"]).start().await;
    let mut connection = venue.connection().await;
    connection.price("BTCUSDT", "10").await;
    let mut client = server.client().await;
    client.subscribe(&["price.BTC-USDT.x"], json!({"mode": "every"})).await;
    for poison in ["NaN", "-1", "0", "inf", "1,5", "", "1e400", "1000"] {
        connection.price("BTCUSDT", poison).await;
    }
    connection.say("<html>").await;
    connection.say("{\"stream\":").await;
    connection.price("BTCUSDT", "11").await;
    until(&mut client, "11", &["10"]).await;
    assert!(server.metric("tickwire_quarantined_total", "feed=\"x\"").await.unwrap() >= 3.0);
}

/// Streams and the simulated venues are written apart; here they meet.
#[tokio::test]
async fn every_stream_that_the_sandbox_imitates_is_understood() {
    let mut builder = server();
    for (number, (provider, endpoint, symbols)) in EXCHANGES.iter().enumerate() {
        builder = builder.feed(&format!(
            "name = \"f{number}\"\nprovider = \"{provider}\"\nendpoint = \"{endpoint}\"\n\
             base_url = \"sandbox:/{provider}\"\ntransport = \"ws\"\nevery = \"5s\"\n{symbols}"
        ));
    }
    let server = builder.start().await;
    eventually("each symbol of each feed to come by its stream", || async {
        let topics = server.json("/v1/topics?pattern=price.*.*").await;
        let topics = topics["topics"].as_array().unwrap().clone();
        let live = |topic: &Value| topic["state"] == "live";
        (topics.len() == 15 && topics.iter().all(live)).then_some(())
    })
    .await;
    let page = server.json("/v1/feeds").await;
    for feed in page["feeds"].as_array().unwrap() {
        assert_eq!(
            (&feed["transport"], &feed["last_error"]),
            (&json!("ws"), &Value::Null),
            "{feed}"
        );
    }
}

#[tokio::test]
async fn what_the_sandbox_does_not_know_does_not_keep_the_others_from_streaming() {
    let mut builder = server();
    for provider in ["binance", "coinbase", "kraken"] {
        builder = builder.feed(&format!(
            "name = \"{provider}\"\nprovider = \"{provider}\"\ntransport = \"ws\"\n\
             base_url = \"sandbox:/{provider}\"\nevery = \"5s\"\n\
             symbols = [\"BTC-EUR\", \"NOPE-USD\", \"BTC-USD\", \"ETH-USDT\"]"
        ));
    }
    let server = builder.start().await;
    for (feed, topic) in [
        ("binance", "price.ETH-USDT.binance"),
        ("coinbase", "price.BTC-USD.coinbase"),
        ("kraken", "price.BTC-USD.kraken"),
    ] {
        eventually(&format!("{topic} by the stream"), || async {
            let page = server.json("/v1/feeds").await;
            let feeds = page["feeds"].as_array().unwrap();
            let streams = |own: &Value| own["name"] == feed && own["transport"] == "ws";
            let page = server.json(&format!("/v1/snapshot?topics={topic}")).await;
            let live = page["snapshots"][0]["state"] == "live";
            (live && feeds.iter().any(streams)).then_some(())
        })
        .await;
        let nope = server.json(&format!("/v1/snapshot?topics=price.NOPE-USD.{feed}")).await;
        assert_ne!(nope["snapshots"][0]["state"], "live");
    }
}

#[tokio::test]
async fn a_stream_may_be_simulated_where_polls_are_not() {
    let upstream = Upstream::start().await;
    let base = upstream.url();
    let server = server()
        .feed(&format!(
            "name = \"x\"\nprovider = \"kraken\"\ntransport = \"ws\"\nbase_url = \"{base}\"\n\
             allow_private = true\nstream_url = \"sandbox:/kraken/v2\"\nsymbols = [\"BTC-USD\"]\nevery = \"5s\"",
        ))
        .start()
        .await;
    eventually("a price by the stream", || async {
        let page = server.json("/v1/snapshot?topics=price.BTC-USD.x").await;
        (page["snapshots"][0]["state"] == "live").then_some(())
    })
    .await;
    assert_eq!(upstream.polls(), 0);
}
