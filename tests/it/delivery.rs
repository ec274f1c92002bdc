//! What subscribers get: order, gaps, conflation, accounts, isolation.

use serde_json::{Value, json};

use crate::support::{Upstream, server};

fn account_balances(ledger: &Value) -> bool {
    let part = |name: &str| ledger[name].as_u64().unwrap();
    let parts = ["delivered", "filtered", "conflated", "dropped", "queued"];
    part("published") == parts.into_iter().map(part).sum::<u64>()
}

#[tokio::test]
async fn a_subscriber_gets_the_last_value_and_then_every_update_in_order() {
    let server = server().synthetic(1, 200).start().await;
    let mut client = server.client().await;
    server.metric_reaches("tickwire_published_total", "other", 3.0).await;
    let rows = client.subscribe(&["bench.0"], json!({"mode": "every"})).await;
    let head = rows[0]["seq"].as_u64().unwrap();
    assert_eq!(rows[0]["ok"], true);
    assert_eq!(rows[0]["state"], "live");
    let snapshot = client.event().await;
    assert_eq!((&snapshot["type"], &snapshot["seq"]), (&json!("snapshot"), &json!(head)));
    assert_eq!(snapshot["epoch"], rows[0]["epoch"]);
    for seq in head + 1..head + 200 {
        let update = client.event_of("update").await;
        assert_eq!(update["seq"], seq);
        assert_eq!(update["ts"], update["rx"]);
    }
    let ledger = client.ledger("bench.0").await;
    assert!(account_balances(&ledger), "{ledger}");
    assert_eq!(ledger["dropped"], 0);
    assert!(server.stop().await);
}

#[tokio::test]
async fn patterns_cover_topics_that_are_born_later() {
    let upstream = Upstream::start().await;
    let server = server().polling("x", &upstream, &["BTC-USDT", "ETH-USDT"]).start().await;
    let mut client = server.client().await;
    let options = json!({"mode": "every", "status": false});
    let rows = client.subscribe(&["price.*.x", "price.SOL-USDT.x"], options).await;
    assert!(rows[0]["matched"].is_u64());
    assert_eq!((&rows[1]["seq"], &rows[1]["state"]), (&json!(0), &json!("down")));
    upstream.price("BTCUSDT", "68900.50");
    let first = client.event_of("update").await;
    assert_eq!((&first["topic"], &first["seq"]), (&json!("price.BTC-USDT.x"), &json!(1)));
    assert_eq!(first["data"], json!({"price": "68900.50"}));
    upstream.price("ETHUSDT", "1E-8");
    let second = client.event_of("update").await;
    assert_eq!(second["topic"], "price.ETH-USDT.x");
    assert_eq!(second["data"]["price"], "0.00000001");
}

#[tokio::test]
async fn an_unchanged_value_is_not_sent_again_but_stays_live() {
    let upstream = Upstream::start().await;
    upstream.price("BTCUSDT", "5.0");
    let server = server().polling("x", &upstream, &["BTC-USDT"]).start().await;
    server.metric_reaches("tickwire_published_total", "price", 1.0).await;
    let mut client = server.client().await;
    client.subscribe(&["price.BTC-USDT.x"], json!({"mode": "every"})).await;
    client.event_of("snapshot").await;
    upstream.polled(10).await;
    let page = server.json("/v1/topics?pattern=price.BTC-USDT.x").await;
    assert_eq!(
        (&page["topics"][0]["seq"], &page["topics"][0]["state"]),
        (&json!(1), &json!("live"))
    );
    assert_eq!(client.ledger("price.BTC-USDT.x").await["published"], 0);
}

#[tokio::test]
async fn a_topic_that_ages_is_told_as_stale_and_as_live_when_it_is_back() {
    let upstream = Upstream::start().await;
    upstream.price("BTCUSDT", "5.0");
    let server = server().polling("x", &upstream, &["BTC-USDT"]).start().await;
    server.metric_reaches("tickwire_published_total", "price", 1.0).await;
    let mut client = server.client().await;
    client.subscribe(&["price.BTC-USDT.x"], json!({})).await;
    client.event_of("snapshot").await;
    upstream.misbehave(500, &[], "oops");
    let stale = client.event_of("status").await;
    assert_eq!((&stale["state"], &stale["reason"]), (&json!("stale"), &json!("http_5xx")));
    assert!(stale["age_ms"].as_u64().unwrap() >= 500, "{stale}");
    upstream.behave();
    while client.event_of("status").await["state"] != "live" {}
}

#[tokio::test]
async fn latest_conflates_for_a_slow_reader_and_ends_with_the_newest() {
    let server = server().synthetic(1, 2000).start().await;
    let mut client = server.client().await;
    client.subscribe(&["bench.0"], json!({"max_rate": 10})).await;
    let mut last = 0;
    for _ in 0..5 {
        let update = client.event_of("update").await;
        assert!(update["seq"].as_u64().unwrap() > last);
        last = update["seq"].as_u64().unwrap();
    }
    let ledger = client.ledger("bench.0").await;
    assert!(account_balances(&ledger), "{ledger}");
    assert!(ledger["conflated"].as_u64().unwrap() > 100, "{ledger}");
    assert_eq!(ledger["dropped"], 0);
}

#[tokio::test]
async fn a_client_that_stops_reading_learns_what_it_missed_and_hurts_nobody() {
    let server = server()
        .with("[delivery]\nqueue_updates = 1024\nwrite_deadline = \"60s\"\nsend_buffer = \"16KiB\"")
        .synthetic(2, 4000)
        .start()
        .await;
    let mut stopped = server.client().await;
    let mut healthy = server.client().await;
    stopped.subscribe(&["bench.0"], json!({"mode": "every", "snapshot": false})).await;
    let rows = healthy.subscribe(&["bench.1"], json!({"mode": "every", "snapshot": false})).await;
    let mut expected = rows[0]["seq"].as_u64().unwrap();
    // Reading only one of two: the other's queue overflows once the kernel's buffers are full.
    let mut read = 0;
    while read % 2000 != 0
        || read < 2000
        || server.metric("tickwire_dropped_total", "overflow").await == Some(0.0)
    {
        expected += 1;
        read += 1;
        assert_eq!(healthy.event_of("update").await["seq"], expected);
        assert!(read < 200_000, "the stopped client loses nothing");
    }
    assert_eq!(healthy.ledger("bench.1").await["dropped"], 0);
    every_number_is_delivered_or_in_a_gap(&mut stopped).await;
    let ledger = stopped.ledger("bench.0").await;
    assert!(account_balances(&ledger) && ledger["dropped"].as_u64().unwrap() > 0, "{ledger}");
}

async fn every_number_is_delivered_or_in_a_gap(client: &mut crate::support::Client) {
    let mut next = None;
    let mut gaps = 0;
    while gaps < 1 {
        let event = client.event().await;
        match event["type"].as_str().unwrap() {
            "update" => {
                let seq = event["seq"].as_u64().unwrap();
                assert_eq!(seq, next.unwrap_or(seq));
                next = Some(seq + 1);
            }
            "gap" => {
                assert_eq!(event["reason"], "slow_consumer");
                let (from, to) = (event["from"].as_u64().unwrap(), event["to"].as_u64().unwrap());
                assert_eq!(from, next.unwrap_or(from));
                assert_eq!(event["dropped"], to - from + 1);
                next = Some(to + 1);
                gaps += 1;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_most_specific_subscription_gets_a_topic_and_hands_it_on() {
    let server = server().synthetic(2, 400).start().await;
    let mut client = server.client().await;
    let every = json!({"mode": "every", "snapshot": false});
    client.subscribe(&["bench.*", "bench.0"], every).await;
    for _ in 0..50 {
        client.event_of("update").await;
    }
    let exact = client.ledger("bench.0").await["published"].as_u64().unwrap();
    let pattern = client.ledger("bench.*").await["published"].as_u64().unwrap();
    assert!(exact > 0 && pattern > 0);
    client.result("unsubscribe", json!({"topics": ["bench.0"]})).await;
    let update = loop {
        let update = client.event_of("update").await;
        if update["topic"] == "bench.0" {
            break update;
        }
    };
    assert!(update["seq"].as_u64().unwrap() > 0);
    client.result("unsubscribe", json!({"topics": ["bench.*", "never.subscribed"]})).await;
    let result = client.result("subscriptions", Value::Null).await;
    assert_eq!(result["subscriptions"], json!([]));
}

#[tokio::test]
async fn the_metrics_are_the_sum_of_the_accounts() {
    let server = server().synthetic(4, 1000).start().await;
    let mut client = server.client().await;
    client.subscribe(&["bench.>"], json!({"mode": "every", "snapshot": false})).await;
    for _ in 0..500 {
        client.event_of("update").await;
    }
    client.result("unsubscribe", json!({"topics": ["bench.>"]})).await;
    let total = |name: &'static str| {
        let server = &server;
        async move { server.metric(name, "").await.unwrap_or(0.0) }
    };
    let parts = total("tickwire_delivered_total").await
        + total("tickwire_filtered_total").await
        + total("tickwire_conflated_total").await
        + total("tickwire_dropped_total").await;
    assert_eq!(total("tickwire_offered_total").await, parts);
    assert!(parts >= 500.0);
}
